package access_test

import (
	"regexp"
	"slices"
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/access"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
)

var quoted = regexp.MustCompile(`'([a-z_]+)'`)

// What the migrations made is what the table of levels says.
func TestLevelsAreThoseOfTheDatabase(t *testing.T) {
	t.Parallel()
	database := testdb.Migrated(t)
	testdb.WritesPlainly(t, database)
	literals := func(definition string) []string {
		var names []string
		for _, match := range quoted.FindAllStringSubmatch(definition, -1) {
			names = append(names, match[1])
		}
		return names
	}
	constraint := func(name string) []string {
		return literals(testdb.Value[string](t, database, `SELECT pg_get_constraintdef(oid) FROM pg_constraint
			WHERE conrelid = 'brownie.role_bindings'::regclass AND conname = $1`, name))
	}
	column := func(name string) []string {
		view := testdb.Value[string](t, database, `SELECT pg_get_viewdef('brownie.current_binding'::regclass)`)
		return literals(regexp.MustCompile(`(?s)ANY \(ARRAY\[([^]]*)\]\)+ AS ` + name + `\b`).FindString(view))
	}
	for what, compared := range map[string][2][]string{
		"all levels": {constraint("role_bindings_access"), access.LevelNames(func(access.Level) bool { return true })},
		"levels of tenants": {
			constraint("role_bindings_tenant_access"),
			access.LevelNames(func(l access.Level) bool { return l.OfTenants }),
		},
		"levels of all tenants": {column("all_tenants"), access.LevelNames(func(l access.Level) bool { return l.AllTenants })},
		"group roles": {
			testdb.Value[[]string](t, database, `SELECT array_agg(rolname::text) FROM pg_roles JOIN pg_shdescription d ON d.objoid =
				pg_roles.oid
				WHERE rolname LIKE 'brownie\_%' AND rolname NOT LIKE 'brownie\_connect\_%' AND NOT rolcanlogin`), access.GroupRoles(),
		},
	} {
		if has, says := slices.Sorted(slices.Values(compared[0])), slices.Sorted(slices.Values(compared[1])); !slices.Equal(has, says) {
			t.Errorf("%s: the database has %v, the table says %v", what, has, says)
		}
	}
}
