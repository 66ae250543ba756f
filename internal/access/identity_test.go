package access_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/access"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/identity"
)

// local returns a pattern of a module, by the name of the local value that holds it.
func local(t *testing.T, module, name string) string {
	t.Helper()
	files, err := os.ReadDir("../../modules/" + module)
	if err != nil {
		t.Fatal(err)
	}
	functions := map[string]function.Function{"join": stdlib.JoinFunc}
	for _, file := range files {
		if !strings.HasSuffix(file.Name(), ".tf") {
			continue
		}
		parsed, problems := hclparse.NewParser().ParseHCLFile("../../modules/" + module + "/" + file.Name())
		if problems.HasErrors() {
			t.Fatal(problems)
		}
		body, ok := parsed.Body.(*hclsyntax.Body)
		if !ok {
			t.Fatalf("%s has a body of type %T", file.Name(), parsed.Body)
		}
		for _, block := range body.Blocks {
			if pattern, ok := block.Body.Attributes[name]; ok && block.Type == "locals" {
				value, problems := pattern.Expr.Value(&hcl.EvalContext{Functions: functions})
				if problems.HasErrors() || value.Type() != cty.String {
					t.Fatalf("%s of %s is no text: %v", name, module, problems)
				}
				return value.AsString()
			}
		}
	}
	t.Fatalf("module %s has no local value %s", module, name)
	return ""
}

func TestModulesTakeTheSameNames(t *testing.T) {
	t.Parallel()
	if pattern := local(t, "postgres-auth", "identity_pattern"); pattern != identity.Pattern {
		t.Errorf("postgres-auth has %s, the provider %s", pattern, identity.Pattern)
	}
	// What nobody may be called, and a name beside each that somebody may.
	reserved := regexp.MustCompile(local(t, "postgres-auth", "reserved_identity_pattern"))
	for _, name := range append(append(access.GroupRoles(), identity.Keywords...), identity.Granter) {
		if free := name + "s"; !reserved.MatchString(name) || identity.Reserved(name) == "" ||
			reserved.MatchString(free) || identity.Reserved(free) != "" {
			t.Errorf("%s or %s: postgres-auth and the provider differ about who may be called that", name, free)
		}
	}
	for begins, free := range map[string]string{
		"pg_": "pg", identity.ConnectGroupPrefix: "brownie_connect", identity.MakerPrefix: "brownie_maker",
	} {
		if !reserved.MatchString(begins+"x") || identity.Reserved(begins+"x") == "" || reserved.MatchString(free) || identity.Reserved(free) != "" {
			t.Errorf("%s or %s: postgres-auth and the provider differ about how somebody's name may begin", begins, free)
		}
	}
	names := strings.NewReplacer("pg_.*", "", "connect_.*", "", "maker_.*", "", "postgres", "").Replace(reserved.String())
	for _, word := range regexp.MustCompile(`[a-z_]+`).FindAllString(names, -1) {
		if identity.Reserved(word) == "" && identity.Reserved("brownie_"+word) == "" && word != "brownie_" {
			t.Errorf("postgres-auth reserves %s, the provider does not", word)
		}
	}
}

func TestGroupsAreReserved(t *testing.T) {
	t.Parallel()
	if groups := access.GroupRoles(); !slices.Equal(slices.Sorted(slices.Values(groups)), slices.Sorted(slices.Values(identity.Groups))) {
		t.Errorf("the levels' groups are %v, reserved are %v", groups, identity.Groups)
	}
}

// Vault's names are stricter. Every name of up to three characters, and long ones, that Vault may issue is one of a role.
func TestVaultIssuesNamesOfRolesOnly(t *testing.T) {
	t.Parallel()
	issued := regexp.MustCompile(local(t, "vault-pki", "identity_pattern"))
	names := []string{strings.Repeat("a", 63), strings.Repeat("a", 64)}
	for character := rune(0); character < 256; character++ {
		names = append(names, string(character), "a"+string(character), string(character)+"a", "a"+string(character)+"a")
	}
	count := 0
	for _, name := range names {
		if issued.MatchString(name) {
			count++
			if !identity.WellFormed(name) {
				t.Errorf("Vault issues %q, which no role can be called", name)
			}
		}
	}
	if count < 100 {
		t.Errorf("only %d names were compared", count)
	}
}
