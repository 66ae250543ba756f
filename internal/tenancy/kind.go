package tenancy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// kind reads and changes the rows of one kind. Those that are asked for at the same time share statements and transactions.
type kind[T rower] struct {
	postgres.Loader[T]

	db         *postgres.DB
	byIDSQL    string
	muchSQL    string // finds those of many rows under which there is much that is deleted with them
	insertions postgres.Merger[*insertion[T]]
	removals   postgres.Merger[*removal]
}

func (k *kind[T]) init(db *postgres.DB, byIDSQL string) {
	k.db, k.byIDSQL = db, byIDSQL
	k.Init(db.InFlight(), k.load)
	k.insertions.Init(db, k.insertAll)
	k.removals.Init(db, k.removeAll)
}

// byID reads rows. A row that the session does not see is not gone.
func (k *kind[T]) byID(ids []string) postgres.Statement {
	return postgres.Statement{SQL: k.byIDSQL, Args: []any{ids}, Fewest: len(ids)}
}

func (k *kind[T]) load(ctx context.Context, ids []string) (map[string]T, error) {
	rows, err := postgres.Change[T](ctx, k.db, k.byID(ids))
	return byID(rows), err
}

func byID[T rower](rows []T) map[string]T {
	found := make(map[string]T, len(rows))
	for _, row := range rows {
		found[row.row().ID] = row
	}
	return found
}

// insertion is a row that is to be made, after the locks that its guards need, and what became of that.
type insertion[T any] struct {
	id    string
	locks []postgres.Statement
	query string
	row   T
	err   error
}

// insert makes a row by a statement, after the locks that its guards need, and together with others unless it is to be alone.
// errHeldBack means that a guard let nothing through.
//
// The ID is made by the client, so that a row whose COMMIT was interrupted can be found again.
func (k *kind[T]) insert(ctx context.Context, alone bool, row T, query string, locks ...postgres.Statement) (T, error) {
	i := &insertion[T]{id: newID(), locks: locks, query: query, row: row}
	if alone {
		k.insertAll(ctx, []*insertion[T]{i})
	} else {
		k.insertions.Do(ctx, i)
	}
	return i.row, i.err
}

func (k *kind[T]) insertAll(ctx context.Context, all []*insertion[T]) (alone bool) {
	return postgres.ChangeTogether(ctx, k.db, all, k.insertStatements, func(rows []T, err error) {
		made := byID(rows)
		if postgres.Interrupted(err) {
			made, _ = postgres.AwaitRead(ctx, func(ctx context.Context) (map[string]T, error) { return k.load(ctx, idsOf(all)) })
		}
		for _, i := range all {
			row, found := made[i.id]
			if !found && err == nil && len(all) == 1 && len(rows) == 1 {
				row, found = rows[0], true
			}
			switch wanted := i.row; {
			case found:
				i.row = row
			case err == nil:
				i.err = errHeldBack
			default:
				i.err = documentError(wanted, err)
			}
		}
	})
}

func (i *insertion[T]) rowID() string { return i.id }

// idsOf returns the IDs of the rows of changes.
func idsOf[C interface{ rowID() string }](all []C) []string {
	ids := make([]string, len(all))
	for n, change := range all {
		ids[n] = change.rowID()
	}
	return ids
}

// insertStatements takes locks in an order, so that two changes do not wait for each other.
func (k *kind[T]) insertStatements(all []*insertion[T]) ([]postgres.Statement, error) {
	slices.SortStableFunc(all, func(a, b *insertion[T]) int { return strings.Compare(fmt.Sprint(a.locks), fmt.Sprint(b.locks)) })
	var statements []postgres.Statement
	for _, i := range all {
		statements = append(append(statements, i.locks...), postgres.Statement{SQL: i.query, Args: []any{toInsert(i.id, i.row)}})
	}
	if len(all) > 1 {
		// A row that a guard holds back, a deleted user that comes back with its own ID, or a trigger that changes IDs: each is for itself.
		allMade := `SELECT 1 / (count(*) = cardinality($1::uuid[]))::integer FROM (` + k.byIDSQL + `) AS made`
		statements = append(statements, postgres.Statement{SQL: allMade, Args: []any{idsOf(all)}},
			postgres.Statement{SQL: k.byIDSQL, Args: []any{idsOf(all)}})
	}
	return statements, nil
}

