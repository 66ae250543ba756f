package tenancy_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/document"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/tenancy"
)

// jsonColumns are all that hold JSON, also those that only the platform uses.
const jsonColumnsSQL = `SELECT array_agg(c.relname || '.' || a.attname) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
	WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.atttypid = 'json'::regtype AND NOT a.attisdropped`

// connect spares a test with many statements a connection for each.
func connect(t *testing.T, database string) *pgx.Conn {
	t.Helper()
	conn := testdb.Must(pgx.Connect(t.Context(), testdb.Server(t, database).URL(database)))(t)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// newRows is a tenant with one row of each kind.
func newRows(t *testing.T, needs ...testdb.Need) (tenant, tenancy.User, tenancy.AgentConfig, tenancy.Config) {
	t.Helper()
	tenant := newTenant(t, nil, needs...)
	user := testdb.Must(tenant.store.CreateUser(t.Context(), newUser(tenant.team, "jane")))(t)
	agent := testdb.Must(tenant.store.CreateAgentConfig(t.Context(), tenancy.AgentConfig{
		OrganizationID: tenant.organization.ID, TeamID: tenant.team.ID, Name: "triage", AgentType: "custom", Config: "{}",
	}))(t)
	config := testdb.Must(tenant.store.CreateConfig(t.Context(), tenancy.Config{
		OrganizationID: tenant.organization.ID, Name: "routing", ConfigType: "alert", Status: "draft",
	}))(t)
	testdb.Exec(t, tenant.database, `INSERT INTO incidents (organization_id, team_id, title) VALUES ($1, $2, 'x')`, tenant.organization.ID,
		tenant.team.ID)
	testdb.Exec(t, tenant.database, `INSERT INTO stats (organization_id, metric_name, metric_type, value) VALUES ($1, 'x', 'x', 0)`,
		tenant.organization.ID)
	return tenant, user, agent, config
}

// No JSON column takes an escape at which everybody's ->> fails, in whatever database; all others it takes.
func TestJSONThatNobodyCouldReadIsRefused(t *testing.T) {
	t.Parallel()
	for name, kind := range testdb.Kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tenant, _, _, _ := newRows(t, kind)
			columns, conn := testdb.Value[[]string](t, tenant.database, jsonColumnsSQL), connect(t, tenant.database)
			if len(columns) != 18 {
				t.Errorf("there are %d JSON columns, want 18", len(columns))
			}
			for _, column := range columns {
				table, name, _ := strings.Cut(column, ".")
				for text, refused := range map[string]bool{
					`{"a":"\u0000"}`: true, `["\\\u0000"]`: true, `["\ud800"]`: true, `["x\uDC00y"]`: true, `{"\ud83d\ud83d\ude00":1}`: true,
					`["\\u0000", "\\\\ud800", "\u0001", "\ud83d\ude00\uD83D\uDE00"]`: false, `{"a":1}`: false, `null`: false, `[]`: false,
				} {
					if (document.Wrong(text) != "") != refused {
						t.Errorf("the plan thinks otherwise of %s", text)
					}
					_, err := conn.Exec(t.Context(), fmt.Sprintf(`UPDATE public.%s SET %s = $1::text::json`, table, name), pgx.QueryExecModeExec, text)
					constraint, _ := postgres.Constraint(err)
					if want := table + "_" + name + "_escapes"; refused && constraint != want || !refused && err != nil {
						t.Errorf("%s = %s: %v", column, text, err)
					}
				}
			}
		})
	}
}

// randomJSON writes a document as others might.
func randomJSON(r *rand.Rand, depth int) string {
	text := func() string {
		pieces := []string{"a", "é", "e\u0301", `\u00e9`, `\u0001`, `\n`, `\"`, `\\`, `\/`, `\ud83d\ude00`, "\U0001F600", "${x}", "\u2028", " ", `\\u0000`}
		var out strings.Builder
		for range r.IntN(4) {
			out.WriteString(pieces[r.IntN(len(pieces))])
		}
		return `"` + out.String() + `"`
	}
	space := []string{"", " ", "\n\t"}[r.IntN(3)]
	var items []string
	for range r.IntN(4) {
		var item string
		switch kind := r.IntN(6); {
		case kind < 2 && depth > 0:
			item = randomJSON(r, depth-1)
		case kind < 4:
			item = text()
		default:
			item = []string{"null", "true", "-0.0", "1e400", "1.50", "100E-2", "123456789012345678901234567890.5", "0"}[r.IntN(8)]
		}
		items = append(items, space+item)
	}
	if r.IntN(2) == 0 {
		return "[" + strings.Join(items, ",") + space + "]"
	}
	for i, item := range items {
		items[i] = space + text() + space + ":" + item
	}
	return "{" + strings.Join(items, ",") + "}"
}

