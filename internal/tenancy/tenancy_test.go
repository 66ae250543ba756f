package tenancy_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/tenancy"
)

// tenant is a database with one organization and one team.
type tenant struct {
	database     string
	db           *postgres.DB
	store        *tenancy.Store
	organization tenancy.Organization
	team         tenancy.Team
}

func newTenant(t *testing.T, change func(*tenancy.Organization), needs ...testdb.Need) tenant {
	t.Helper()
	database := testdb.Migrated(t, needs...)
	db := testdb.DB(t, database)
	store := tenancy.New(db)
	organization := tenancy.Organization{Name: "Acme", Slug: "acme", IsActive: true, MaxTeams: 10, MaxUsersPerTeam: 50}
	if change != nil {
		change(&organization)
	}
	organization = testdb.Must(store.CreateOrganization(t.Context(), organization))(t)
	team := testdb.Must(store.CreateTeam(t.Context(), newTeam(organization, "platform")))(t)
	return tenant{database, db, store, organization, team}
}

func newTeam(o tenancy.Organization, slug string) tenancy.Team {
	return tenancy.Team{OrganizationID: o.ID, Name: "Team " + slug, Slug: slug, IsActive: true}
}

func newUser(team tenancy.Team, name string) tenancy.User {
	return tenancy.User{
		OrganizationID: team.OrganizationID, TeamID: team.ID, Email: name + "@acme.example", Username: name,
		Role: "member", IsActive: true,
	}
}

// race calls create n times at once and returns how many succeeded, and the errors of the others.
func race(n int, create func(i int) error) (succeeded int, failures []error) {
	errs := make([]error, n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() { errs[i] = create(i) })
	}
	group.Wait()
	for _, err := range errs {
		if err == nil {
			succeeded++
		} else {
			failures = append(failures, err)
		}
	}
	return succeeded, failures
}

func TestTeamsRacingForTheLimit(t *testing.T) {
	t.Parallel()
	tenant := newTenant(t, func(o *tenancy.Organization) { o.MaxTeams = 5 })
	others := []*tenancy.Store{tenant.store, tenancy.New(testdb.DB(t, tenant.database))} // two applies
	succeeded, failures := race(20, func(i int) error {
		_, err := others[i%2].CreateTeam(t.Context(), newTeam(tenant.organization, fmt.Sprintf("team-%d", i)))
		return err
	})
	if succeeded != 4 { // one exists
		t.Errorf("%d teams were created beside the one that exists, but max_teams is 5", succeeded)
	}
	for _, err := range failures {
		var limit *tenancy.LimitError
		if !errors.As(err, &limit) || limit.Limit != "max_teams" || limit.Max != 5 || limit.Count != 5 {
			t.Errorf("got %v, want a LimitError that names max_teams 5 and the count 5", err)
		}
	}
}

func TestUsersRacingForTheLimit(t *testing.T) {
	t.Parallel()
	tenant := newTenant(t, func(o *tenancy.Organization) { o.MaxUsersPerTeam = 3 })
	succeeded, failures := race(20, func(i int) error {
		_, err := tenant.store.CreateUser(t.Context(), newUser(tenant.team, fmt.Sprintf("user%d", i)))
		return err
	})
	if succeeded != 3 {
		t.Errorf("%d users were created, but max_users_per_team is 3", succeeded)
	}
	for _, err := range failures {
		var limit *tenancy.LimitError
		if !errors.As(err, &limit) || limit.Limit != "max_users_per_team" || limit.Max != 3 {
			t.Errorf("got %v, want a LimitError that names max_users_per_team", err)
		}
	}
	// Moving a user into the full team is held to the same limit.
	other := testdb.Must(tenant.store.CreateTeam(t.Context(), newTeam(tenant.organization, "other")))(t)
	user := testdb.Must(tenant.store.CreateUser(t.Context(), newUser(other, "late")))(t)
	moved := user
	moved.TeamID = tenant.team.ID
	var limit *tenancy.LimitError
	if _, err := tenant.store.UpdateUser(t.Context(), user, moved); !errors.As(err, &limit) {
		t.Errorf("moving a user to the full team: got %v, want a LimitError", err)
	}
}

