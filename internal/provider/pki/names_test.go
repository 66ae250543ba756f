package pki_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/acctest"
)

// What is a path or a name of Vault's, and what is the name of a role, is the same wherever one is given. Nothing is asked of Vault.
func TestAccNamesThatMeanSomethingElse(t *testing.T) {
	t.Parallel()
	paths := []string{
		"", "/a", "a/", "a//b", ".", "..", "a/../b", "./a", "a/.", " a", "a ", "a/ b", "a /b", `a\u0007`, `a\n`, `a\u007f`, `a\u200b`, `a\t/b`,
	}
	names := []string{"", "acme app", ".acme", "-acme", "Public", "pg_monitor", "brownie_reader", "Brownie_Pooled", "ümlaut", `acme\n`}
	var config strings.Builder
	wanted := map[string]string{}
	add := func(kind string, values []string, templates ...string) {
		for i, value := range values {
			for j, template := range templates {
				block := fmt.Sprintf(template+"\n", fmt.Sprintf("%s_%d_%d", kind, i, j), value)
				config.WriteString(block)
				head, _, _ := strings.Cut(block, " {")
				wanted[head] = value
			}
		}
	}
	add("path", paths,
		`resource "brownie_client_certificate" "%s" {
  role        = "app"
  common_name = "a"
  store       = { mount = "kv", path = "%s" }
}`, `resource "brownie_client_certificate" "%s" {
  role        = "app"
  common_name = "a"
  store       = { mount = "%s", path = "p" }
}`, `resource "brownie_client_certificate" "%s" {
  mount       = "%s"
  role        = "app"
  common_name = "a"
  store       = { mount = "kv", path = "p" }
}`, `data "brownie_client_certificate" "%s" {
  store = { mount = "kv", path = "%s" }
}`, `data "brownie_certificate_authority" "%s" {
  mount = "%s"
}`, `ephemeral "brownie_client_certificate" "%s" {
  mount       = "%s"
  role        = "app"
  common_name = "a"
}`)
	add("name", names,
		`resource "brownie_client_certificate" "%s" {
  role        = "app"
  common_name = "%s"
  store       = { mount = "kv", path = "p" }
}`, `ephemeral "brownie_client_certificate" "%s" {
  role        = "app"
  common_name = "%s"
}`, `resource "brownie_role" "%s" {
  name   = "%s"
  access = "reader"
}`, `data "brownie_login" "%s" {
  role    = "%s"
  sslcert = "crt"
  sslkey  = "key"
}`)
	refused := map[string]bool{}
	for _, each := range acctest.Validate(t, config.String()) {
		refused[each.Block] = true
	}
	for block, value := range wanted {
		if !refused[block] {
			t.Errorf("%s takes %q", block, value)
		}
	}
	ofProvider := acctest.Validate(t, `provider "brownie" {
  vault = {
    jwt                = { mount = "a/../b", role = "terraform" }
    client_certificate = { mount = "a//b", role = "..", common_name = "brownie_reader" }
  }
}
data "brownie_organizations" "all" {}`)
	if len(ofProvider) != 4 {
		t.Errorf("the provider block has these errors, want 4: %v", ofProvider)
	}
	if good := acctest.Validate(t, `resource "brownie_client_certificate" "good" {
  mount       = "pki/eu-1"
  role        = "app.v1"
  common_name = "acme@app.v1"
  store       = { mount = "kv", path = "..a/b c/.d/ä" }
}`); len(good) != 0 {
		t.Errorf("a good one: %v", good)
	}
}
