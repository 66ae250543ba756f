package tenancy_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/acctest"
)

// What clients other than Terraform may store: the i-th row of each table gets the i-th value of each list.
var (
	foreignJSON = []string{
		`{}`, `[]`, `null`, ` null `, `{"a":1.0,"b":1e2,"c":-0,"d":12345678901234567890.123456789012345678901234567890}`,
		`[1e400, 1E-400, 0.1e1, 10000000000000000000000000000000000000001]`, `{"a":1,"a":2}`, `{"":{"":[null,true,false]}}`,
		` [ 1 , "x" , { "a" : [ ] } ] `, `["\u0001\u001f\u007f\ufeff\uffff", "\ud83d\ude00", "\\u0000", "\/"]`,
		"{\"e\u0301\":\"e\u0301\", \"\u00e9\":\"\\u0065\\u0301\"}", `["${a}", "%{b}", "<&>", "\"", "\\"]`,
		strings.Repeat(`[`, 8) + strings.Repeat(`]`, 8), `{"long":"` + strings.Repeat("x", 300_000) + `"}`,
	}
	// Also values from before there were checks.
	olderJSON = []string{
		`"text"`, `5`, `true`, `""`, `{"a":"\u0000"}`, `["\ud800"]`, `{"\udc00\ud800":1}`, `null`, `{"a":null}`,
		strings.Repeat(`[`, 100) + strings.Repeat(`]`, 100),
	}
	foreignTags = []string{
		`["a","a"]`, `["1",1]`, `[1,1.0,1e0]`, `[null]`, `[null,"a",null]`, `[["a"],["a"],{"b":1}]`, `{"a":1}`, `null`, `[]`,
		`[true,"true"]`, "[\"e\u0301\",\"\u00e9\"]", `["\u0065\u0301","é"]`, `["", " ", "${x}"]`, `["\ud83d\ude00"]`,
	}
	olderTags    = []string{`5`, `"a"`, `true`, `["\u0000"]`, `["\u0000",0,0]`, `["\ud800","\ud801"]`, `[{"a":"\u0000"}]`, `""`, `null`, `[[]]`}
	foreignTexts = []string{
		``, ` `, "a\nb\r\n\tc", "\x01\x1f\x7f", "e\u0301", `${x} %{y} \ " '`, strings.Repeat("long ", 50_000), "\U0001F600\U0010FFFF\uFFFF\uFEFF",
		"\u202Eright to left", `{"a": 1.0}`, `null`, `'; DROP TABLE teams; --`, `\u0000`, "é",
	}
	foreignTimes = []string{
		`infinity`, `-infinity`, `20000-01-01`, `0044-03-15 BC`, `294276-12-31`, `4713-01-01 BC`, `0001-01-01`, `9999-12-31 23:59:59.999999`,
		`1970-01-01`, `2000-02-29 23:59:59.5`,
	}
	foreignNumbers = []string{`0`, `2147483647`, `1`}
)

func nth(list []string, i int) string { return list[i%len(list)] }

const foreignRowsSQL = `
	WITH row AS (
		SELECT $1::int AS i, $2::text AS text, $3::text::json AS doc, $4::text::json AS tags, $5::text::timestamptz AS at, $6::text::int AS n,
			gen_random_uuid() AS organization, gen_random_uuid() AS team
	), o AS (
		INSERT INTO organizations (id, name, slug, description, settings, max_teams, max_users_per_team, created_at, updated_at)
		SELECT organization, left('n' || i || text, 255), 'o' || i, text, doc, n, n, at, at FROM row
	), t AS (
		INSERT INTO teams (id, organization_id, name, slug, description, settings, permissions, created_at, updated_at)
		SELECT team, organization, left('n' || i || text, 255), 't' || i, text, doc, doc, at, at FROM row
	), u AS (
		INSERT INTO users (organization_id, team_id, email, username, full_name, oidc_subject, preferences, created_at, updated_at)
		SELECT organization, team, 'u' || i || '@acme.example', 'u' || i, left(text, 255), left(i || text, 255), doc, at, at FROM row
	), a AS (
		INSERT INTO agent_configs (organization_id, team_id, name, description, agent_type, config, triggers, conditions, tags,
			execution_timeout_seconds, max_retries, retry_delay_seconds, created_at, updated_at)
		SELECT organization, team, left('n' || text, 255), text, 'CUSTOM', doc, doc, doc, tags, greatest(n, 1), n, n, at, at FROM row
	)
	INSERT INTO configs (organization_id, team_id, name, description, config_type, priority, config_json, tags, created_at, updated_at)
	SELECT organization, team, left('n' || text, 255), text, 'ALERT', -n, doc, tags, at, at FROM row`

