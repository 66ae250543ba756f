package tenancy_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/tenancy"
)

// One statement tells of all wishes what stands in their way.
func TestFacts(t *testing.T) {
	t.Parallel()
	tenant := newTenant(t, nil)
	organization, team := tenant.organization, tenant.team
	user := newUser(team, "ada")
	user.OIDCSubject = new(string)
	*user.OIDCSubject = "sub"
	user = testdb.Must(tenant.store.CreateUser(t.Context(), user))(t)
	agent := testdb.Must(tenant.store.CreateAgentConfig(t.Context(), tenancy.AgentConfig{
		OrganizationID: organization.ID, TeamID: team.ID, Name: "triage", AgentType: "custom", Config: "{}",
		ExecutionTimeoutSeconds: 1,
	}))(t)
	config := testdb.Must(tenant.store.CreateConfig(t.Context(), tenancy.Config{
		OrganizationID: organization.ID, Name: "routing", ConfigType: "alert", Status: "draft",
	}))(t)
	name, slug, sub := "Acme", "acme", "sub"
	wishes := map[string]tenancy.Wish{
		"name:" + organization.ID + " slug:" + organization.ID: {Kind: "organization", Name: &name, Slug: &slug},
		"": {Kind: "organization", ID: &organization.ID, Name: &name, Slug: &slug}, // its own
		"slug:" + team.ID + " organization_id:" + organization.ID + "(1)":        {Kind: "team", OrganizationID: &organization.ID, Slug: &team.Slug},
		"email:" + user.ID + " username:" + user.ID + " oidc_subject:" + user.ID: {Kind: "user", Email: &user.Email, Username: &user.Username, OIDCSubject: &sub},
		"team_id:" + team.ID + "(1)":                                             {Kind: "user", TeamID: &team.ID},
		"name:" + agent.ID + " team_id:" + team.ID:                               {Kind: "agent config", OrganizationID: &organization.ID, TeamID: &team.ID, Name: &agent.Name},
		"name:" + config.ID:  {Kind: "config", OrganizationID: &organization.ID, Name: &config.Name},
		"team_id:" + team.ID: {Kind: "config", OrganizationID: &organization.ID, TeamID: &team.ID, Name: &config.Name},
	}
	var asked []string
	for _, wish := range wishes {
		asked = append(asked, string(testdb.Must(json.Marshal(wish))(t)))
	}
	facts := testdb.Must(tenant.store.Facts(t.Context(), asked))(t)
	for want, wish := range wishes {
		var got []string
		for _, fact := range facts[string(testdb.Must(json.Marshal(wish))(t))] {
			text := fact.Attribute + ":" + fact.ID
			if fact.Count > 0 {
				text += "(1)"
			}
			got = append(got, text)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%+v: got %q, want %q", wish, got, want)
		}
	}
}