func TestSameNameCreatedAtOnce(t *testing.T) {
	t.Parallel()
	tenant := newTenant(t, nil)
	creations := map[string]func(int) error{
		"organization": func(int) error {
			_, err := tenant.store.CreateOrganization(t.Context(), tenancy.Organization{Name: "Globex", Slug: "globex", MaxTeams: 1})
			return err
		},
		"team": func(int) error {
			_, err := tenant.store.CreateTeam(t.Context(), newTeam(tenant.organization, "same"))
			return err
		},
		"user": func(int) error {
			_, err := tenant.store.CreateUser(t.Context(), newUser(tenant.team, "same"))
			return err
		},
		"username": func(i int) error {
			user := newUser(tenant.team, fmt.Sprintf("username%d", i))
			user.Username = "taken"
			_, err := tenant.store.CreateUser(t.Context(), user)
			return err
		},
		"agent config": func(int) error {
			_, err := tenant.store.CreateAgentConfig(t.Context(), tenancy.AgentConfig{
				OrganizationID: tenant.organization.ID, TeamID: tenant.team.ID, Name: "same", AgentType: "custom", Config: "{}",
			})
			return err
		},
		"config": func(int) error {
			_, err := tenant.store.CreateConfig(t.Context(), tenancy.Config{
				OrganizationID: tenant.organization.ID, Name: "same", ConfigType: "alert", Status: "draft",
			})
			return err
		},
	}
	for noun, create := range creations {
		succeeded, failures := race(8, create)
		if succeeded != 1 {
			t.Errorf("%d of 8 succeeded to create the same %s, want 1", succeeded, noun)
		}
		for _, err := range failures {
			var duplicate *tenancy.DuplicateError
			if !errors.As(err, &duplicate) || duplicate.ID == "" || duplicate.Key == "" {
				t.Errorf("%s: got %v, want a DuplicateError that names the existing one", noun, err)
			}
		}
	}
}

// The platform's own clients may have used a name twice, which no key forbids.
func TestRowsWithANameThatWasUsedTwice(t *testing.T) {
	t.Parallel()
	tenant := newTenant(t, nil)
	ctx := t.Context()
	agent := testdb.Must(tenant.store.CreateAgentConfig(ctx, tenancy.AgentConfig{
		OrganizationID: tenant.organization.ID, TeamID: tenant.team.ID, Name: "same", AgentType: "custom", Config: "{}",
	}))(t)
	config := testdb.Must(tenant.store.CreateConfig(ctx, tenancy.Config{
		OrganizationID: tenant.organization.ID, Name: "same", ConfigType: "alert", Status: "draft",
	}))(t)
	testdb.Exec(t, tenant.database, `INSERT INTO agent_configs (organization_id, team_id, name, agent_type)
		VALUES ($1, $2, 'same', 'CUSTOM'), ($1, $2, 'other', 'CUSTOM')`, tenant.organization.ID, tenant.team.ID)
	testdb.Exec(t, tenant.database, `INSERT INTO configs (organization_id, name, config_type)
		VALUES ($1, 'same', 'ALERT'), ($1, 'other', 'ALERT')`, tenant.organization.ID)

	if _, err := tenant.store.AgentConfigByKey(ctx, "acme", "platform", "same"); err == nil {
		t.Error("one of two agent configs was chosen by their common name")
	}
	changedAgent, changedConfig := agent, config
	changedAgent.MaxRetries, changedConfig.Priority = 7, 7
	agent = testdb.Must(tenant.store.UpdateAgentConfig(ctx, agent, changedAgent))(t)
	config = testdb.Must(tenant.store.UpdateConfig(ctx, config, changedConfig))(t)

	changedAgent, changedConfig = agent, config
	changedAgent.Name, changedConfig.Name = "other", "other"
	var duplicate *tenancy.DuplicateError
	if _, err := tenant.store.UpdateAgentConfig(ctx, agent, changedAgent); !errors.As(err, &duplicate) {
		t.Errorf("agent config renamed to a taken name: got %v", err)
	}
	if _, err := tenant.store.UpdateConfig(ctx, config, changedConfig); !errors.As(err, &duplicate) {
		t.Errorf("config renamed to a taken name: got %v", err)
	}
}

