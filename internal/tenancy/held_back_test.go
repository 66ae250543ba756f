package tenancy_test

import (
	"strings"
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/tenancy"
)

// A trigger or a rule of somebody else's that drops a change in silence makes it an error, never a success and no riddle.
func TestChangesThatATriggerDrops(t *testing.T) {
	t.Parallel()
	tenant, user, agent, config := newRows(t)
	store, ctx := tenant.store, t.Context()
	empty := testdb.Must(store.CreateOrganization(ctx, tenancy.Organization{Name: "Empty", Slug: "empty", MaxTeams: 9}))(t)
	team := testdb.Must(store.CreateTeam(ctx, newTeam(tenant.organization, "empty")))(t)
	testdb.Exec(t, tenant.database, `CREATE FUNCTION public.drop_it() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'`)
	for _, table := range []string{"organizations", "teams", "users", "agent_configs", "configs"} {
		testdb.Exec(t, tenant.database, `CREATE TRIGGER zz BEFORE INSERT OR UPDATE OR DELETE ON public.`+table+
			` FOR EACH ROW EXECUTE FUNCTION public.drop_it()`)
	}
	renamed := empty
	renamed.Name = "Other"
	renamedUser, renamedAgent, renamedConfig, longer, wider := user, agent, config, agent, config
	renamedUser.Username, renamedAgent.Name, renamedConfig.Name, longer.MaxRetries, wider.Priority = "other", "other", "other", 9, 9
	for what, try := range map[string]func() error{
		"create organization": func() error {
			_, err := store.CreateOrganization(ctx, tenancy.Organization{Name: "New", Slug: "new"})
			return err
		},
		"create team": func() error { _, err := store.CreateTeam(ctx, newTeam(tenant.organization, "new")); return err },
		"create user": func() error { _, err := store.CreateUser(ctx, newUser(tenant.team, "new")); return err },
		"create agent config": func() error {
			_, err := store.CreateAgentConfig(ctx, tenancy.AgentConfig{
				OrganizationID: team.OrganizationID, TeamID: team.ID, Name: "new", AgentType: "custom", Config: "{}",
			})
			return err
		},
		"create config": func() error {
			_, err := store.CreateConfig(ctx, tenancy.Config{OrganizationID: empty.ID, Name: "new", ConfigType: "alert", Status: "draft"})
			return err
		},
		"update organization": func() error { _, err := store.UpdateOrganization(ctx, empty, renamed); return err },
		"update team":         func() error { _, err := store.UpdateTeam(ctx, team, newTeam(tenant.organization, "b")); return err },
		"update user":         func() error { _, err := store.UpdateUser(ctx, user, renamedUser); return err },
		"rename agent config": func() error { _, err := store.UpdateAgentConfig(ctx, agent, renamedAgent); return err },
		"update agent config": func() error { _, err := store.UpdateAgentConfig(ctx, agent, longer); return err },
		"rename config":       func() error { _, err := store.UpdateConfig(ctx, config, renamedConfig); return err },
		"update config":       func() error { _, err := store.UpdateConfig(ctx, config, wider); return err },
		"delete organization": func() error { return store.DeleteOrganization(ctx, empty.ID) },
		"delete team":         func() error { return store.DeleteTeam(ctx, team.ID) },
		"delete user":         func() error { return store.DeleteUser(ctx, user.ID) },
		"soft-delete user":    func() error { return store.SoftDeleteUser(ctx, user.ID) },
		"delete agent config": func() error { return store.DeleteAgentConfig(ctx, agent.ID) },
		"delete config":       func() error { return store.DeleteConfig(ctx, config.ID) },
	} {
		if err := try(); err == nil || !strings.Contains(err.Error(), "trigger") {
			t.Errorf("%s: got %v", what, err)
		}
	}
}

// Who keeps deleted users by a trigger, as the platform does, has deleted them.
func TestATriggerThatKeepsDeletedUsers(t *testing.T) {
	t.Parallel()
	tenant, user, _, _ := newRows(t)
	testdb.Exec(t, tenant.database, `CREATE FUNCTION public.keep() RETURNS trigger LANGUAGE plpgsql AS
		'BEGIN UPDATE public.users SET deleted_at = now() WHERE id = OLD.id; RETURN NULL; END'`)
	testdb.Exec(t, tenant.database, `CREATE TRIGGER zz BEFORE DELETE ON public.users FOR EACH ROW EXECUTE FUNCTION public.keep()`)
	for range 2 {
		if err := tenant.store.DeleteUser(t.Context(), user.ID); err != nil {
			t.Error(err)
		}
	}
}
