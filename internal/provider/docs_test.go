package provider_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider"
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

func exists(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}