func TestADuplicateIsReportedAsSuchWhenTheLimitIsReachedToo(t *testing.T) {
	t.Parallel()
	tenant := newTenant(t, func(o *tenancy.Organization) { o.MaxTeams, o.MaxUsersPerTeam = 1, 1 })
	var duplicate *tenancy.DuplicateError
	if _, err := tenant.store.CreateTeam(t.Context(), newTeam(tenant.organization, "platform")); !errors.As(err, &duplicate) {
		t.Errorf("team: got %v, want a DuplicateError", err)
	}
	testdb.Must(tenant.store.CreateUser(t.Context(), newUser(tenant.team, "jane")))(t)
	if _, err := tenant.store.CreateUser(t.Context(), newUser(tenant.team, "jane")); !errors.As(err, &duplicate) {
		t.Errorf("user: got %v, want a DuplicateError", err)
	}
}

func TestDeletedUserComesBackToLife(t *testing.T) {
	t.Parallel()
	tenant := newTenant(t, nil)
	ctx := t.Context()
	user := testdb.Must(tenant.store.CreateUser(ctx, newUser(tenant.team, "jane")))(t)
	testdb.Exec(t, tenant.database, `UPDATE users SET deleted_at = now(), deleted_by = $1, password_hash = 'kept' WHERE id = $1`, user.ID)
	if _, err := tenant.store.User(ctx, user.ID); !errors.Is(err, postgres.ErrNotFound) {
		t.Errorf("a deleted user: got %v, want ErrNotFound", err)
	}

	again := newUser(tenant.team, "jane")
	again.Username, again.Role = "jane2", "admin"
	revived := testdb.Must(tenant.store.CreateUser(ctx, again))(t)
	if revived.ID != user.ID || revived.Username != "jane2" || revived.Role != "admin" {
		t.Errorf("got %+v, want the row %s with the new attributes", revived, user.ID)
	}
	if !testdb.Value[bool](t, tenant.database, `SELECT deleted_at IS NULL AND deleted_by IS NULL AND password_hash = 'kept' FROM `+
		`users WHERE id = $1`, user.ID) {
		t.Error("the revived row must lose deleted_at and deleted_by, and keep what is not managed")
	}

	// Another organization neither gets the row nor learns to import it.
	testdb.Exec(t, tenant.database, `UPDATE users SET deleted_at = now() WHERE id = $1`, user.ID)
	globex := testdb.Must(tenant.store.CreateOrganization(ctx, tenancy.Organization{
		Name: "Globex", Slug: "globex", MaxTeams: 1,
		MaxUsersPerTeam: 1,
	}))(t)
	team := testdb.Must(tenant.store.CreateTeam(ctx, newTeam(globex, "core")))(t)
	var duplicate *tenancy.DuplicateError
	if _, err := tenant.store.CreateUser(ctx, newUser(team, "jane")); !errors.As(err, &duplicate) || duplicate.DeletedAt == nil {
		t.Errorf("got %v, want a DuplicateError that tells that the user was deleted", err)
	}
}

func TestConflictNamesEveryAttribute(t *testing.T) {
	t.Parallel()
	tenant := newTenant(t, nil)
	testdb.Exec(t, tenant.database, `UPDATE teams SET name = 'Changed', settings = '{"a": 2}' WHERE id = $1`, tenant.team.ID)
	after := tenant.team
	after.IsActive = false
	_, err := tenant.store.UpdateTeam(t.Context(), tenant.team, after)
	var conflict *tenancy.ConflictError
	if !errors.As(err, &conflict) || len(conflict.Changes) != 2 {
		t.Fatalf("got %v, want a ConflictError about name and settings", err)
	}
	want := []tenancy.Change{
		{Attribute: "name", Expected: `"Team platform"`, Actual: `"Changed"`},
		{Attribute: "settings", Expected: "null", Actual: `{"a": 2}`},
	}
	for i, change := range conflict.Changes {
		if change != want[i] {
			t.Errorf("got %+v, want %+v", change, want[i])
		}
	}
	if !testdb.Value[bool](t, tenant.database, `SELECT is_active FROM teams WHERE id = $1`, tenant.team.ID) {
		t.Error("the row was changed in spite of the conflict")
	}
}

