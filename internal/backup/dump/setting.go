package dump

import "strings"

// lists are the settings that are lists of names. Others are one value each (PostgreSQL's GUC_LIST_QUOTE).
var lists = map[string]bool{
	"search_path": true, "temp_tablespaces": true, "session_preload_libraries": true, "shared_preload_libraries": true,
	"local_preload_libraries": true, "unix_socket_directories": true,
}

// settingValue is what follows SET … TO for a setting as it is stored, `name=value`. Any role may have stored any text for itself: a list
// that PostgreSQL would not take apart has no value, and is left out, as pg_dumpall does.
func settingValue(stored string) (sql string, ok bool) {
	name, value, _ := strings.Cut(stored, "=")
	if !lists[strings.ToLower(name)] {
		return literal(value), true
	}
	names, ok := splitList(value)
	quoted := make([]string, len(names))
	for i, each := range names {
		quoted[i] = literal(each)
	}
	if len(quoted) == 0 {
		return "''", ok
	}
	return strings.Join(quoted, ", "), ok
}

// literal quotes a text so that it means the same whatever standard_conforming_strings is.
func literal(text string) string {
	quoted := "'" + strings.ReplaceAll(text, "'", "''") + "'"
	if strings.Contains(text, `\`) {
		return "E" + strings.ReplaceAll(quoted, `\`, `\\`)
	}
	return quoted
}

// splitList takes a list of names apart: bare ones, and ones in double quotes (PostgreSQL's SplitGUCList).
func splitList(text string) (names []string, ok bool) {
	rest := strings.TrimSpace(text)
	for rest != "" {
		var name string
		if strings.HasPrefix(rest, `"`) {
			var more strings.Builder
			rest = rest[1:]
			for {
				end := strings.IndexByte(rest, '"')
				if end < 0 {
					return nil, false
				}
				more.WriteString(rest[:end])
				if rest = rest[end+1:]; !strings.HasPrefix(rest, `"`) {
					break
				}
				more.WriteByte('"')
				rest = rest[1:]
			}
			name = more.String()
		} else {
			end := strings.IndexAny(rest, ", \t\r\n\f\v")
			if end < 0 {
				end = len(rest)
			}
			if name, rest = rest[:end], rest[end:]; name == "" {
				return nil, false
			}
		}
		names, rest = append(names, name), strings.TrimSpace(rest)
		if rest == "" {
			break
		}
		if rest[0] != ',' {
			return nil, false
		}
		if rest = strings.TrimSpace(rest[1:]); rest == "" {
			return nil, false
		}
	}
	return names, true
}
