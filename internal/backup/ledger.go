package backup

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// LedgerEntry is what happened to an organization or a role. The last one about each counts.
type LedgerEntry struct {
	ID string    `json:"id" db:"id"`
	At time.Time `json:"at" db:"at"`
	// Kind is organization or role, and Name the ID of the one, or the name of the other.
	Kind string `json:"kind" db:"kind"`
	Name string `json:"name" db:"name"`
	// Event is deleted, locked or back.
	Event string `json:"event" db:"event"`
	// Slug is what an organization had for one.
	Slug *string `json:"slug,omitempty" db:"slug"`
}

// What an entry is about, and what it tells.
const (
	OrganizationKind = "organization"
	RoleKind         = "role"
	DeletedEvent     = "deleted"
	ComesBackEvent   = "back"
)

// Unknown compares the entries of all ledgers with those of a restored database: missing are those that it lacks, and pending those of them
// by which something is deleted or locked that was not at the backup's moment. No clock is asked for that: what the snapshot shows of
// the ledger, it shows of everything else, too.
func Unknown(all, own []LedgerEntry) (missing, pending []LedgerEntry) {
	type key struct{ kind, name string }
	has := map[string]bool{}
	last := map[key]LedgerEntry{}
	see := func(e LedgerEntry) {
		has[e.ID] = true
		if known, ok := last[key{e.Kind, e.Name}]; !ok || e.At.After(known.At) {
			last[key{e.Kind, e.Name}] = e
		}
	}
	for _, e := range own {
		see(e)
	}
	for _, e := range all {
		if !has[e.ID] {
			missing = append(missing, e)
			see(e)
		}
	}
	slices.SortFunc(missing, func(a, b LedgerEntry) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID)) })
	for _, e := range missing {
		if e.Event != ComesBackEvent && last[key{e.Kind, e.Name}].ID == e.ID {
			pending = append(pending, e)
		}
	}
	return missing, pending
}

// hasLedger returns [postgres.ErrNotFound] where there is none: before migration 24, and in a database that is none of ours.
func (s *Store) hasLedger(ctx context.Context) error {
	found, err := postgres.QueryOne[struct{ Has bool }](ctx, s.db,
		`SELECT pg_catalog.to_regclass('brownie.backup_ledger') IS NOT NULL AS has`)
	if err == nil && !found.Has {
		err = postgres.ErrNotFound
	}
	return err
}

// Who sees nothing must not take that for an empty ledger.
const seesLedgerSQL = `
	SELECT NOT pg_catalog.row_security_active('brownie.backup_ledger') OR CASE
		WHEN pg_catalog.has_function_privilege('brownie.backs_up()', 'EXECUTE') THEN brownie.backs_up() ELSE false END AS sees`

// Ledger returns all entries, the oldest first, or [postgres.ErrNotFound] where there is no ledger.
func (s *Store) Ledger(ctx context.Context) ([]LedgerEntry, error) {
	if err := s.hasLedger(ctx); err != nil {
		return nil, err
	}
	row, err := postgres.QueryOne[struct{ Sees bool }](ctx, s.db, seesLedgerSQL)
	if err == nil && !row.Sees {
		err = problem.New("the role of this session does not see the ledger of what was deleted",
			"Log in as a role with access `backup` whose valid_until has not passed, as the owner of the schema, or as a superuser")
	}
	if err != nil {
		return nil, err
	}
	return postgres.Query[LedgerEntry](ctx, s.db, `SELECT id, at, kind, name, event, slug FROM brownie.backup_ledger ORDER BY at, id`)
}

// DeletedAt returns when the organization was deleted that last had the slug, or [postgres.ErrNotFound] if the ledger does not say so.
func (s *Store) DeletedAt(ctx context.Context, slug string) (time.Time, error) {
	entries, err := s.Ledger(ctx)
	for _, e := range slices.Backward(entries) {
		if e.Slug == nil || *e.Slug != slug {
			continue
		}
		if e.Event == DeletedEvent {
			return e.At, nil
		}
		break
	}
	return time.Time{}, cmp.Or(err, postgres.ErrNotFound)
}

// NoteRoles adds to the ledger what somebody did to roles by ALTER ROLE and DROP ROLE alone, and returns how many entries it has, or
// [postgres.ErrNotFound] where there is no ledger.
func (s *Store) NoteRoles(ctx context.Context) (entries int64, err error) {
	if err := s.hasLedger(ctx); err != nil {
		return 0, err
	}
	row, err := postgres.QueryOne[struct{ Entries int64 }](ctx, s.db, `SELECT brownie.note_roles() AS entries`)
	return row.Entries, err
}

// LedgerCopy is an object that holds a copy of the ledger.
type LedgerCopy struct {
	// Destination is as [Destination.Key] has it, and Key that of the object.
	Destination string `db:"destination"`
	Key         string `db:"key"`
	Schedule    string `db:"schedule_name"`
	// Entries is how many it has: as none is ever removed, one of as many is the same.
	Entries int64 `db:"entries"`
	// Recipients are those who can read it.
	Recipients string    `db:"recipients"`
	WrittenAt  time.Time `db:"written_at"`
}

// Key tells destinations apart.
func (d Destination) Key() string { return encode(d) }

// LedgerCopies returns the copies of a schedule that this database has written, or the one of which it is a copy. Each has all that those
// after it have.
func (s *Store) LedgerCopies(ctx context.Context, schedule string) ([]LedgerCopy, error) {
	return postgres.Query[LedgerCopy](ctx, s.db, `
		SELECT destination, key, schedule_name, entries, recipients, written_at FROM brownie.backup_ledger_copies
		WHERE schedule_name = $1 ORDER BY entries DESC, written_at DESC, key DESC`, schedule)
}

const addLedgerCopySQL = `
	INSERT INTO brownie.backup_ledger_copies (destination, key, schedule_name, entries, recipients)
	VALUES (@destination, @key, @schedule, @entries, @recipients) RETURNING key AS id`

// AddLedgerCopy records that a copy was written.
func (s *Store) AddLedgerCopy(ctx context.Context, c LedgerCopy) error {
	_, err := postgres.Change[changed](ctx, s.db, postgres.Statement{SQL: addLedgerCopySQL, Args: []any{pgx.StrictNamedArgs{
		"destination": c.Destination, "key": c.Key, "schedule": c.Schedule, "entries": c.Entries, "recipients": c.Recipients,
	}}})
	return err
}

// RemoveLedgerCopy records that a copy is no more.
func (s *Store) RemoveLedgerCopy(ctx context.Context, c LedgerCopy) error {
	_, err := postgres.Change[changed](ctx, s.db, postgres.Statement{
		SQL:  `DELETE FROM brownie.backup_ledger_copies WHERE destination = $1 AND key = $2 RETURNING key AS id`,
		Args: []any{c.Destination, c.Key},
	})
	return err
}
