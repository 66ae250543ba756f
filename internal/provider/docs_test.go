package provider_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/acctest"
)

// The docs are made from descriptions and example files, so a missing one is a hole in the docs.
func TestEverythingIsDescribedAndHasAnExample(t *testing.T) {
	t.Parallel()
	server, err := providerserver.NewProtocol6WithError(provider.New("test")())()
	if err != nil {
		t.Fatal(err)
	}
	schemas, err := server.GetProviderSchema(t.Context(), &tfprotov6.GetProviderSchemaRequest{})
	if err != nil {
		t.Fatal(err)
	}
	examples := filepath.Join(testdb.Repository(t), "examples")
	described(t, "provider", schemas.Provider.Block.Attributes)
	for name, schema := range schemas.ResourceSchemas {
		described(t, "resource "+name, schema.Block.Attributes)
		exists(t, filepath.Join(examples, "resources", name, "resource.tf"))
		exists(t, filepath.Join(examples, "resources", name, "import.sh"))
		exists(t, filepath.Join(examples, "resources", name, "import-by-string-id.tf"))
		if _, ok := schemas.DataSourceSchemas[name]; !ok && name != "brownie_migration" { // its data source is a status
			t.Errorf("resource %s has no data source", name)
		}
	}
	for name, schema := range schemas.DataSourceSchemas {
		described(t, "data source "+name, schema.Block.Attributes)
		exists(t, filepath.Join(examples, "data-sources", name, "data-source.tf"))
	}
	for name, schema := range schemas.EphemeralResourceSchemas {
		described(t, "ephemeral resource "+name, schema.Block.Attributes)
		exists(t, filepath.Join(examples, "ephemeral-resources", name, "ephemeral-resource.tf"))
	}
	for name, function := range schemas.Functions {
		if function.Summary == "" || function.Description == "" {
			t.Errorf("function %s is not described", name)
		}
		for _, parameter := range function.Parameters {
			if parameter.Description == "" {
				t.Errorf("function %s: parameter %s is not described", name, parameter.Name)
			}
		}
		exists(t, filepath.Join(examples, "functions", name, "function.tf"))
	}
}

func described(t *testing.T, where string, attributes []*tfprotov6.SchemaAttribute) {
	t.Helper()
	for _, attribute := range attributes {
		if attribute.Description == "" {
			t.Errorf("%s: attribute %s has no description", where, attribute.Name)
		}
		if attribute.NestedType != nil {
			described(t, where+"."+attribute.Name, attribute.NestedType.Attributes)
		}
	}
}

// fence is a block of code in Markdown: its indentation, language and text.
var fence = regexp.MustCompile("(?m)^( *)```(\\w+)\n((?s:.*?))\n *```$")

// documentBlocks calls with each block of code in a language that a person who reads the guides and the README may copy.
func documentBlocks(t *testing.T, language string, visit func(t *testing.T, block string)) {
	t.Helper()
	root := testdb.Repository(t)
	files := testdb.Must(filepath.Glob(filepath.Join(root, "templates", "guides", "*")))(t)
	n := 0
	for _, file := range append(files, filepath.Join(root, "README.md")) {
		text := string(testdb.Must(os.ReadFile(file))(t))
		for _, found := range fence.FindAllStringSubmatchIndex(text, -1) {
			if text[found[4]:found[5]] != language {
				continue
			}
			n++
			indent := text[found[2]:found[3]]
			block := strings.ReplaceAll("\n"+text[found[6]:found[7]], "\n"+indent, "\n")[1:] + "\n"
			t.Run(fmt.Sprintf("%s:%d", filepath.Base(file), 1+strings.Count(text[:found[0]], "\n")), func(t *testing.T) { visit(t, block) })
		}
	}
	if n == 0 {
		t.Errorf("there is no block of %s", language)
	}
}

func TestBlocksOfTheGuidesAreFormatted(t *testing.T) {
	t.Parallel()
	documentBlocks(t, "terraform", func(t *testing.T, block string) {
		t.Helper()
		if _, diags := hclsyntax.ParseConfig([]byte(block), "block", hcl.InitialPos); diags.HasErrors() {
			t.Error(diags)
		}
		if formatted := string(hclwrite.Format([]byte(block))); formatted != block {
			t.Errorf("terraform fmt makes of it:\n%s", formatted)
		}
	})
	documentBlocks(t, "sh", func(t *testing.T, block string) {
		t.Helper()
		command := exec.Command("sh", "-n")
		command.Stdin = strings.NewReader(block)
		if output, err := command.CombinedOutput(); err != nil {
			t.Errorf("%s: %s", err, output)
		}
	})
}

// fragment is what a block has that only stands beside others.
var fragment = regexp.MustCompile(`(?m)\b(local|var)\.|^(module|moved|import) `)

func TestAccWholeBlocksOfTheGuidesAreValid(t *testing.T) {
	t.Parallel()
	n := 0
	documentBlocks(t, "terraform", func(t *testing.T, block string) {
		t.Helper()
		if fragment.MatchString(block) {
			return
		}
		n++
		if strings.HasPrefix(block, "terraform {\n") { // the workspace has one
			_, block, _ = strings.Cut(block, "\n}\n")
		}
		// Terraform looks at a provider that something uses.
		for _, wrong := range acctest.Validate(t, block+"data \"brownie_organizations\" \"used\" {}\n") {
			t.Errorf("%+v", wrong)
		}
	})
	if n == 0 {
		t.Error("no block is whole")
	}
}

func exists(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}
