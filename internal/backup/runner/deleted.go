package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"filippo.io/age"
	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/artifact"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/dump"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/object"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/tenant"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// Deletions tell what the backup holds that was deleted or locked since, and what the restore made of it.
type Deletions struct {
	// Known means that there is a ledger that tells.
	Known bool
	// Accepted means that nothing of it was applied.
	Accepted bool
	All      []Deletion
	// Unread is why a ledger was left out, or none.
	Unread []string
}

// Deletion is one organization, or one role.
type Deletion struct {
	Kind, Name string
	// Slug is that of an organization.
	Slug  string
	Event string
	At    time.Time
	// Outcome is what became of it, in words.
	Outcome string
}

// resurrection keeps a restore from bringing back what was deleted.
type resurrection struct {
	entries []backup.LedgerEntry
	told    Deletions
	// unwanted roles were made by the restore although they were dropped before.
	unwanted []string
}

// readLedgers reads all ledgers at hand: those of the living databases that have the backup on record, and the copies in its destinations.
// One that is in pieces refuses the restore, unless somebody accepts what that may bring back.
func (r *Runner) readLedgers(ctx context.Context, from Source, t Target) (x *resurrection, err error) {
	x = &resurrection{told: Deletions{Accepted: t.AcceptResurrection, Unread: []string{}}}
	var failed []error
	databases := []*postgres.DB{r.DB}
	if t.Replace {
		config := t.Server
		config.Database = t.Database
		replaced := postgres.New(config) //nolint:contextcheck // Its connections outlive each call.
		defer replaced.Close()
		databases = append(databases, replaced)
	}
	for i, db := range databases {
		switch err := x.readLiving(ctx, db, from.ID); {
		case errors.Is(err, problem.ErrNotFound):
		case err != nil && from.Destination != nil && i == 0: // It may be what is lost.
			x.told.Unread = append(x.told.Unread, "that of the database at hand: "+r.Explain(err).Error())
		case err != nil:
			failed = append(failed, err)
		}
	}
	schedule := backup.Schedule{Name: from.Schedule}
	known := map[string]map[string]bool{}
	if from.Destination != nil {
		schedule.Destinations = []backup.Destination{*from.Destination}
	} else if schedule, known, err = r.copiesOnRecord(ctx, from.ID); err != nil {
		return nil, err
	}
	stores, closeAll := openAll(ctx, schedule.Destinations)
	defer closeAll()
	if from.AsOf != nil { // What was deleted later is told by the present copies, if there are any.
		past, err := from.open(ctx)
		if err != nil {
			return nil, err
		}
		defer func() { _ = past.Close() }()
		stores = append(stores, &artifact.Copy{Store: past})
	}
	living := x.told.Known
	for i, c := range stores {
		err := c.Err
		if err == nil {
			seen := map[string]bool{}
			if i < len(schedule.Destinations) {
				seen = known[schedule.Destinations[i].Key()]
			}
			err = x.readCopies(ctx, c.Store, schedule.Name, r.Identities, seen)
		}
		var unreachable *object.StoreError
		if err != nil && (c.Err != nil || living && errors.As(err, &unreachable)) { // The living ledger has all that is in its copies.
			x.told.Unread = append(x.told.Unread, err.Error())
			continue
		}
		failed = append(failed, err)
	}
	if err := errors.Join(failed...); err != nil {
		if !t.AcceptResurrection {
			return nil, problem.New("what was deleted since the backup cannot be told, as a ledger cannot be read: "+err.Error(),
				"To restore all the same, and bring back what may be missing in the others, give --accept-resurrection").Because(err)
		}
		x.told.Unread = append(x.told.Unread, err.Error())
	}
	return x, nil
}

// readCopies reads those in a store that are not known.
func (x *resurrection) readCopies(ctx context.Context, store *object.Store, schedule string, identities []age.Identity,
	known map[string]bool,
) error {
	entries, copies, err := artifact.ReadLedgers(ctx, store, schedule, identities, known)
	x.entries, x.told.Known = append(x.entries, entries...), x.told.Known || copies > 0
	return err
}

// readLiving reads the ledger of a database, if that has the backup on record: names of roles mean nothing elsewhere.
func (x *resurrection) readLiving(ctx context.Context, db *postgres.DB, id string) error {
	entries, err := backup.New(db).Ledger(ctx)
	if err != nil {
		return err
	}
	if _, err := backup.New(db).Backup(ctx, id); err != nil {
		return err
	}
	x.entries, x.told.Known = append(x.entries, entries...), true
	return nil
}

