package access

import "strings"

// PoolerName is what the module postgres-auth names the pooler's certificate, and thereby its role, by default.
const PoolerName = "pgbouncer"

// IsPooler tells that only the pooler's own role may have a name, as its certificate opens the pooled roles.
func IsPooler(name string) bool { return strings.EqualFold(name, PoolerName) }
