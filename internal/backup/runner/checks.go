package runner

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/access"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/dump"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// check tells what is wrong with a restored database although it is what was backed up.
func (r *Runner) check(ctx context.Context, restorer dump.Restorer, database string) error {
	err := restorer.CheckPages(ctx, database)
	if errors.Is(err, dump.ErrNoAmcheck) {
		r.Log.Warn("Tables and indexes were not checked", "problem", err)
		err = nil
	}
	if err != nil {
		return err
	}
	db := restorer.Open(database)
	defer db.Close()
	proof, err := access.New(db).ProveIsolation(ctx)
	if err == nil && !proof.Isolated {
		err = problem.New("the backup restores, and its tenants are not kept apart: "+proof.Summary(),
			"Repair that in the database that was backed up: brownie_tenant_isolation tells the same there")
	}
	if err != nil {
		return err
	}
	for _, file := range r.Checks {
		if err := db.Borrow(ctx, nil, func(conn *pgx.Conn) error { return checkByFile(ctx, conn, file) }); err != nil {
			return err
		}
	}
	return nil
}

// checkByFile runs statements of the user's own. What rows hold is told to nobody.
func checkByFile(ctx context.Context, conn *pgx.Conn, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return problem.New("a check cannot be read: "+err.Error(), "Name a file of SQL with --check").Because(err)
	}
	results, err := conn.PgConn().Exec(ctx, string(text)).ReadAll()
	const remedy = "The backup restores: look at what the file asks for, in the database that was backed up, too"
	if err != nil {
		return problem.New(fmt.Sprintf("check %s failed: %s", file, err), remedy).Because(err)
	}
	if n := len(results); n > 0 && len(results[n-1].Rows) > 0 {
		return problem.New(fmt.Sprintf("check %s found %d rows", file, len(results[n-1].Rows)), remedy)
	}
	return nil
}