func TestAChangeOfWhatIsNotManagedIsNoConflict(t *testing.T) {
	t.Parallel()
	tenant := newTenant(t, nil)
	testdb.Exec(t, tenant.database, `UPDATE teams SET config_yaml = 'a: 1' WHERE id = $1`, tenant.team.ID)
	after := tenant.team
	after.Name = "Renamed"
	if updated, err := tenant.store.UpdateTeam(t.Context(), tenant.team, after); err != nil || updated.Name != "Renamed" {
		t.Errorf("got %+v, %v", updated, err)
	}
}

func TestJSONIsComparedByMeaning(t *testing.T) {
	t.Parallel()
	tenant := newTenant(t, func(o *tenancy.Organization) { o.Settings = ptr(tenancy.JSON(`{"a":1,"b":[1,2]}`)) })
	testdb.Exec(t, tenant.database, `UPDATE organizations SET settings = '{ "b": [1, 2], "a": 1 }' WHERE id = $1`, tenant.organization.ID)
	after := tenant.organization
	after.Name = "Renamed"
	if _, err := tenant.store.UpdateOrganization(t.Context(), tenant.organization, after); err != nil {
		t.Errorf("a text that means the same was taken for a change: %v", err)
	}
}

func ptr[T any](value T) *T { return &value }

func TestTheDatabaseRefusesForeignTeams(t *testing.T) {
	t.Parallel()
	tenant := newTenant(t, nil)
	ctx := t.Context()
	user := testdb.Must(tenant.store.CreateUser(ctx, newUser(tenant.team, "jane")))(t)
	other := tenancy.Organization{Name: "Globex", Slug: "globex", MaxTeams: 1, MaxUsersPerTeam: 1}
	globex := testdb.Must(tenant.store.CreateOrganization(ctx, other))(t)
	foreign := testdb.Must(tenant.store.CreateTeam(ctx, newTeam(globex, "core")))(t)
	for _, sql := range []string{
		`UPDATE users SET team_id = $2 WHERE id = $1`,
		`UPDATE users SET team_id = $2, organization_id = (SELECT organization_id FROM teams WHERE id = $2) WHERE id = $1`,
		`UPDATE teams SET organization_id = (SELECT organization_id FROM teams WHERE id = $2) WHERE id = (SELECT team_id FROM users ` +
			`WHERE id = $1)`,
	} {
		if err := testdb.TryExec(t, tenant.database, sql, user.ID, foreign.ID); err == nil {
			t.Errorf("the database accepted %s", sql)
		}
	}
	// A team without anybody could be moved without hurting a foreign key; it is refused all the same.
	empty := testdb.Must(tenant.store.CreateTeam(ctx, newTeam(tenant.organization, "empty")))(t)
	if err := testdb.TryExec(t, tenant.database, `UPDATE teams SET organization_id = $2 WHERE id = $1`, empty.ID, globex.ID); err == nil {
		t.Error("the database let an empty team change its organization")
	}

	moved := user
	moved.TeamID = foreign.ID
	_, err := tenant.store.UpdateUser(ctx, user, moved)
	var refused *tenancy.OrganizationError
	if !errors.As(err, &refused) || refused.Attribute() != "team_id" {
		t.Errorf("got %v, want an OrganizationError on team_id", err)
	}
}

