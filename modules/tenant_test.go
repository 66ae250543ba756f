package modules_test

import (
	"os"
	"slices"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// blocks are those of a file of Terraform's.
func blocks(t *testing.T, file string) hclsyntax.Blocks {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	parsed, diags := hclsyntax.ParseConfig(text, file, hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return parsed.Body.(*hclsyntax.Body).Blocks //nolint:forcetypeassert // hclsyntax makes no other
}

// The example's check of a file knows what the module knows.
func TestTheTenantExampleAllowsWhatTheModuleTakes(t *testing.T) {
	t.Parallel()
	want := map[string][]string{}
	for _, block := range blocks(t, "tenant/variables.tf") {
		if block.Type != "variable" || block.Labels[0] != "tenant" {
			continue
		}
		tenant, _, diags := typeexpr.TypeConstraintWithDefaults(block.Body.Attributes["type"].Expr)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		want["tenant"] = attributes(tenant)
		for name, kind := range tenant.AttributeTypes() {
			if kind.IsMapType() {
				want[name] = attributes(kind.ElementType())
			}
		}
	}
	got := map[string][]string{}
	for _, block := range blocks(t, "tenant/examples/basic/main.tf") {
		if block.Type != "locals" {
			continue
		}
		allowed, diags := block.Body.Attributes["allowed"].Expr.Value(nil)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		for name, words := range allowed.AsValueMap() {
			for _, word := range words.AsValueSlice() {
				got[name] = append(got[name], word.AsString())
			}
			slices.Sort(got[name])
		}
	}
	for name := range want {
		if !slices.Equal(got[name], want[name]) {
			t.Errorf("%s: the example allows %q, the module takes %q", name, got[name], want[name])
		}
	}
	if len(want) != 4 || len(got) != len(want) {
		t.Errorf("the example allows %v, the module takes %v", got, want)
	}
}

// attributes are the names of those of an object, sorted.
func attributes(object cty.Type) (names []string) {
	for name := range object.AttributeTypes() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