// copiesOnRecord returns the schedule of a backup, and for each of its destinations the keys of copies that hold no more than the ledger of
// the runner's database.
func (r *Runner) copiesOnRecord(ctx context.Context, id string) (s backup.Schedule, known map[string]map[string]bool, err error) {
	b, err := r.Find(ctx, id)
	if err != nil {
		return s, nil, err
	}
	if s, err = r.Schedule(ctx, b.ScheduleName); err != nil {
		return s, nil, err
	}
	known = map[string]map[string]bool{}
	if _, err := r.store().Ledger(ctx); err != nil {
		return s, known, nil //nolint:nilerr // Then all copies have to be read.
	}
	copies, err := r.store().LedgerCopies(ctx, s.Name)
	for _, c := range copies {
		if known[c.Destination] == nil {
			known[c.Destination] = map[string]bool{}
		}
		known[c.Destination][c.Key] = true
	}
	return s, known, err
}

// apply deletes and locks in a restored database what was deleted and locked since, and writes down in its ledger what that one lacks.
func (x *resurrection) apply(ctx context.Context, restorer dump.Restorer, database string, made []string) error {
	x.told.All, x.unwanted = []Deletion{}, nil // Another copy of the backup may have been tried before.
	db := restorer.Open(database)
	defer db.Close()
	own, err := backup.New(db).Ledger(ctx)
	hasLedger := !errors.Is(err, problem.ErrNotFound)
	if err != nil && hasLedger {
		return err
	}
	missing, pending := backup.Unknown(x.entries, own)
	var locked []string
	err = db.Borrow(ctx, nil, func(conn *pgx.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			concerned, err := present(ctx, tx, pending, made)
			if err == nil && hasLedger {
				err = enter(ctx, tx, missing)
			}
			switch {
			case err != nil:
				return err
			case !x.told.Accepted:
				locked, err = x.delete(ctx, tx, concerned, made)
				return err
			case hasLedger:
				err = comeBack(ctx, tx, concerned)
			}
			x.tell(concerned, func(backup.LedgerEntry) string { return "brought back, as was accepted" })
			return err
		})
	})
	if err != nil {
		return err
	}
	// Until the others may connect, a role that the restore made has no business anywhere.
	for _, role := range append(slices.Clone(x.unwanted), locked...) {
		if err := alter(ctx, restorer.Server, `ALTER ROLE `+pgx.Identifier{role}.Sanitize()+` NOLOGIN`); err != nil {
			return err
		}
	}
	return nil
}

func (x *resurrection) tell(concerned []backup.LedgerEntry, outcome func(backup.LedgerEntry) string) {
	for _, e := range concerned {
		d := Deletion{Kind: e.Kind, Name: e.Name, Event: e.Event, At: e.At, Outcome: outcome(e)}
		if e.Slug != nil {
			d.Slug = *e.Slug
		}
		x.told.All = append(x.told.All, d)
	}
}

const enterSQL = `
	INSERT INTO brownie.backup_ledger (id, at, kind, name, event, slug)
	SELECT id, at, kind, name, event, slug FROM pg_catalog.json_to_recordset($1::pg_catalog.json)
		AS e (id uuid, at timestamptz, kind text, name text, event text, slug text)
	ON CONFLICT (id) DO NOTHING`

// enter writes entries into the ledger of a restored database.
func enter(ctx context.Context, tx pgx.Tx, entries []backup.LedgerEntry) error {
	for chunk := range slices.Chunk(entries, 10_000) {
		text, err := json.Marshal(chunk)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, enterSQL, string(text)); err != nil {
			return err
		}
	}
	return nil
}

const presentSQL = `
	SELECT 'organization' AS kind, id::text AS name FROM public.organizations WHERE id::text = ANY ($1)
	UNION ALL SELECT 'role', role_name::text FROM brownie.role_bindings WHERE role_name::text = ANY ($2)`

// present are the entries about what the backup brought back.
func present(ctx context.Context, tx pgx.Tx, pending []backup.LedgerEntry, made []string) ([]backup.LedgerEntry, error) {
	hidden, err := dump.Hidden(ctx, tx)
	if err == nil && hidden != "" {
		err = problem.New("the role of this session may not see all rows of "+hidden,
			"Restore as the owner of the tables, or as a superuser")
	}
	if err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, presentSQL, named(pending, backup.OrganizationKind, ""), named(pending, backup.RoleKind, ""))
	if err != nil {
		return nil, err
	}
	type object struct{ Kind, Name string }
	all, err := pgx.CollectRows(rows, pgx.RowToStructByName[object])
	is := map[object]bool{}
	for _, each := range all {
		is[each] = true
	}
	return slices.DeleteFunc(slices.Clone(pending), func(e backup.LedgerEntry) bool {
		return !is[object{e.Kind, e.Name}] && (e.Kind != backup.RoleKind || !slices.Contains(made, e.Name))
	}), err
}