// What our validators refuse, too. Rows as they were before a check are made without it.
const olderRowsSQL = `
	WITH odd AS (
		SELECT i - 1 AS i, ($1::text[])[1 + (i - 1) % array_length($1::text[], 1)]::json AS doc,
			($2::text[])[1 + (i - 1) % array_length($2::text[], 1)]::json AS tags, ($3::text[])[1 + (i - 1) % array_length($3::text[], 1)]::timestamptz AS at
		FROM generate_series(1, 100) AS i
	), o AS (
		UPDATE organizations o SET slug = upper(slug) || ' ' || i, name = repeat(' ', i + 1), settings = doc, max_teams = -2147483648, updated_at = at
		FROM odd WHERE slug = 'o' || i
	), t AS (
		UPDATE teams t SET slug = '/ É' || i, name = '', settings = doc, permissions = doc, updated_at = at FROM odd WHERE slug = 't' || i
	), u AS (
		UPDATE users u SET email = 'nobody ' || i, username = ' ' || i, oidc_provider = '', oidc_subject = i::text, preferences = doc, updated_at = at
		FROM odd WHERE username = 'u' || i
	), a AS (
		UPDATE agent_configs a SET name = '', config = doc, triggers = doc, conditions = doc, tags = v.tags, version = -2147483648,
			execution_timeout_seconds = -2147483648, max_retries = -1, retry_delay_seconds = -1, updated_at = at
		FROM odd v JOIN teams t ON t.slug = 't' || i WHERE t.id = a.team_id
	)
	UPDATE configs c SET name = ' ', config_json = doc, tags = v.tags, version = 2147483000, name_pattern = '(', severity_pattern = '*',
		team_pattern = '[', updated_at = at
	FROM odd v JOIN teams t ON t.slug = 't' || i WHERE t.id = c.team_id`

// withoutChecks runs SQL as if it had run before there were checks, which hold for new rows only.
func withoutChecks(t *testing.T, database, sql string, args ...any) {
	t.Helper()
	testdb.Exec(t, database, `CREATE TABLE checks AS SELECT conrelid::regclass AS "table", quote_ident(conname) AS name, pg_get_constraintdef(oid) AS
		definition FROM pg_constraint WHERE contype = 'c' AND NOT convalidated AND connamespace = 'public'::regnamespace`)
	each := func(do string) {
		testdb.Exec(t, database, `DO $$ DECLARE c record; BEGIN FOR c IN SELECT * FROM checks LOOP EXECUTE `+do+`; END LOOP; END $$`)
	}
	each(`format('ALTER TABLE %s DROP CONSTRAINT %s', c.table, c.name)`)
	testdb.Exec(t, database, sql, args...)
	each(`format('ALTER TABLE %s ADD CONSTRAINT %s %s', c.table, c.name, c.definition)`)
	testdb.Exec(t, database, `DROP TABLE checks`)
}

// goType is what no message may show.
var goType = regexp.MustCompile(`basetypes|tftypes|types\.\w+Value|tenancy\.\w+|\*\w+\.\w+|panic|SQLSTATE`)

// foreignRows makes some rows of each table.
func foreignRows(t *testing.T, n int) (database string) {
	t.Helper()
	database = testdb.Migrated(t, testdb.Unicode)
	for i := range n {
		testdb.Exec(t, database, foreignRowsSQL, i, nth(foreignTexts, i), nth(foreignJSON, i), nth(foreignTags, i), nth(foreignTimes, i),
			nth(foreignNumbers, i))
	}
	return database
}

