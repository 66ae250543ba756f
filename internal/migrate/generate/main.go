// Command generate writes migrations/statements.json: what the parser says of the platform's migrations, see [migrate.Generate].
// `make generate` runs it.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/migrate"
)

func main() {
	text, err := migrate.Generate()
	if err == nil {
		err = os.WriteFile(filepath.Join("migrations", "statements.json"), text, 0o644) //nolint:gosec // a file of the repository
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
