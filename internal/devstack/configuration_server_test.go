package devstack

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
)

// The server reads odd names in the rendered files as they were meant: one rule each, and never a keyword or a pattern.
func TestServerReadsOddNames(t *testing.T) {
	t.Setenv("BROWNIE_POSTGRES_URL", "")
	server, err := StartPostgres(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop(context.Background()) })
	odd := []string{`quo"te`, `""`, "a, b", "all", "+group", "@file", "back\\", "# x", " ü ", "$1 ${x} %{y}", "replication"}
	roles, err := json.Marshal(odd)
	if err != nil {
		t.Fatal(err)
	}
	configured, err := configure(fromJSON(t, `{
		"server": {"addresses": ["samenet", "10.0.0.0/8", "::1/128"], "replication_roles": `+string(roles)+`,
			"local_users": {"o'x \"y\", z": `+string(roles)+`}},
		"pooler": {}
	}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"pg_hba.conf", "pg_ident.conf"} {
		text, err := configured.render(name)
		if err != nil {
			t.Fatal(err)
		}
		// The folder's own owner keeps the file.
		if err := os.WriteFile(filepath.Join(server.process.dir, "server", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// The views show the files as they are, taken over or not.
	conn, err := pgx.Connect(t.Context(), server.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	list := func(sql string) []string {
		t.Helper()
		rows, err := conn.Query(t.Context(), sql)
		if err != nil {
			t.Fatal(err)
		}
		found, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	if wrong := list(`
		SELECT error FROM pg_hba_file_rules WHERE error IS NOT NULL
		UNION ALL SELECT error FROM pg_ident_file_mappings WHERE error IS NOT NULL`); len(wrong) > 0 {
		t.Errorf("the server reports %q", wrong)
	}
	// The views show a name in quotes when it has characters that need them in the file.
	for what, sql := range map[string]string{
		"replication": `SELECT user_name[1] FROM pg_hba_file_rules
			WHERE type = 'hostssl' AND database = '{replication}' AND auth_method = 'cert' AND address = 'samenet'
				AND cardinality(user_name) = 1
			ORDER BY line_number`,
		"local": `SELECT user_name[1] FROM pg_hba_file_rules
			WHERE type = 'local' AND database = '{all}' AND auth_method = 'peer' AND options = '{map=brownie_local}'
				AND cardinality(user_name) = 1
			ORDER BY line_number`,
		"local replication": `SELECT user_name[1] FROM pg_hba_file_rules
			WHERE type = 'local' AND database = '{replication}' AND auth_method = 'peer' AND options = '{map=brownie_local}'
				AND cardinality(user_name) = 1
			ORDER BY line_number`,
		"map": `SELECT pg_username FROM pg_ident_file_mappings
			WHERE map_name = 'brownie_local' AND sys_name = 'o''x "y", z' ORDER BY line_number`,
	} {
		if found := list(sql); !slices.Equal(found, odd) {
			t.Errorf("%s: the server reads %q, want %q", what, found, odd)
		}
	}
	methods := list(`SELECT DISTINCT type || ' ' || auth_method FROM pg_hba_file_rules ORDER BY 1`)
	if !slices.Equal(methods, []string{"host reject", "hostssl cert", "local peer", "local reject"}) {
		t.Errorf("the server offers %q", methods)
	}
}