// Whatever document is stored, reading returns it letter by letter, and tags as a set; writing another column leaves it.
func TestEveryStoredDocumentIsReadable(t *testing.T) {
	t.Parallel()
	tenant, user, agent, config := newRows(t, testdb.Unicode)
	r, ctx, s := rand.New(rand.NewPCG(1, 2)), t.Context(), tenant.store
	conn := connect(t, tenant.database)
	for i := range 100 {
		text := randomJSON(r, 3)
		if !json.Valid([]byte(text)) {
			t.Fatalf("the test's own document is not JSON: %s", text)
		}
		for _, assignments := range []string{
			`organizations SET settings = $1::json`, `teams SET settings = $1::json, permissions = $1::json`, `users SET preferences = $1::json`,
			`agent_configs SET config = $1::json, triggers = $1::json, conditions = $1::json, tags = $1::json`,
			`configs SET config_json = $1::json, tags = $1::json`,
		} {
			if _, err := conn.Exec(ctx, `UPDATE public.`+assignments, pgx.QueryExecModeExec, text); err != nil {
				t.Fatalf("%s: %s", text, err)
			}
		}
		organization, err1 := s.Organization(ctx, tenant.organization.ID)
		team, err2 := s.Team(ctx, tenant.team.ID)
		user, err3 := s.User(ctx, user.ID)
		agent, err4 := s.AgentConfig(ctx, agent.ID)
		config, err5 := s.Config(ctx, config.ID)
		if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
			t.Fatalf("%s: %s", text, err)
		}
		for _, got := range []*tenancy.JSON{
			organization.Settings, team.Settings, team.Permissions, user.Preferences, &agent.Config, agent.Triggers, agent.Conditions, config.ConfigJSON,
		} {
			if got == nil || string(*got) != text || !document.SameJSON(text, string(*got)) {
				t.Fatalf("%s was read as %v", text, got)
			}
		}
		changed := agent
		changed.MaxRetries = int32(i + 1)
		if _, err := s.UpdateAgentConfig(ctx, agent, changed); err != nil {
			t.Fatalf("%s: %s", text, err)
		}
		var now string
		if err := conn.QueryRow(ctx, `SELECT tags::text FROM public.agent_configs`).Scan(&now); err != nil || now != text {
			t.Fatalf("an update of max_retries rewrote tags %s as %s: %v", text, now, err)
		}
	}
}

// An update writes what the plan changes. Terraform knows each text in its composed form only.
func TestAnUpdateLeavesWhatIsNotPlannedAsItIsStored(t *testing.T) {
	t.Parallel()
	tenant, user, agent, _ := newRows(t, testdb.Unicode)
	const decomposed, composed = "rene\u0301@acme.example", "ren\u00e9@acme.example"
	testdb.Exec(t, tenant.database, `UPDATE users SET email = $1, full_name = $1, preferences = $2::text::json`, decomposed,
		"{\"a\" :  1.0,\n\"e\u0301\":[]}")
	testdb.Exec(t, tenant.database, `UPDATE agent_configs SET name = $1, tags = '["b","a","a",1]'`, "e\u0301")
	before := testdb.Must(tenant.store.User(t.Context(), user.ID))(t)
	before.Email, before.FullName, before.Preferences = composed, ptr(composed), ptr(tenancy.JSON("{\"a\" :  1.0,\n\"\u00e9\":[]}"))
	after := before
	after.Role = "viewer"
	if updated, err := tenant.store.UpdateUser(t.Context(), before, after); err != nil || updated.Role != "viewer" {
		t.Fatalf("got %+v, %v", updated, err)
	}
	if !testdb.Value[bool](t, tenant.database, `SELECT email = $1 AND full_name = $1 AND preferences::text = $2 AND role = 'VIEWER' FROM users`,
		decomposed, "{\"a\" :  1.0,\n\"e\u0301\":[]}") {
		t.Error("the update of the role rewrote other columns")
	}
	// A real change is written, and a conflict is found, whatever the form.
	testdb.Exec(t, tenant.database, `UPDATE users SET email = 'other@acme.example'`)
	before.Role, after.Role = "viewer", "admin"
	var conflict *tenancy.ConflictError
	if _, err := tenant.store.UpdateUser(t.Context(), before, after); !errors.As(err, &conflict) || len(conflict.Changes) != 1 {
		t.Errorf("got %v, want a conflict about the e-mail address", err)
	}
	stored := testdb.Must(tenant.store.AgentConfig(t.Context(), agent.ID))(t)
	stored.Name = "\u00e9" // as it is in the state
	changed := stored
	changed.Tags = tenancy.Tags{"b", "a", "c"}
	if _, err := tenant.store.UpdateAgentConfig(t.Context(), stored, changed); err != nil {
		t.Fatal(err)
	}
	if got := testdb.Value[string](t, tenant.database, `SELECT name || tags::text FROM agent_configs`); got != "e\u0301[\"b\",\"a\",\"c\"]" {
		t.Errorf("got %q", got)
	}
}

// A database that holds few characters holds those as every client reads them, and refuses all others.
func TestTextsInAnotherEncoding(t *testing.T) {
	t.Parallel()
	tenant := newTenant(t, func(o *tenancy.Organization) { o.Name = "Caf\u00e9" }, testdb.Latin1)
	if !testdb.Value[bool](t, tenant.database, `SELECT octet_length(name) = 4 AND name = 'Caf' || chr(233) FROM organizations`) {
		t.Error("the name is stored as other characters")
	}
	changed := tenant.organization
	changed.Name = "\u6f22"
	if _, err := tenant.store.UpdateOrganization(t.Context(), tenant.organization, changed); !strings.Contains(fmt.Sprint(err),
		"cannot hold a character") {
		t.Errorf("a character that the database cannot hold: %v", err)
	}
}

