package tenancy_test

import (
	"strings"
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/acctest"
)

const shouting = `
resource "brownie_organization" "acme" {
  name                = "ACME"
  slug                = "acme"
  deletion_protection = false
}
resource "brownie_team" "platform" {
  organization_id = brownie_organization.acme.id
  name            = "PLATFORM"
  slug            = "platform"
}
resource "brownie_user" "jane" {
  organization_id = brownie_organization.acme.id
  team_id         = brownie_team.platform.id
  email           = "JANE@acme.example"
  username        = "jane"
}
resource "brownie_agent_config" "triage" {
  organization_id = brownie_organization.acme.id
  team_id         = brownie_team.platform.id
  name            = "TRIAGE"
  agent_type      = "custom"
  config          = "{}"
}
`

// A trigger of somebody else's that changes a value makes an error of ours, which says what is stored, and the object stays in the state.
func TestAccTriggersThatChangeValues(t *testing.T) {
	t.Parallel()
	database := testdb.Migrated(t)
	all := map[string]string{"organizations": "name", "teams": "name", "users": "email", "agent_configs": "name"}
	values := map[string]string{
		"organizations": "ACME", "teams": "PLATFORM", "users": "JANE@acme.example", "agent_configs": "TRIAGE",
	}
	lower := func(event string) {
		for table, column := range all {
			testdb.Exec(t, database, `CREATE FUNCTION public.lower_`+event+`_`+table+`() RETURNS trigger LANGUAGE plpgsql AS
				'BEGIN NEW.`+column+` := lower(NEW.`+column+`); RETURN NEW; END'`)
			testdb.Exec(t, database, `CREATE TRIGGER zz_`+event+` BEFORE `+event+` ON public.`+table+
				` FOR EACH ROW EXECUTE FUNCTION public.lower_`+event+`_`+table+`()`)
		}
	}
	says := func(output, table string) {
		t.Helper()
		words := all[table] + ` was to be "` + values[table] + `" and is stored as "` + strings.ToLower(values[table]) + `"`
		if !acctest.Says(words).MatchString(output) || strings.Contains(output, "inconsistent result") || !strings.Contains(output, "trigger") {
			t.Errorf("the error does not say %q:\n%s", words, output)
		}
	}
	calm := shouting
	for _, value := range values {
		calm = strings.Replace(calm, value, strings.ToLower(value), 1)
	}
	addresses := []string{"organization.acme", "team.platform", "user.jane", "agent_config.triage"}
	tables := []string{"organizations", "teams", "users", "agent_configs"}

	lower("insert")
	w := acctest.NewWorkspace(t, database, shouting)
	for i, table := range tables {
		output, err := w.Run("apply", "-auto-approve", "-input=false", "-target=brownie_"+addresses[i])
		if err == nil {
			t.Fatalf("the trigger on %s went unnoticed:\n%s", table, output)
		}
		says(output, table)
		w.MustRun("untaint", "brownie_"+addresses[i])
		if is := w.MustRun("state", "show", "brownie_"+addresses[i]); !strings.Contains(is, strings.ToLower(values[table])) {
			t.Errorf("the state does not have what is stored:\n%s", is)
		}
		// What comes next depends on this one, which the INSERT trigger leaves alone from now on.
		w.MustRun("apply", "-auto-approve", "-input=false", "-target=brownie_"+addresses[i])
	}
	w.NoChanges()

	w.Write(calm)
	w.MustRun("apply", "-auto-approve", "-input=false")
	lower("update")
	w.Write(shouting)
	for i, table := range tables {
		output, err := w.Run("apply", "-auto-approve", "-input=false", "-target=brownie_"+addresses[i])
		if err == nil {
			t.Fatalf("the trigger on %s went unnoticed:\n%s", table, output)
		}
		says(output, table)
		testdb.Exec(t, database, `DROP TRIGGER zz_update ON public.`+table)
		w.MustRun("apply", "-auto-approve", "-input=false", "-target=brownie_"+addresses[i])
	}
	w.NoChanges()
}
