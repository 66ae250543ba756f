package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/artifact"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/dump"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/pgbackrest"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// Target says where a backup is restored.
type Target struct {
	// Server is logged in to as somebody who may create databases and the roles that are missing. Its Database exists already.
	Server postgres.Config
	Tools  dump.Tools
	// Database is the new one, or with Replace the one that is there.
	Database string
	// Replace puts the new database in the place of one of the same name, which is kept under another name.
	Replace bool
	// AcceptResurrection brings back what was deleted since the backup, too.
	AcceptResurrection bool
}

// Restored tells what a restore made.
type Restored struct {
	Backup string
	// Database is the new one, or DataDirectory is.
	Database, DataDirectory string
	// Kept is the name under which the former database was kept, or empty.
	Kept string
	// LeadsBackTo is the moment of what was restored.
	LeadsBackTo time.Time
	Seconds     float64
	// Deletions are what was deleted since the backup.
	Deletions Deletions
}

var errNoIdentity = problem.New("backups are encrypted, and there is no identity", "Name the file that holds one with --identity")

// Source is a backup that is on record, or in a store.
type Source struct {
	ID string
	// Destination and Schedule say where it is when the record is lost with the database. nil is a backup on record.
	Destination *backup.Destination
	Schedule    string
	// AsOf is the time as of which the store is read. nil means now.
	AsOf *time.Time
	// To is how far the log is replayed, for engine pgbackrest.
	To pgbackrest.Target
}

// Restore restores a backup, without what was deleted since. When it fails, everything is as it was.
func (r *Runner) Restore(ctx context.Context, from Source, t Target) (done Restored, err error) {
	if len(r.Identities) == 0 {
		return done, errNoIdentity
	}
	x, err := r.readLedgers(ctx, from, t)
	if err != nil {
		return done, err
	}
	err = r.read(ctx, from, func(reader artifact.Reader) error {
		return r.inOneDatabase(ctx, reader, r.knownUntil(ctx, from), func(reader artifact.Reader) error {
			done, err = r.restore(ctx, from.ID, t, reader, x)
			return err
		})
	})
	return done, err
}

// RestoreFiles makes a new data directory with the files of a cluster, and replays the log into it. It is ready to be started by a server
// of that major version; its configuration is what was in the data directory. What was deleted since is deleted there, too, unless
// acceptResurrection.
func (r *Runner) RestoreFiles(ctx context.Context, from Source, data string, acceptResurrection bool) (done Restored, err error) {
	data, err = filepath.Abs(data)
	if err != nil {
		return done, err
	}
	if _, err := os.Lstat(data); err == nil {
		return done, problem.New(fmt.Sprintf("there is a %s already", data), "Name a folder that does not exist yet")
	}
	x, err := r.readLedgers(ctx, from, Target{AcceptResurrection: acceptResurrection})
	if err != nil {
		return done, err
	}
	err = r.read(ctx, from, func(reader artifact.Reader) error {
		if len(reader.Manifest.Clusters) == 0 {
			return problem.New(fmt.Sprintf("backup %s holds the rows of one database, and no files of a cluster", from.ID),
				"Name a new database with --database, or use a backup of engine pgbackrest")
		}
		start := time.Now()
		// Renamed at last, it is on the same disk from the beginning.
		done = Restored{Backup: from.ID, DataDirectory: data}
		err := r.recovered(ctx, reader, r.knownUntil(ctx, from), filepath.Dir(data), true, func(scratch *dump.Scratch) error {
			if err := r.deleteAgain(ctx, reader, scratch, x); err != nil {
				return err
			}
			done.Deletions = x.told
			db := postgres.New(scratch.Config) //nolint:contextcheck // Its connections outlive each call.
			defer db.Close()
			var err error
			if done.LeadsBackTo, err = momentOf(ctx, db, reader.Manifest, from.To); err != nil {
				return err
			}
			return scratch.Keep(data)
		})
		done.Seconds = time.Since(start).Seconds()
		return err
	})
	return done, err
}

// read opens one copy after another of a backup, until one works.
func (r *Runner) read(ctx context.Context, from Source, try func(artifact.Reader) error) error {
	if len(r.Identities) == 0 {
		return errNoIdentity
	}
	if from.Destination != nil {
		store, err := from.open(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = store.Close() }()
		reader := artifact.Reader{Store: store, Identities: r.Identities}
		if reader.Manifest, _, err = artifact.ReadManifest(ctx, store, from.Schedule, from.ID, ""); err != nil {
			return err
		}
		if from.AsOf != nil && len(reader.Manifest.Clusters) > 0 {
			return problem.New(fmt.Sprintf("backup %s is of engine pgbackrest, which reads the store as it is now", from.ID),
				"Bring the versions of before back with the store's own programs, and leave out --as-of")
		}
		return try(reader)
	}
	b, err := r.Find(ctx, from.ID)
	if err != nil {
		return err
	}
	schedule, err := r.Schedule(ctx, b.ScheduleName)
	if err != nil {
		return err
	}
	all, closeAll, err := r.copies(ctx, schedule, b)
	if err != nil {
		return err
	}
	defer closeAll()
	return firstThatWorks(all, try)
}

