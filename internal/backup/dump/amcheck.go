package dump

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// ErrNoAmcheck says that the server does not have the extension amcheck.
var ErrNoAmcheck = errors.New("the server's programs lack the extension amcheck")

// CheckPages runs pg_amcheck over tables and indexes of a database. It makes the extension there, and returns [ErrNoAmcheck] where that
// cannot be made.
func (r Restorer) CheckPages(ctx context.Context, database string) error {
	available, err := postgres.QueryOne[struct{ There bool }](ctx, r.Server,
		`SELECT EXISTS (SELECT FROM pg_catalog.pg_available_extensions WHERE name = 'amcheck') AS there`)
	if err != nil {
		return err
	}
	if !available.There {
		return ErrNoAmcheck
	}
	var said bytes.Buffer
	err = r.run(ctx, program{name: "pg_amcheck", output: &said, arguments: []string{
		"--install-missing", "--heapallindexed", "--no-password", fmt.Sprintf("--jobs=%d", max(r.Jobs, 1)), conninfo(database),
	}})
	if err != nil && said.Len() > 0 {
		// What was restored has pages of its own: the backup is not to blame.
		err = problem.New("pg_amcheck found damage in what was restored: "+strings.Join(strings.Fields(said.String()), " "),
			"Look at the disk and the memory of the machine that verifies, and try again")
	}
	return err
}