// imported is a workspace into which all of them were imported, with a configuration that Terraform wrote.
func imported(t *testing.T, database string, n int) acctest.Workspace {
	t.Helper()
	var blocks strings.Builder
	for resource, table := range map[string]string{
		"organization": "organizations", "team": "teams", "user": "users", "agent_config": "agent_configs", "config": "configs",
	} {
		for i, id := range testdb.Value[[]string](t, database, `SELECT array_agg(id::text) FROM `+table) {
			fmt.Fprintf(&blocks, "import {\n  to = brownie_%s.x%d\n  id = %q\n}\n", resource, i, id)
		}
	}
	const lists = `data "brownie_organizations" "all" {}
data "brownie_teams" "all" {}
data "brownie_users" "all" {}
`
	w := acctest.NewWorkspace(t, database, lists+blocks.String())
	output := w.MustRun("plan", "-input=false", "-generate-config-out=generated.tf")
	if want := fmt.Sprintf("%d to import, 0 to add", 5*n); !strings.Contains(output, want) {
		t.Errorf("the plan does not say %q:\n%s", want, output)
	}
	rewrite(w, `(deletion_protection += )true`, "${1}false")
	rewrite(w, `(force_destroy += )false`, "${1}true")
	if output, err := w.Apply(); err != nil {
		t.Fatal(output)
	}
	w.NoChanges()
	return w
}

// rewrite changes the configuration that Terraform wrote.
func rewrite(w acctest.Workspace, pattern, replacement string) {
	w.T.Helper()
	generated := filepath.Join(w.Dir, "generated.tf")
	text := string(testdb.Must(os.ReadFile(generated))(w.T))
	changed := regexp.MustCompile(pattern).ReplaceAllString(text, replacement)
	if changed == text {
		w.T.Fatalf("nothing is %s", pattern)
	}
	if err := os.WriteFile(generated, []byte(changed), 0o600); err != nil {
		w.T.Fatal(err)
	}
}

// Whatever others have stored can be imported with a generated configuration, refreshed, planned and destroyed.
func TestAccWhatOthersWrote(t *testing.T) {
	t.Parallel()
	database := foreignRows(t, len(foreignJSON))
	w := imported(t, database, len(foreignJSON))
	withoutChecks(t, database, olderRowsSQL, olderJSON, olderTags, foreignTimes)
	if output := w.MustRun("plan", "-input=false"); goType.MatchString(output) {
		t.Errorf("the plan shows something internal:\n%s", output)
	}
	w.MustRun("destroy", "-auto-approve", "-input=false")
	if n := testdb.Value[int](t, database, `SELECT count(*) FROM organizations`); n > 0 {
		t.Errorf("%d organizations are left", n)
	}
}

// So can what no new configuration may hold: it stays as it is, and all else of its row can be changed.
func TestAccWhatOthersWroteAgainstTheRules(t *testing.T) {
	t.Parallel()
	database := foreignRows(t, 3)
	testdb.Exec(t, database, olderRowsSQL, foreignJSON, foreignTags, foreignTimes)
	w := imported(t, database, 3)
	rewrite(w, `(is_active += )true`, "${1}false")
	w.MustRun("apply", "-auto-approve", "-input=false")
	w.NoChanges()
	generated := filepath.Join(w.Dir, "generated.tf")
	good := testdb.Must(os.ReadFile(generated))(t)
	rewrite(w, `( max_retries += )-1`, "${1}-2")
	rewrite(w, `( max_teams += )-2147483648`, "${1}-1")
	rewrite(w, `( email += )"nobody 1"`, `${1}"nobody 2"`)
	rewrite(w, `( slug += )"O1 1"`, `${1}"O1"`)
	rewrite(w, `( name_pattern += )"[(]"`, `${1}"[("`)
	output, err := w.Run("plan", "-input=false")
	if err == nil {
		t.Errorf("a new value against the rules was accepted:\n%s", output)
	}
	for _, words := range []string{
		"max_retries value must be between 0", "max_teams value must be between 0", `email is "nobody 2"`, `slug is "O1"`, `name_pattern is "[("`,
	} {
		if !acctest.Says(words).MatchString(output) {
			t.Errorf("the error does not say %q:\n%s", words, output)
		}
	}
	if err := os.WriteFile(generated, good, 0o600); err != nil {
		t.Fatal(err)
	}
	w.MustRun("destroy", "-auto-approve", "-input=false")
	if n := testdb.Value[int](t, database, `SELECT count(*) FROM organizations`); n > 0 {
		t.Errorf("%d organizations are left", n)
	}
}