// update changes a row from before to after, where before is what the caller believes the row to be. When somebody else
// changed one of its attributes meanwhile, it returns a [*ConflictError] and changes nothing. errHeldBack means that another
// guard of the statement let nothing through.
func (k *kind[T]) update(ctx context.Context, before, after T, query string, locks ...postgres.Statement) (T, error) {
	var none T
	id, expected := before.row().ID, before.row().UpdatedAt
	changes := []string{}
	for _, change := range differences(before, after) {
		changes = append(changes, change.Attribute)
	}
	reread := func(ctx context.Context) (T, error) { return k.Get(ctx, id) }
	if len(changes) == 0 { // What only Terraform knows has changed.
		now, err := reread(ctx)
		if conflicts := differences(before, now); err == nil && len(conflicts) > 0 {
			err = conflictError(conflicts)
		}
		return now, err
	}
	// A change to a column that is not ours moves updated_at too, and then the UPDATE is sent again for the new one.
	for range 3 {
		change := postgres.Statement{SQL: query, Args: []any{toUpdate(id, expected, after, changes)}}
		rows, err := postgres.Change[T](ctx, k.db, append(slices.Clone(locks), change)...)
		if postgres.Interrupted(err) {
			now, readErr := postgres.AwaitRead(ctx, reread)
			if readErr == nil && !now.row().UpdatedAt.Equal(expected) && len(differences(after, now)) == 0 {
				return now, nil
			}
		}
		if err != nil {
			return none, documentError(after, err)
		}
		if len(rows) > 0 {
			return rows[0], nil
		}
		now, err := reread(ctx)
		if err != nil {
			return none, err
		}
		if conflicts := differences(before, now); len(conflicts) > 0 {
			return none, conflictError(conflicts)
		}
		if now.row().UpdatedAt.Equal(expected) {
			return none, errHeldBack
		}
		expected = now.row().UpdatedAt
	}
	return none, errors.New("the row is being changed by others all the time; nothing was changed, try again")
}

// removal is a row that is to be deleted, after the locks that its guards need, and what became of that.
type removal struct {
	id    string
	locks []string
	query string
	left  bool
	err   error
}

func (r *removal) rowID() string { return r.id }

// remove deletes a row by a statement that returns its ID, after the locks that its guards need. removed is false when it is still
// there, because a guard held it back, or what somebody else has made. What was gone already counts as removed.
func (k *kind[T]) remove(ctx context.Context, id, query string, locks ...string) (removed bool, err error) {
	r := &removal{id: id, locks: locks, query: query}
	k.removals.Do(ctx, r)
	return !r.left, r.err
}

func (k *kind[T]) removeAll(ctx context.Context, all []*removal) (alone bool) {
	return postgres.ChangeTogether(ctx, k.db, all, k.removeStatements, func(rows []T, err error) {
		left, known := byID(rows), err == nil
		if postgres.Interrupted(err) {
			read, readErr := postgres.AwaitRead(ctx, func(ctx context.Context) (map[string]T, error) { return k.load(ctx, idsOf(all)) })
			left, known = read, readErr == nil
		}
		for _, r := range all {
			if _, r.left = left[r.id]; r.left || !known {
				r.err = err
			}
		}
	})
}

// removeStatements takes locks in an order, so that two changes do not wait for each other.
func (k *kind[T]) removeStatements(all []*removal) ([]postgres.Statement, error) {
	slices.SortFunc(all, func(a, b *removal) int { return strings.Compare(a.id, b.id) })
	var statements []postgres.Statement
	if len(all) > 1 && k.muchSQL != "" {
		// What takes long is for itself: others need not wait for it, nor is it undone with them.
		statements = append(statements, postgres.Statement{
			SQL: `SELECT 1 / (NOT EXISTS (` + k.muchSQL + `))::integer`, Args: []any{idsOf(all)},
		})
	}
	for _, r := range all {
		for _, sql := range append(r.locks, r.query) {
			statements = append(statements, postgres.Statement{SQL: sql, Args: []any{r.id}})
		}
		statements[len(statements)-1].Fewest = 1 // A row that the session does not see is not gone.
	}
	return append(statements, postgres.Statement{SQL: k.byIDSQL, Args: []any{idsOf(all)}}), nil
}
