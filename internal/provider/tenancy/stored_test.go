package tenancy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/acctest"
)

// Numbers of JSON are the same when their values are, whatever was written where; and no digit is lost.
func TestAccJSONNumbersAreComparedByValue(t *testing.T) {
	config := func(settings string) string {
		return acctest.Acme[:len(acctest.Acme)-2] + fmt.Sprintf("  settings = %s\n}\n", settings)
	}
	const precise = "123456789012345678901234567890.12345678901234567"
	same := config(fmt.Sprintf("jsonencode({ a = 1, b = 100, c = %s })", precise))
	const address = "brownie_organization.acme"
	acctest.Run(t, func(database string) []resource.TestStep {
		stored := func(settings string) func() {
			return acctest.BehindTerraformsBack(t, database, `UPDATE organizations SET settings = '`+settings+`'`)
		}
		return []resource.TestStep{
			{Config: config(`"{\"a\": 1.0, \"b\": 1e2, \"c\": ` + precise + `}"`)},
			{Config: same, PlanOnly: true},
			{PreConfig: stored(`{"a":10E-1,"b":100.00,"c":` + precise + `00}`), Config: same, PlanOnly: true},
			{ // the conflict check
				Config: strings.Replace(same, `"Acme"`, `"Acme 2"`, 1),
				ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
					acctest.BetweenPlanAndApply(t, database, `UPDATE organizations SET settings = '{"b":1e+2,"c":`+precise+`0,"a":1.000}'`),
				}},
				Check: resource.TestCheckResourceAttr(address, "name", "Acme 2"),
			},
			{
				PreConfig: func() { // which wrote the name only
					if is := testdb.Value[string](t, database, `SELECT settings::text FROM organizations`); !strings.Contains(is, "1.000") {
						t.Errorf("the settings were rewritten: %s", is)
					}
				},
				Config:           config(fmt.Sprintf("jsonencode({ a = 1, b = 100, c = %s8 })", precise)),
				ConfigPlanChecks: acctest.Planned(address, plancheck.ResourceActionUpdate),
				Check:            resource.TestCheckResourceAttr(address, "settings", `{"a":1,"b":100,"c":`+precise+`8}`),
			},
			{
				ResourceName: address, ImportState: true, ImportStateVerify: true,
				ImportStateVerifyIgnore: []string{"deletion_protection"},
			},
		}
	})
}

// Terraform composes every text (NFC). What others stored decomposed is no change, and stays when something else is changed.
func TestAccTextsStayAsTheyAreStored(t *testing.T) {
	config := func(role string) string {
		return acctest.Platform + fmt.Sprintf(`
resource "brownie_user" "rene" {
  organization_id = brownie_organization.acme.id
  team_id         = brownie_team.platform.id
  email           = "ren\u00e9@acme.example"
  username        = join("", [for _ in range(100) : "é"])
  full_name       = join("", [for _ in range(255) : "漢"])
  role            = %q
}`, role)
	}
	const decomposed = "rene\u0301@acme.example"
	acctest.RunIn(t, testdb.Unicode, func(database string) []resource.TestStep {
		return []resource.TestStep{
			{Config: config("member")},
			{PreConfig: func() { testdb.Exec(t, database, `UPDATE users SET email = $1`, decomposed) }, Config: config("member"), PlanOnly: true},
			{Config: config("viewer"), Check: resource.TestCheckResourceAttr("brownie_user.rene", "role", "viewer")},
			{
				PreConfig: func() {
					if is := testdb.Value[string](t, database, `SELECT email FROM users`); is != decomposed {
						t.Errorf("changing the role rewrote the e-mail address as %q", is)
					}
				},
				Config: config("viewer"), PlanOnly: true,
			},
		}
	})
}
