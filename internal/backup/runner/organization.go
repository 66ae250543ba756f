package runner

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/artifact"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/dump"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/tenant"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// Export writes the rows of one organization as SQL, as they are now.
func (r *Runner) Export(ctx context.Context, slug string, to io.Writer) (e tenant.Exported, err error) {
	err = r.DB.Borrow(ctx, nil, func(conn *pgx.Conn) error {
		defer func() { _, _ = conn.Exec(context.WithoutCancel(ctx), `RESET ALL`) }()
		e, err = tenant.Export(ctx, conn, slug, nil, to)
		return err
	})
	return e, err
}

// ExportFrom writes the rows of one organization as SQL, as they are in a backup. That is restored into a scratch server for it.
func (r *Runner) ExportFrom(ctx context.Context, from Source, slug string, to io.Writer) (e tenant.Exported, err error) {
	r.warnDeleted(ctx, r.DB, slug)
	err = r.scratchOf(ctx, from, func(at time.Time, conn *pgx.Conn) error {
		e, err = tenant.Export(ctx, conn, slug, &at, to)
		return err
	})
	return e, err
}

// PutBack makes the rows of one organization in a database what they are in a backup, and returns in what they differed. Without write it
// only does that. The login is the owner of the tables, or a superuser.
func (r *Runner) PutBack(ctx context.Context, from Source, slug string, into postgres.Config, write bool) (
	all []tenant.Difference, err error,
) {
	target := postgres.New(into) //nolint:contextcheck // Its connections outlive each call.
	defer target.Close()
	r.warnDeleted(ctx, target, slug)
	err = r.scratchOf(ctx, from, func(_ time.Time, conn *pgx.Conn) error {
		return target.Borrow(ctx, nil, func(targetConn *pgx.Conn) error {
			all, err = tenant.PutBack(ctx, conn, targetConn, slug, write)
			return err
		})
	})
	return all, err
}

// warnDeleted says what whoever names an organization may not know: it was deleted on purpose.
func (r *Runner) warnDeleted(ctx context.Context, db *postgres.DB, slug string) {
	at, err := backup.New(db).DeletedAt(ctx, slug)
	if err == nil {
		r.Log.Warn("The ledger says that this organization was deleted", "organization", slug, "at", at.UTC())
	} else if !errors.Is(err, problem.ErrNotFound) {
		r.Log.Warn("The ledger cannot be read: it may say that this organization was deleted", "problem", r.Explain(err))
	}
}

// scratchOf connects to a backup that is restored into a scratch server, and tells of which moment it is.
func (r *Runner) scratchOf(ctx context.Context, from Source, use func(time.Time, *pgx.Conn) error) error {
	return r.read(ctx, from, func(reader artifact.Reader) error {
		_, err := r.inScratch(ctx, reader, from.To, func(restorer dump.Restorer, database string) error {
			db := restorer.Open(database)
			defer db.Close()
			at, err := momentOf(ctx, db, reader.Manifest, from.To)
			if err != nil {
				return err
			}
			return db.Borrow(ctx, nil, func(conn *pgx.Conn) error { return use(at, conn) })
		})
		return err
	})
}
