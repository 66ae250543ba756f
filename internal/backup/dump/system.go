package dump

import (
	"bytes"
	"context"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
)

const systemObjectsSQL = `
	SELECT 'FUNCTION ' || proname || '(' || pg_catalog.pg_get_function_identity_arguments(oid) || ')' AS name
	FROM pg_catalog.pg_proc WHERE pronamespace = 'pg_catalog'::pg_catalog.regnamespace
	UNION ALL SELECT 'TABLE ' || relname FROM pg_catalog.pg_class WHERE relnamespace = 'pg_catalog'::pg_catalog.regnamespace`

// systemObjects are the functions and tables of PostgreSQL's own that the server has, such as "FUNCTION lo_creat(integer)". Another major
// version has others, and migrations take privileges on some from tenants.
func (r Restorer) systemObjects(ctx context.Context) (map[string]bool, error) {
	return names(ctx, r.Server, systemObjectsSQL)
}

var (
	listedPrivilege = regexp.MustCompile(`^\d+; \d+ \d+ ACL pg_catalog ((?:FUNCTION|TABLE) .*) \S+$`)
	privilege       = regexp.MustCompile(`^((?:GRANT|REVOKE) .* ON FUNCTION pg_catalog\.)(\w+)\(.*\)( (?:FROM|TO) .*;)$`)
)

// wanted lists what is to be restored of a schema: all but privileges on what the server does not have. The statements take their place.
func (r Restorer) wanted(ctx context.Context, schema []byte) (list string, statements []string, err error) {
	var all bytes.Buffer
	err = r.run(ctx, program{name: "pg_restore", arguments: []string{"--list"}, input: bytes.NewReader(schema), output: &all})
	if err != nil {
		return "", nil, err
	}
	exists, err := r.systemObjects(ctx)
	if err != nil {
		return "", nil, err
	}
	var kept, left strings.Builder
	for line := range strings.Lines(all.String()) {
		if found := listedPrivilege.FindStringSubmatch(strings.TrimSpace(line)); len(found) == 0 || exists[found[1]] {
			kept.WriteString(line)
		} else {
			left.WriteString(line)
		}
	}
	if left.Len() > 0 {
		statements, err = r.carriedOver(ctx, schema, left.String(), exists)
	}
	return kept.String(), statements, err
}

// text is a part of a schema as SQL.
func (r Restorer) text(ctx context.Context, schema []byte, list string) (string, error) {
	file, err := inMemory(schema)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }()
	wanted, err := inMemory([]byte(list))
	if err != nil {
		return "", err
	}
	defer func() { _ = wanted.Close() }()
	var text bytes.Buffer
	err = r.run(ctx, program{
		name: "pg_restore", arguments: []string{"--use-list=/dev/fd/4", "--file=-", "/dev/fd/3"}, files: []*os.File{file, wanted},
		output: &text,
	})
	return text.String(), err
}

// carriedOver are the statements that take the place of privileges on what the server does not have: one on a function becomes one on
// those of the same name, whose arguments are others in its version; one on a table becomes none. They come from the list alone, as
// the text of all else may hold lines that only look like them.
func (r Restorer) carriedOver(ctx context.Context, schema []byte, left string, exists map[string]bool) (statements []string, err error) {
	text, err := r.text(ctx, schema, left)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(text) {
		found := privilege.FindStringSubmatch(strings.TrimSpace(line))
		if found == nil {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(exists)) {
			arguments, ok := strings.CutPrefix(name, "FUNCTION "+found[2])
			if !ok || arguments[0] != '(' {
				continue
			}
			if statement := found[1] + found[2] + arguments + found[3]; !slices.Contains(statements, statement) {
				statements = append(statements, statement)
			}
		}
	}
	return statements, nil
}