// Times that no clock shows, and that Go cannot write, are read as the first or last that RFC 3339 has; they hinder no change.
func TestTimesThatNoClockShows(t *testing.T) {
	t.Parallel()
	tenant, user, agent, config := newRows(t)
	for _, moment := range []string{"infinity", "-infinity", "20000-01-01", "0044-03-15 BC", "294276-12-31", "4713-01-01 BC"} {
		for _, table := range []string{"organizations", "teams", "users", "agent_configs", "configs"} {
			testdb.Exec(t, tenant.database, `UPDATE `+table+` SET created_at = $1::text::timestamptz, updated_at = $1::text::timestamptz`, moment)
		}
		organization := testdb.Must(tenant.store.Organization(t.Context(), tenant.organization.ID))(t)
		team := testdb.Must(tenant.store.Team(t.Context(), tenant.team.ID))(t)
		user := testdb.Must(tenant.store.User(t.Context(), user.ID))(t)
		agent := testdb.Must(tenant.store.AgentConfig(t.Context(), agent.ID))(t)
		config := testdb.Must(tenant.store.Config(t.Context(), config.ID))(t)
		if year := organization.CreatedAt.Year(); year != 1 && year != 9999 {
			t.Errorf("%s: year %d", moment, year)
		}
		name := "renamed " + moment
		newOrganization, newTeam, newUser, newAgent, newConfig := organization, team, user, agent, config
		newOrganization.Name, newTeam.Name, newUser.FullName, newAgent.Name, newConfig.Name = name, name, &name, name, name
		_, err1 := tenant.store.UpdateOrganization(t.Context(), organization, newOrganization)
		_, err2 := tenant.store.UpdateTeam(t.Context(), team, newTeam)
		_, err3 := tenant.store.UpdateUser(t.Context(), user, newUser)
		_, err4 := tenant.store.UpdateAgentConfig(t.Context(), agent, newAgent)
		_, err5 := tenant.store.UpdateConfig(t.Context(), config, newConfig)
		if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
			t.Errorf("%s: %s", moment, err)
		}
	}
	testdb.Exec(t, tenant.database, `UPDATE users SET deleted_at = 'infinity'`)
	other := testdb.Must(tenant.store.CreateOrganization(t.Context(), tenancy.Organization{Name: "G", Slug: "g", MaxTeams: 1, MaxUsersPerTeam: 1}))(t)
	team := testdb.Must(tenant.store.CreateTeam(t.Context(), newTeam(other, "g")))(t)
	var duplicate *tenancy.DuplicateError
	if _, err := tenant.store.CreateUser(t.Context(), newUser(team, "jane")); !errors.As(err, &duplicate) {
		t.Errorf("got %v, want a duplicate of the deleted user", err)
	}
	wish := string(testdb.Must(json.Marshal(tenancy.Wish{Kind: "user", OrganizationID: &other.ID, Email: &user.Email}))(t))
	if facts, err := tenant.store.Facts(t.Context(), []string{wish}); err != nil || len(facts[wish]) != 1 || facts[wish][0].DeletedAt == nil {
		t.Errorf("the plan: got %+v, %v, want the deleted user", facts[wish], err)
	}
}

// A row from before a check cannot be changed as long as it violates it; the error names the attribute.
func TestADocumentFromBeforeTheCheckIsNamed(t *testing.T) {
	t.Parallel()
	tenant := newTenant(t, nil)
	for constraint, value := range map[string]string{
		"teams_settings_escapes": `{"a":"\u0000"}`, "teams_settings_document": `5`, "teams_permissions_escapes": `["\ud800"]`,
	} {
		definition := testdb.Value[string](t, tenant.database, `SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = $1`, constraint)
		column := strings.Split(constraint, "_")[1]
		testdb.Exec(t, tenant.database, `ALTER TABLE teams DROP CONSTRAINT `+constraint)
		testdb.Exec(t, tenant.database, `UPDATE teams SET `+column+` = $1::text::json`, value)
		testdb.Exec(t, tenant.database, `ALTER TABLE teams ADD CONSTRAINT `+constraint+` `+definition)
		before := testdb.Must(tenant.store.Team(t.Context(), tenant.team.ID))(t)
		after := before
		after.Name += "x"
		var told problem.Error
		if _, err := tenant.store.UpdateTeam(t.Context(), before, after); !errors.As(err, &told) || told.Attribute() != column ||
			strings.Contains(err.Error(), "constraint") {
			t.Errorf("%s: got %v", constraint, err)
		}
		after.Settings, after.Permissions = nil, nil
		if _, err := tenant.store.UpdateTeam(t.Context(), before, after); err != nil {
			t.Errorf("%s: the remedy does not help: %s", constraint, err)
		}
	}
}