func TestNothingIsDeletedWithAnIncident(t *testing.T) {
	t.Parallel()
	tenant := newTenant(t, nil)
	ctx := t.Context()
	testdb.Exec(t, tenant.database, `INSERT INTO incidents (organization_id, team_id, title) VALUES ($1, $2, 'Disk full')`,
		tenant.organization.ID, tenant.team.ID)
	var notEmpty *tenancy.NotEmptyError
	if err := tenant.store.DeleteOrganization(ctx, tenant.organization.ID); !errors.As(err, &notEmpty) || notEmpty.Usage.Incidents != 1 {
		t.Errorf("organization: got %v, want a NotEmptyError with the count", err)
	}
	if err := tenant.store.DeleteTeam(ctx, tenant.team.ID); !errors.As(err, &notEmpty) || notEmpty.Usage.Incidents != 1 {
		t.Errorf("team: got %v, want a NotEmptyError with the count", err)
	}

	other := testdb.Must(tenant.store.CreateOrganization(ctx, tenancy.Organization{Name: "Globex", Slug: "globex"}))(t)
	testdb.Exec(t, tenant.database, `INSERT INTO brownie.role_bindings (role_name, organization_id, access)
		SELECT 'app', id, 'reader' FROM organizations WHERE id = '`+other.ID+`'`)
	if err := tenant.store.DeleteOrganization(ctx, other.ID); !errors.As(err, &notEmpty) || notEmpty.Usage.String() != "1 role" {
		t.Errorf("organization with a role: got %v", err)
	}

	forced := tenant.organization
	forced.ForceDestroy = true
	testdb.Must(tenant.store.UpdateOrganization(ctx, tenant.organization, forced))(t)
	for range 2 { // deleting what is gone is no error
		if err := tenant.store.DeleteTeam(ctx, tenant.team.ID); err != nil {
			t.Fatal(err)
		}
		if err := tenant.store.DeleteOrganization(ctx, tenant.organization.ID); err != nil {
			t.Fatal(err)
		}
	}
	// A restore deletes it, too. What was made and is there, or could not be deleted, it does not know.
	if noted := testdb.Value[string](t, tenant.database, `SELECT coalesce(string_agg(name || ' ' || event || ' ' || slug, ', '), '')
		FROM brownie.backup_ledger`); noted != tenant.organization.ID+" deleted "+tenant.organization.Slug {
		t.Errorf("the ledger has %q", noted)
	}
}

// One change costs one transaction, and the ten reads that Terraform asks for at once cost at most two.
func TestTransactionsPerChange(t *testing.T) {
	t.Parallel()
	tenant := newTenant(t, nil)
	tenant.db.Close() // so that nothing else is counted
	observer := testdb.Empty(t)
	config := testdb.Config(t, tenant.database)
	config.MaxConnections = 1
	commits := func(changes int) int64 {
		before := committed(t, observer, tenant.database)
		db := postgres.New(config)
		store := tenancy.New(db)
		for i := range changes {
			user := testdb.Must(store.CreateUser(t.Context(), newUser(tenant.team, fmt.Sprintf("user%d", i))))(t)
			if err := store.DeleteUser(t.Context(), user.ID); err != nil {
				t.Fatal(err)
			}
		}
		db.Close()
		return committed(t, observer, tenant.database) - before
	}
	// What connecting and preparing cost is the same for both numbers of changes.
	if few, many := commits(2), commits(12); many-few != 20 {
		t.Errorf("10 more creates and deletes took %d transactions, want 20", many-few)
	}
}

// committed counts the transactions that were committed in a database, as seen from another one. A session reports them
// when it ends, so that none may be left.
func committed(t *testing.T, observer, database string) int64 {
	t.Helper()
	testdb.Until(t, observer, `SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = $1)`, database)
	return testdb.Value[int64](t, observer, `SELECT xact_commit FROM pg_stat_database WHERE datname = $1`, database)
}

