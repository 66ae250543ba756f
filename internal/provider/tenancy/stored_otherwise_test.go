package tenancy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/acctest"
)

// A trigger of somebody else that changes values is named, and leaves nothing behind that Terraform would replace.
func TestAccTriggerThatChangesValues(t *testing.T) {
	t.Parallel()
	const team, all = `organization_id = brownie_organization.a.id
  team_id         = brownie_team.a.id`, `
resource "brownie_organization" "a" {
  name                = %[1]q
  slug                = "a"
  deletion_protection = false
  settings            = jsonencode({ b = 1, a = 2 })
}
resource "brownie_team" "a" {
  organization_id = brownie_organization.a.id
  name            = %[4]q
  slug            = "a"
}
resource "brownie_user" "a" {
  %[3]s
  email    = "%[2]s@a.example"
  username = "a"
}
resource "brownie_agent_config" "a" {
  %[3]s
  name       = %[2]q
  agent_type = "custom"
  config     = "{}"
}
resource "brownie_config" "a" {
  organization_id = brownie_organization.a.id
  name            = %[2]q
  config_type     = "alert"
}
`
	database := testdb.Migrated(t)
	testdb.Exec(t, database, `
		CREATE FUNCTION public.in_lower_case() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.name := lower(NEW.name); RETURN NEW; END';
		CREATE FUNCTION public.address_in_lower_case() RETURNS trigger LANGUAGE plpgsql AS
			'BEGIN NEW.email := lower(NEW.email); RETURN NEW; END';
		CREATE TRIGGER zz BEFORE INSERT OR UPDATE ON public.users FOR EACH ROW EXECUTE FUNCTION public.address_in_lower_case()`)
	for _, table := range []string{"organizations", "teams", "agent_configs", "configs"} {
		testdb.Exec(t, database, `CREATE TRIGGER zz BEFORE INSERT OR UPDATE ON public.`+table+
			` FOR EACH ROW EXECUTE FUNCTION public.in_lower_case()`)
	}
	w := acctest.NewWorkspace(t, database, "")
	write := func(organization, teamName, rest string) {
		w.Write(fmt.Sprintf(all, organization, rest, team, teamName))
	}
	fails := func(organization, teamName, rest string, says ...string) {
		t.Helper()
		write(organization, teamName, rest)
		output, err := w.Apply()
		if err == nil || strings.Contains(output, "inconsistent") {
			t.Errorf("%v\n%s", err, output)
		}
		for _, words := range says {
			if !acctest.Says(words).MatchString(output) {
				t.Errorf("it does not say %q:\n%s", words, output)
			}
		}
	}
	count := func(sql string) {
		t.Helper()
		if n := testdb.Value[int](t, database, sql); n != 0 {
			t.Errorf("%s: %d", sql, n)
		}
	}
	fails("A", "a", "a", `organization "a": name was to be "A", but the database made it "a"`, "The organization was not created")
	count(`SELECT count(*) FROM organizations`)
	fails("a", "A", "a", `team "a": name was to be "A"`, "The team was not created")
	count(`SELECT count(*) FROM teams`)
	fails("a", "a", "A", `user "a@a.example": email was to be "A@a.example"`, "The user was not created",
		`agent config "a": name was to be "A"`, "The agent config was not created",
		`config "a": name was to be "A"`, "The config was changed") // It was made beside the team.
	count(`SELECT (SELECT count(*) FROM users) + (SELECT count(*) FROM agent_configs)`)
	write("a", "a", "a")
	if plan := w.MustRun("plan", "-input=false"); !strings.Contains(plan, "2 to add, 0 to change, 0 to destroy") {
		t.Errorf("after the failure: %s", plan)
	}
	w.MustRun("apply", "-auto-approve", "-input=false")
	w.NoChanges()
	fails("A", "a", "a", `organization "a": name was to be "A", but the database made it "a"`, "The organization was changed")
	fails("a", "A", "a", `team "a": name was to be "A"`, "The team was changed")
	fails("a", "a", "A", `user "a@a.example": email was to be "A@a.example"`, "The user was changed", `config "a": name was to be "A"`,
		"The agent config was changed", "The config was changed")
	write("a", "a", "a")
	w.NoChanges()
	w.MustRun("destroy", "-auto-approve", "-input=false")
}
