package access_test

import (
	"strings"
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/access"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/identity"
)

func TestReservedNames(t *testing.T) {
	t.Parallel()
	for name, reason := range map[string]string{
		"PUBLIC": "keyword", "None": "keyword", "current_user": "keyword", "SESSION_USER": "keyword", "current_role": "keyword",
		"user": "keyword", "all": "keyword", "pg_monitor": "begins with pg_", "PG_x": "begins with pg_",
		"brownie_reader": "group role", "Brownie_Pooled": "group role", "Brownie_connect_x": "connect to a database",
		"acme": "", "users": "", "pgbouncer": "", "pgx": "", "brownie-terraform": "", "brownie_readers": "", "postgres": "",
	} {
		if got := identity.Reserved(name); reason == "" && got != "" || !strings.Contains(got, reason) {
			t.Errorf("%s: %q", name, got)
		}
	}
	for name, wants := range map[string]bool{"pgbouncer": true, "PgBouncer": true, "pgbouncer2": false} {
		if access.IsPooler(name) != wants {
			t.Errorf("whether %s is the pooler's name must be %t", name, wants)
		}
	}
}
