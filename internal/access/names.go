package access

import (
	"slices"
	"strings"
)

// PoolerName is what the module postgres-auth names the pooler's certificate, and thereby its role, by default.
const PoolerName = "pgbouncer"

// keywords stand for other roles, or for none, wherever PostgreSQL's statements and files name a role (manual, "GRANT",
// sections 20.1 and 9.27).
var keywords = []string{
	"all", "current_role", "current_user", "none", "public", "sameuser", "samerole", "session_user", "system_user", "user",
}

// ReservedName tells why no role may have a name, or "" when one may. Capitals make no difference to PgBouncer.
func ReservedName(name string) string {
	lower := strings.ToLower(name)
	switch {
	case slices.Contains(keywords, lower):
		return "is a keyword of PostgreSQL's and no role"
	case strings.HasPrefix(lower, "pg_"):
		return "begins with pg_ as PostgreSQL's own roles do"
	case slices.Contains(GroupRoles(), lower):
		return "is the group role of an access level"
	}
	return ""
}

// IsPooler tells that only the pooler's own role may have a name, as its certificate opens the pooled roles.
func IsPooler(name string) bool { return strings.EqualFold(name, PoolerName) }
