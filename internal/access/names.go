package access

import (
	"slices"
	"strings"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/identity"
)

// PoolerName is what the module postgres-auth names the pooler's certificate, and thereby its role, by default.
const PoolerName = "pgbouncer"

// ReservedName tells why no role of ours may have a name, or "" when one may.
func ReservedName(name string) string {
	switch lower := strings.ToLower(name); {
	case slices.Contains(GroupRoles(), lower):
		return "is the group role of an access level"
	case strings.HasPrefix(lower, connectGroupPrefix):
		return "begins as the group roles that may connect to a database do"
	}
	return identity.Reserved(name)
}

// IsPooler tells that only the pooler's own role may have a name, as its certificate opens the pooled roles.
func IsPooler(name string) bool { return strings.EqualFold(name, PoolerName) }
