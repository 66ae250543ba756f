package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/longyi-brownie/terraform-provider-brownie"

// arrows says which other packages of the project a package may import; "internal/" is left out. Domains never import each other.
var arrows = map[string]string{
	"main": "provider",
	"provider": "provider/tenancy provider/access provider/backup provider/cluster provider/migrate provider/pki provider/tf postgres " +
		"portforward",
	"provider/tenancy":         "tenancy provider/tf postgres problem",
	"provider/access":          "access provider/tf postgres problem",
	"provider/backup":          "backup provider/tf postgres problem",
	"provider/cluster":         "cluster provider/tf postgres problem",
	"provider/migrate":         "migrate provider/tf postgres problem",
	"provider/pki":             "pki provider/tf problem",
	"provider/tf":              "postgres problem identity document",
	"tenancy":                  "postgres patience problem document",
	"access":                   "postgres patience problem identity",
	"backup":                   "postgres problem",
	"backup/object":            "backup problem",
	"backup/artifact":          "backup backup/object problem",
	"backup/dump":              "backup/artifact postgres problem",
	"backup/tenant":            "backup/dump problem",
	"backup/pgbackrest":        "backup backup/object backup/artifact backup/dump postgres problem",
	"backup/move":              "backup/tenant access postgres problem",
	"backup/runner":            "backup backup/object backup/artifact backup/dump backup/pgbackrest backup/tenant access postgres problem",
	"cmd/brownie-backup":       "backup backup/move backup/runner backup/dump backup/pgbackrest backup/tenant postgres problem cmd/internal/program",
	"cluster":                  "postgres problem",
	"patience":                 "problem",
	"migrate":                  "postgres problem migrations",
	"migrate/generate":         "migrate",
	"pki":                      "problem",
	"crl":                      "postgres problem",
	"cmd/brownie-crl":          "crl postgres cmd/internal/program",
	"leader":                   "",
	"cmd/brownie-leader":       "leader cmd/internal/program",
	"cmd/internal/program":     "",
	"portforward":              "problem",
	"postgres":                 "problem",
	"devstack":                 "identity postgres modules/postgres-auth",
	"devstack/cmd/devstack":    "devstack",
	"devstack/testdb":          "devstack migrate postgres",
	"devstack/testserver":      "devstack",
	"devstack/teststore":       "devstack devstack/testserver",
	"devstack/testvault":       "devstack devstack/testserver",
	"devstack/testprovider":    "",
	"provider/acctest":         "provider devstack devstack/testdb devstack/testprovider devstack/testvault",
	"bench/internal/benchmark": "devstack",
	"bench/isolation":          "bench/internal/benchmark devstack access migrate postgres migrations",
	"bench/migrate":            "bench/internal/benchmark devstack migrate postgres migrations",
	"bench/pki":                "bench/internal/benchmark devstack",
	"bench/scale":              "bench/internal/benchmark devstack access migrate postgres provider",
	"bench/scale/idle":         "provider",
	"bench/start":              "bench/internal/benchmark",
}

// arrowsOfTests says what the tests of a package may import besides the package itself, what it may import, and test servers.
var arrowsOfTests = map[string]string{
	"backup/runner":    "access migrate",
	"provider":         "access migrate tenancy",
	"cmd/brownie-crl":  "access pki postgres",
	"modules/e2e":      "cluster postgres",
	"portforward":      "postgres",
	"provider/migrate": "migrations",
}

// owners says which packages, and what is below them, may import what is not the project's. The longest prefix counts.
var owners = map[string]string{
	"github.com/hashicorp/terraform-plugin":                          "provider bench/scale",
	"github.com/hashicorp/terraform-plugin-framework/providerserver": "provider bench/scale",
	"github.com/hashicorp/terraform-plugin-testing":                  "provider/acctest",
	"github.com/hashicorp/vault":                                     "pki devstack",
	"github.com/hashicorp/hcl":                                       "devstack", // renders a module's templates
	"github.com/jackc/pgx/v5": "postgres tenancy access backup cluster migrate devstack bench provider/acctest examples " +
		"modules/e2e",
	"filippo.io/age":                  "backup cmd/brownie-backup devstack/cmd/devstack",
	"gocloud.dev":                     "backup/object", // so that the provider stays small
	"k8s.io":                          "portforward",   // for the same reason: only what a tunnel needs
	"github.com/gorilla/websocket":    "portforward",
	"github.com/jackc/pgx/v5/pgxpool": "postgres", // so that max_connections holds
	"database/sql":                    "",
	"testing":                         "devstack/testdb devstack/testprovider devstack/testserver devstack/teststore devstack/testvault provider/acctest bench",
	"net/http/httptest":               "devstack/testvault",
}

func TestArrows(t *testing.T) {
	t.Parallel()
	err := filepath.WalkDir(".", func(file string, entry fs.DirEntry, err error) error {
		switch base := entry.Name(); {
		case err != nil:
			return err
		case entry.IsDir() && (file == "tools" || base == "testdata" || base == "node_modules" || len(base) > 1 && base[0] == '.'):
			return fs.SkipDir
		case filepath.Ext(file) != ".go":
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		name, may := short(module+"/"+filepath.ToSlash(filepath.Dir(file))), mayImport
		if strings.HasSuffix(file, "_test.go") {
			may = testsMayImport
		}
		for _, each := range parsed.Imports {
			if imported := strings.Trim(each.Path.Value, `"`); !may(name, imported) {
				t.Errorf("%s must not import %s", file, imported)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// testsMayImport: libraries are theirs to choose, but Terraform, Vault and the pool of connections have one owner there, too.
func testsMayImport(name, imported string) bool {
	const servers = " devstack devstack/testdb devstack/testprovider devstack/testserver devstack/teststore devstack/testvault "
	ofProvider := name == "provider" || strings.HasPrefix(name, "provider/")
	switch {
	case strings.HasPrefix(imported, module):
		may := strings.Fields(arrows[name] + " " + arrowsOfTests[name] + servers + name)
		return slices.Contains(may, short(imported)) || ofProvider && short(imported) == "provider/acctest"
	case strings.HasPrefix(imported, "github.com/hashicorp/terraform-plugin"):
		return ofProvider
	case strings.HasPrefix(imported, "github.com/hashicorp/vault"), strings.HasPrefix(imported, "github.com/jackc/pgx/v5/pgxpool"):
		return mayImport(name, imported)
	}
	return true
}

func short(importPath string) string {
	if importPath == module || importPath == module+"/." {
		return "main"
	}
	return strings.TrimPrefix(strings.TrimPrefix(importPath, module+"/"), "internal/")
}

func mayImport(name, imported string) bool {
	if strings.HasPrefix(imported, module) {
		return slices.Contains(strings.Fields(arrows[name]), short(imported))
	}
	longest := ""
	for prefix := range owners {
		if strings.HasPrefix(imported, prefix) && len(prefix) > len(longest) {
			longest = prefix
		}
	}
	return longest == "" || slices.ContainsFunc(strings.Fields(owners[longest]), func(owner string) bool {
		return name == owner || strings.HasPrefix(name, owner+"/")
	})
}
