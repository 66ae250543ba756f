// Package identity is the grammar of the one identity: a role of PostgreSQL has the name that is the common name of its
// certificates, and the pooler keeps it. It is below all domains and knows none of them.
package identity

import (
	"regexp"
	"slices"
	"strings"
)

// Pattern is what a name looks like. No quoting is needed for it anywhere: not in a certificate, in pg_hba.conf or in
// pgbouncer.ini. PostgreSQL cuts off what is longer.
const Pattern = `^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,62}$`

// Form is the pattern in words.
const Form = "it must consist of letters, digits, `_`, `.`, `@` and `-`, begin with a letter, a digit or `_`, have at most 63 characters"

var pattern = regexp.MustCompile(Pattern)

// Keywords stand for other roles, or for none, wherever PostgreSQL's statements and files name a role (manual, "GRANT",
// sections 20.1 and 9.27).
var Keywords = []string{
	"all", "current_role", "current_user", "none", "public", "sameuser", "samerole", "session_user", "system_user", "user",
}

// Groups are the group roles of the access levels, which own nothing and log in nowhere.
var Groups = []string{
	"brownie_reader", "brownie_writer", "brownie_admin", "brownie_migrator", "brownie_monitor", "brownie_backup", "brownie_pooler",
	"brownie_all_tenants", "brownie_pooled",
}

// ConnectGroupPrefix begins the name of the group role whose members may connect to one database.
const ConnectGroupPrefix = "brownie_connect_"

// Granter is the role that hands out the group roles.
const Granter = "brownie_granter"

// MakerPrefix begins the names of the roles that make roles.
const MakerPrefix = "brownie_maker_"

// Reserved tells why no role of ours may have a name, or "" when one may. Capitals make no difference to PgBouncer.
func Reserved(name string) string {
	lower := strings.ToLower(name)
	switch {
	case slices.Contains(Keywords, lower):
		return "is a keyword of PostgreSQL's and no role"
	case slices.Contains(Groups, lower):
		return "is the group role of an access level"
	case strings.HasPrefix(lower, ConnectGroupPrefix):
		return "begins as the group roles that may connect to a database do"
	case lower == Granter:
		return "is the role that hands out the group roles"
	case strings.HasPrefix(lower, MakerPrefix):
		return "begins as the roles that make roles do"
	case strings.HasPrefix(lower, "pg_"):
		return "begins with pg_ as PostgreSQL's own roles do"
	}
	return ""
}

// WellFormed tells whether a name has the form.
func WellFormed(name string) bool { return pattern.MatchString(name) }
