// Package tenancy manages what belongs to a tenant: organizations, their teams, users, agent configs and configs. It is
// the only place that knows the tables' SQL, and it knows no Terraform.
//
// Every change is one transaction in one round trip. Guards (limits, names already taken) are part of the changing
// statement, under a lock on the parent's row, so that two changes at once cannot both pass them.
package tenancy

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/patience"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// Row is what every table has.
type Row struct {
	ID        string    `db:"id"`
	CreatedAt time.Time `db:"created_at"`
	// UpdatedAt changes with every change of the row, also by others: it tells whether a row still is what was read.
	UpdatedAt time.Time `db:"updated_at"`
}

// calendar begins the expression, which the time and "))" end, for a time as RFC 3339 can write it. PostgreSQL has earlier and later
// ones, and infinity.
const calendar = `greatest('0001-01-01T00:00:00Z', least('9999-12-31T23:59:59.999999Z', `

func (r Row) row() Row { return r }

// Versioned is what a table has whose changes are counted.
type Versioned struct {
	Version int32 `db:"version"`
}

type rower interface{ row() Row }

// Store reads and changes tenants in one database.
type Store struct {
	// Patience is for a name that another row still has, and for a limit.
	Patience patience.Patience

	db            *postgres.DB
	organizations postgres.Loader[Organization]
	teams         postgres.Loader[Team]
	users         postgres.Loader[User]
	agentConfigs  postgres.Loader[AgentConfig]
	configs       postgres.Loader[Config]
}

// New returns a Store. It does not connect.
func New(db *postgres.DB) *Store {
	db = db.AsOwner()
	s := &Store{db: db}
	s.organizations.Load = loadBy[Organization](db, organizationsByIDSQL)
	s.teams.Load = loadBy[Team](db, teamsByIDSQL)
	s.users.Load = loadBy[User](db, usersByIDSQL)
	s.agentConfigs.Load = loadBy[AgentConfig](db, agentConfigsByIDSQL)
	s.configs.Load = loadBy[Config](db, configsByIDSQL)
	return s
}

func loadBy[T rower](db *postgres.DB, query string) func(context.Context, []string) (map[string]T, error) {
	return func(ctx context.Context, ids []string) (map[string]T, error) {
		rows, err := postgres.Change[T](ctx, db, postgres.Statement{SQL: query, Args: []any{ids}, Fewest: len(ids)})
		byID := make(map[string]T, len(rows))
		for _, row := range rows {
			byID[row.row().ID] = row
		}
		return byID, err
	}
}

// toInsert gives the parameters of an INSERT the names of columns: those of the attributes, and id. A name that the statement
// or the struct lacks is an error, so that no attribute is forgotten. What is embedded, the database computes.
func toInsert(id string, attributes any) pgx.StrictNamedArgs {
	args := pgx.StrictNamedArgs{"id": id}
	if named, ok := pgx.StructArgs(attributes).(pgx.NamedArgs); ok {
		maps.Copy(args, named)
	}
	return args
}

// toUpdate does the same for an UPDATE, with the updated_at that the row must have and the names of the columns to be written.
// All others stay as they are stored, which may be in a form that Terraform cannot tell from its own.
func toUpdate(id string, updatedAt time.Time, attributes any, changes []string) pgx.StrictNamedArgs {
	args := toInsert(id, attributes)
	args["updated_at"], args["changes"] = updatedAt, changes
	return args
}

// madeVersion is the version of a UUID, as it is written, of a row that this provider has made.
const madeVersion = "8"

// newID is for a row that this provider makes: a random UUID of version 8. All others make those of version 4, so that an ID tells
// whether Terraform has created the row.
func newID() string {
	id := uuid.New()
	id[6] = id[6]&0x0f | 0x80
	return id.String()
}

// A reader reads the row with an ID.
type reader[T any] func(ctx context.Context, id string) (T, error)

// insert makes a row by a statement, after the locks that its guards need. errHeldBack means that a guard let nothing through.
//
// The ID is made by the client, so that a row whose COMMIT was interrupted can be found again.
func insert[T any](ctx context.Context, db *postgres.DB, row T, read reader[T], query string, locks ...postgres.Statement) (T, error) {
	var none T
	id := newID()
	rows, err := postgres.Change[T](ctx, db, append(locks, postgres.Statement{SQL: query, Args: []any{toInsert(id, row)}})...)
	if postgres.Interrupted(err) {
		made, readErr := postgres.AwaitRead(ctx, func(ctx context.Context) (T, error) { return read(ctx, id) })
		if readErr == nil {
			return made, nil
		}
	}
	if err != nil {
		return none, documentError(row, err)
	}
	if len(rows) == 0 {
		return none, errHeldBack
	}
	return rows[0], nil
}

// update changes a row from before to after, where before is what the caller believes the row to be. When somebody else
// changed one of its attributes meanwhile, it returns a [*ConflictError] and changes nothing. errHeldBack means that another
// guard of the statement let nothing through.
func update[T rower](ctx context.Context, db *postgres.DB, before, after T, read reader[T], query string,
	locks ...postgres.Statement,
) (T, error) {
	var none T
	id, expected := before.row().ID, before.row().UpdatedAt
	changes := []string{}
	for _, change := range differences(before, after) {
		changes = append(changes, change.Attribute)
	}
	reread := func(ctx context.Context) (T, error) { return read(ctx, id) }
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
		rows, err := postgres.Change[T](ctx, db, append(slices.Clone(locks), change)...)
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

// remove deletes a row by a statement that returns its ID, after the locks that its guards need. removed is false when nothing
// matched or a guard held it back.
func remove[T any](ctx context.Context, db *postgres.DB, id string, read reader[T], query string, locks ...string) (
	removed bool, err error,
) {
	var statements []postgres.Statement
	for _, sql := range append(locks, query) {
		statements = append(statements, postgres.Statement{SQL: sql, Args: []any{id}})
	}
	statements[len(statements)-1].Fewest = 1 // A row that the session does not see is not gone.
	rows, err := postgres.Change[struct{ ID string }](ctx, db, statements...)
	if postgres.Interrupted(err) {
		_, readErr := postgres.AwaitRead(ctx, func(ctx context.Context) (T, error) { return read(ctx, id) })
		if errors.Is(readErr, postgres.ErrNotFound) {
			return true, nil
		}
	}
	return len(rows) > 0, err
}