// named are the names in entries of one kind, and of one event, or of any.
func named(entries []backup.LedgerEntry, kind, event string) []string {
	names := []string{}
	for _, e := range entries {
		if e.Kind == kind && (event == "" || e.Event == event) {
			names = append(names, e.Name)
		}
	}
	return names
}

const comeBackSQL = `
	INSERT INTO brownie.backup_ledger (at, kind, name, event, slug)
	SELECT greatest(pg_catalog.clock_timestamp(), e.at + interval '1 microsecond'), kind, name, 'back', slug
	FROM pg_catalog.json_to_recordset($1::pg_catalog.json) AS e (at timestamptz, kind text, name text, slug text)`

// comeBack says that what was deleted is wanted again, so that a later restore does not delete it.
func comeBack(ctx context.Context, tx pgx.Tx, concerned []backup.LedgerEntry) error {
	text, err := json.Marshal(concerned)
	if err == nil && len(concerned) > 0 {
		_, err = tx.Exec(ctx, comeBackSQL, string(text))
	}
	return err
}

// delete deletes what is concerned, and returns the roles that are to be locked. A role that the cluster had before is as it is there: it
// belongs to other databases, too, and the cluster knows better than any ledger what became of it. Its binding is this database's own.
func (x *resurrection) delete(ctx context.Context, tx pgx.Tx, concerned []backup.LedgerEntry, made []string) (locked []string, err error) {
	if ids := named(concerned, backup.OrganizationKind, backup.DeletedEvent); len(ids) > 0 {
		if err := tenant.Purge(ctx, tx, ids); err != nil {
			return nil, err
		}
	}
	dropped := named(concerned, backup.RoleKind, backup.DeletedEvent)
	if _, err := tx.Exec(ctx, `DELETE FROM brownie.role_bindings WHERE role_name = ANY ($1::name[])`, dropped); err != nil {
		return nil, err
	}
	isNew := func(role string) bool { return slices.Contains(made, role) }
	x.tell(concerned, func(e backup.LedgerEntry) string {
		switch {
		case e.Kind == backup.OrganizationKind:
			return "purged"
		case e.Event == backup.DeletedEvent && isNew(e.Name):
			x.unwanted = append(x.unwanted, e.Name)
			return "dropped"
		case e.Event == backup.DeletedEvent:
			return "bound to nothing; the cluster has a role of that name, which stays as it is"
		case isNew(e.Name):
			locked = append(locked, e.Name)
			return "locked"
		}
		return "stays as the cluster has it"
	})
	return locked, nil
}

func alter(ctx context.Context, db *postgres.DB, sql string) error {
	return db.Borrow(ctx, nil, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, sql)
		return err
	})
}

// What a role owns might be run with the rights of whoever gets it: so nobody does.
const dropUnwantedSQL = `
	DO $$
	DECLARE
		role name := pg_catalog.current_setting('brownie.unwanted');
	BEGIN
		IF EXISTS (SELECT FROM pg_catalog.pg_shdepend WHERE refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass
			AND refobjid = pg_catalog.quote_ident(role)::pg_catalog.regrole AND deptype = 'o'
			AND classid <> 'pg_catalog.pg_default_acl'::pg_catalog.regclass)
		THEN
			RAISE EXCEPTION 'it owns objects';
		END IF;
		IF NOT pg_catalog.pg_has_role(role, 'USAGE') THEN
			EXECUTE pg_catalog.format('GRANT %I TO CURRENT_USER', role);
		END IF;
		EXECUTE pg_catalog.format('DROP OWNED BY %I', role);
		EXECUTE pg_catalog.format('DROP ROLE %I', role);
	END
	$$`

// drop drops the roles that nobody wanted. One that cannot be dropped stays locked.
func (x *resurrection) drop(ctx context.Context, restorer dump.Restorer, database string) {
	db := restorer.Open(database)
	defer db.Close()
	for _, role := range x.unwanted {
		_, err := postgres.Change[struct{ Done bool }](ctx, db,
			postgres.Statement{SQL: `SELECT pg_catalog.set_config('brownie.unwanted', $1, true)`, Args: []any{role}},
			postgres.Statement{SQL: dropUnwantedSQL}, postgres.Statement{SQL: `SELECT true AS done`})
		if err == nil {
			continue
		}
		for i, d := range x.told.All {
			if d.Kind == backup.RoleKind && d.Name == role {
				x.told.All[i].Outcome = fmt.Sprintf("locked, and bound to nothing; it was not dropped: %s", db.Explain(err))
			}
		}
	}
}