// The platform's models give every column explicitly, and null as JSON null.
func TestPlatformInserts(t *testing.T) {
	t.Parallel()
	database := testdb.Migrated(t, testdb.Certificates)
	db := serviceRole(t, database, "brownie-fastapi-server", "writer")
	ids := `'11111111-1111-1111-1111-111111111111'::uuid, now(), now()`
	org, team, user := `'11111111-1111-1111-1111-111111111111'`, `'22222222-2222-2222-2222-222222222222'`,
		`'33333333-3333-3333-3333-333333333333'`
	for _, sql := range []string{
		`INSERT INTO public.organizations (id, created_at, updated_at, name, slug, description, is_active, config_yaml, config_json,
			config_version,
			settings, max_teams, max_users_per_team) VALUES (` + ids + `, 'Acme', 'acme', NULL, true, NULL, 'null', NULL, 'null', 10, 50)`,
		`INSERT INTO public.teams (id, created_at, updated_at, org_id, created_by, updated_by, name, slug, description, is_active,
			config_yaml,
			config_json, config_version, settings, permissions, organization_id)
			VALUES (` + team + `, now(), now(), ` + org + `, NULL, NULL, 'Core', 'core', NULL, true, NULL, 'null', NULL, '{}', ` +
			`'["read"]', ` + org + `)`,
		`INSERT INTO public.users (id, created_at, updated_at, org_id, created_by, updated_by, deleted_at, deleted_by, email, username,
			full_name,
			avatar_url, password_hash, is_active, is_verified, oidc_subject, oidc_provider, team_id, role, preferences, organization_id)
			VALUES (` + user + `, now(), now(), ` + org + `, NULL, NULL, NULL, NULL, 'a@b.example', 'a', NULL, NULL, 'hash', true,
				false, NULL, NULL,
			` + team + `, 'MEMBER', 'null', ` + org + `)`,
		`INSERT INTO public.agent_configs (id, created_at, updated_at, org_id, created_by, updated_by, version, name, description,
			agent_type, is_active,
			config_yaml, config_json, config_version, config, execution_timeout_seconds, max_retries, retry_delay_seconds, triggers,
				conditions,
			tags, config_metadata, team_id, organization_id) VALUES (gen_random_uuid(), now(), now(),
				` + org + `, ` + user + `, NULL,
				1, 'x', NULL,
			'CUSTOM', true, NULL, 'null', NULL, '{}', 1, 1, 1, '[]', '{}', '["a"]', 'null', ` + team + `, ` + org + `)`,
		`INSERT INTO public.configs (id, created_at, updated_at, org_id, created_by, updated_by, version, name, description,
			config_type, status,
			name_pattern, severity_pattern, team_pattern, config_yaml, config_json, config_version, priority, is_global, is_active, tags,
			config_metadata, team_id, organization_id) VALUES (gen_random_uuid(), now(), now(),
				` + org + `, NULL, NULL, 1, 'x', NULL,
				'ALERT', 'DRAFT',
			NULL, NULL, NULL, NULL, '{}', NULL, 0, false, true, '{}', 'null', ` + team + `, ` + org + `)`,
		`INSERT INTO public.incidents (id, created_at, updated_at, org_id, created_by, updated_by, version, idempotency_key, title,
			description, status,
			priority, assigned_to, started_at, resolved_at, closed_at, tags, incident_metadata, response_time_minutes,
				resolution_time_minutes,
			team_id, organization_id) VALUES (gen_random_uuid(), now(), now(),
				` + org + `, ` + user + `, NULL, 1, 'k', 't', NULL,
				'OPEN', 'LOW',
			` + user + `, NULL, NULL, NULL, 'null', '{}', NULL, NULL, ` + team + `, ` + org + `)`,
		`INSERT INTO public.stats (id, created_at, updated_at, org_id, metric_name, metric_type, value, count, "timestamp", time_window,
			labels,
			description, unit, team_id, organization_id)
			VALUES (gen_random_uuid(), now(), now(),
				` + org + `, 'm', 'gauge', 1, NULL, now(), NULL, 'null', NULL, NULL, NULL, ` + org + `)`,
	} {
		if _, err := postgres.Query[struct{}](t.Context(), db, sql); err != nil {
			t.Fatal(err)
		}
	}
	// What the models wrote reads back, with tags that are no list as none.
	store := tenancy.New(db)
	if config, err := store.ConfigByKey(context.Background(), "acme", "core", "x"); err != nil || config.Tags != nil {
		t.Errorf("got %+v, %v", config, err)
	}
	if o, err := store.OrganizationBySlug(context.Background(), "acme"); err != nil || o.Settings != nil {
		t.Errorf("JSON null must read as no settings; got %v, %v", o.Settings, err)
	}
}