// ListStore returns the manifests of the backups of a schedule that are in a store, newest first. One that cannot be read is an error, with
// which the others are returned all the same.
func ListStore(ctx context.Context, from Source) ([]artifact.Manifest, error) {
	store, err := from.open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = store.Close() }()
	found, err := artifact.List(ctx, store, from.Schedule)
	if err != nil {
		return nil, err
	}
	all := []artifact.Manifest{}
	var failed []error
	for _, each := range slices.Backward(found) {
		if !each.Whole {
			continue
		}
		m, _, err := artifact.ReadManifest(ctx, store, from.Schedule, each.ID, "")
		if failed = append(failed, err); err == nil {
			all = append(all, m)
		}
	}
	return all, errors.Join(failed...)
}

func (r *Runner) restore(ctx context.Context, id string, t Target, reader artifact.Reader, x *resurrection) (done Restored, err error) {
	restorer := restorerOn(t.Server, t.Tools, reader, r.Jobs) //nolint:contextcheck // Its connections outlive each call.
	defer restorer.Server.Close()
	exists, err := postgres.QueryOne[struct{ Exists bool }](ctx, restorer.Server,
		`SELECT EXISTS (SELECT FROM pg_catalog.pg_database WHERE datname = $1) AS exists`, t.Database)
	switch {
	case err != nil:
		return done, err
	case exists.Exists && !t.Replace:
		return done, problem.New(fmt.Sprintf("there is a database %q already", t.Database),
			"Name another one with --database, or put the backup in its place with --force and its name")
	case !exists.Exists && t.Replace:
		return done, problem.New(fmt.Sprintf("there is no database %q to be replaced", t.Database), "Leave out --force")
	}
	start := time.Now()
	restorer.BeforeOpening = func(ctx context.Context, database string, made []string) error {
		return x.apply(ctx, restorer, database, made)
	}
	done = Restored{Backup: id, Database: t.Database, LeadsBackTo: reader.Manifest.SnapshotAt}
	name := t.Database
	if t.Replace {
		name = beside(t.Database, "_restored_", start)
		done.Kept = beside(t.Database, "_before_", start)
	}
	if err := restorer.Restore(ctx, name); err != nil {
		return done, err
	}
	x.drop(ctx, restorer, name)
	done.Deletions = x.told
	if t.Replace {
		if err := swap(ctx, restorer.Server, t.Database, name, done.Kept); err != nil {
			return done, err
		}
	}
	done.Seconds = time.Since(start).Seconds()
	return done, nil
}

// beside is the name of a database in place of another one. PostgreSQL cuts names after 63 bytes, of which this takes 24.
func beside(database, what string, at time.Time) string {
	short := database
	for len(short) > 39 {
		_, size := utf8.DecodeLastRuneInString(short)
		short = short[:len(short)-size]
	}
	return short + what + at.UTC().Format("20060102150405")
}

const endSessionsSQL = `
	SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
	WHERE datname = $1 AND pid <> pg_catalog.pg_backend_pid()`

// swap renames both databases in one transaction. Nobody may be connected to either: sessions are ended, and tried again for a while, since
// clients come back at once.
func swap(ctx context.Context, server *postgres.DB, database, restored, kept string) error {
	quoted := func(name string) string { return pgx.Identifier{name}.Sanitize() }
	var failed error
	for range 50 {
		failed = server.Borrow(ctx, nil, func(conn *pgx.Conn) error {
			if _, err := conn.Exec(ctx, endSessionsSQL, database); err != nil {
				return err
			}
			return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
				for _, rename := range [][2]string{{database, kept}, {restored, database}} {
					sql := fmt.Sprintf(`ALTER DATABASE %s RENAME TO %s`, quoted(rename[0]), quoted(rename[1]))
					if _, err := tx.Exec(ctx, sql); err != nil {
						return err
					}
				}
				return nil
			})
		})
		if failed == nil || ctx.Err() != nil {
			return failed
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
	return errors.Join(problem.New(fmt.Sprintf("database %q could not be replaced; the restored one is %q", database, restored),
		"Keep clients away, then rename both (ALTER DATABASE … RENAME TO …)"), failed)
}