// Plain SQL needs to give only what has no sensible default, and one of the two tenant columns.
func TestServerDefaults(t *testing.T) {
	t.Parallel()
	tenant := newTenant(t, nil)
	org, team := tenant.organization.ID, tenant.team.ID
	testdb.Exec(t, tenant.database, `INSERT INTO public.users (organization_id, team_id, email, username) VALUES ($1, $2, `+
		`'b@b.example', 'b')`, org, team)
	testdb.Exec(t, tenant.database, `INSERT INTO public.agent_configs (org_id, team_id, name, agent_type) VALUES ($1, $2, 'a', `+
		`'CUSTOM')`, org, team)
	testdb.Exec(t, tenant.database, `INSERT INTO public.configs (organization_id, name, config_type) VALUES ($1, 'a', 'TEAM')`, org)
	testdb.Exec(t, tenant.database, `INSERT INTO public.incidents (organization_id, team_id, title) VALUES ($1, $2, 'a')`, org, team)
	testdb.Exec(t, tenant.database, `INSERT INTO public.stats (organization_id, metric_name, metric_type, value) VALUES ($1, 'a', `+
		`'b', 1)`, org)
	for _, table := range []string{"users", "agent_configs", "configs", "incidents", "stats"} {
		if !testdb.Value[bool](t, tenant.database, `SELECT bool_and(org_id = organization_id) FROM `+table) {
			t.Errorf("%s: org_id and organization_id differ", table)
		}
	}
	if testdb.TryExec(t, tenant.database, `UPDATE teams SET settings = '"text"' WHERE id = $1`, team) == nil {
		t.Error("a bare JSON string was accepted as settings")
	}
	if !testdb.Value[bool](t, tenant.database, `UPDATE teams SET name = 'x' WHERE id = $1 RETURNING updated_at > $2`, team,
		tenant.team.UpdatedAt) {
		t.Error("updated_at did not move")
	}
	if !testdb.Value[bool](t, tenant.database, `UPDATE teams SET updated_at = '2020-01-01' WHERE id = $1 RETURNING updated_at = `+
		`'2020-01-01'`, team) {
		t.Error("a client's own updated_at was not kept")
	}
}

// serviceRole logs in as a role that acts for all tenants, as brownie_role makes it.
func serviceRole(t *testing.T, database, role, access string) *postgres.DB {
	t.Helper()
	testdb.Exec(t, database, `CREATE ROLE "`+role+`" LOGIN`)
	testdb.Exec(t, database, `GRANT brownie_`+access+`, brownie_all_tenants TO "`+role+`"; GRANT CONNECT ON DATABASE `+database+` TO "`+
		role+`"`)
	testdb.Exec(t, database, `INSERT INTO brownie.role_bindings (role_name, access) VALUES ('`+role+`', '`+access+`')`)
	t.Cleanup(func() { testdb.Exec(t, database, `DROP OWNED BY "`+role+`"; DROP ROLE "`+role+`"`) })
	db := postgres.New(testdb.ConfigAs(t, database, role))
	t.Cleanup(db.Close)
	return db
}

// A service role can do all that this package does.
func TestAServiceRole(t *testing.T) {
	t.Parallel()
	db := serviceRole(t, testdb.Migrated(t, testdb.Certificates), "manages-rows-only", "admin")
	store := tenancy.New(db)
	ctx := t.Context()
	acme := testdb.Must(store.CreateOrganization(ctx, tenancy.Organization{Name: "Acme", Slug: "acme", MaxTeams: 1, MaxUsersPerTeam: 1}))(t)
	team := testdb.Must(store.CreateTeam(ctx, newTeam(acme, "core")))(t)
	user := testdb.Must(store.CreateUser(ctx, newUser(team, "jane")))(t)
	renamed := user
	renamed.Username = "jane2"
	testdb.Must(store.UpdateUser(ctx, user, renamed))(t)
	agentConfig := testdb.Must(store.CreateAgentConfig(ctx, tenancy.AgentConfig{
		OrganizationID: acme.ID, TeamID: team.ID, Name: "a", AgentType: "custom", Config: "{}",
	}))(t)
	settings := testdb.Must(store.CreateConfig(ctx, tenancy.Config{
		OrganizationID: acme.ID, Name: "a", ConfigType: "alert",
		Status: "draft",
	}))(t)
	for _, remove := range []func() error{
		func() error { return store.DeleteConfig(ctx, settings.ID) },
		func() error { return store.DeleteAgentConfig(ctx, agentConfig.ID) },
		func() error { return store.DeleteUser(ctx, user.ID) },
		func() error { return store.DeleteTeam(ctx, team.ID) },
		func() error { return store.DeleteOrganization(ctx, acme.ID) },
	} {
		if err := remove(); err != nil {
			t.Error(err)
		}
	}
}
