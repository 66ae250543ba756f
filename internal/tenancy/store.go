// Package tenancy manages what belongs to a tenant: organizations, their teams, users, agent configs and configs. It is
// the only place that knows the tables' SQL, and it knows no Terraform.
//
// Every change is one transaction in one round trip. Guards (limits, names already taken) are part of the changing
// statement, under a lock on the parent's row, so that two changes at once cannot both pass them.
package tenancy

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// Row is what every table has.
type Row struct {
	ID        string    `db:"id"`
	CreatedAt time.Time `db:"created_at"`
	// UpdatedAt changes with every change of the row, also by others: it tells whether a row still is what was read.
	UpdatedAt time.Time `db:"updated_at"`
}

func (r Row) row() Row { return r }

type rower interface{ row() Row }

// Store reads and changes tenants in one database.
type Store struct {
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
		rows, err := postgres.Query[T](ctx, db, query, ids)
		byID := make(map[string]T, len(rows))
		for _, row := range rows {
			byID[row.row().ID] = row
		}
		return byID, err
	}
}

// newID is made by the client, so that a row whose COMMIT was interrupted can be found again.
func newID() string { return uuid.NewString() }

// insert runs a change that ends with an INSERT. errHeldBack means that a guard of the statement let nothing through.
func insert[T any](ctx context.Context, db *postgres.DB, read func(context.Context) (T, error), statements ...postgres.Statement) (T, error) {
	var none T
	rows, err := postgres.Change[T](ctx, db, statements...)
	if postgres.Interrupted(err) {
		if row, readErr := postgres.AwaitRead(ctx, read); readErr == nil {
			return row, nil
		}
	}
	if err != nil {
		return none, err
	}
	if len(rows) == 0 {
		return none, errHeldBack
	}
	return rows[0], nil
}

// update changes a row from before to after, where before is what the caller believes the row to be. When somebody
// else changed one of its attributes meanwhile, it returns a [*ConflictError] and changes nothing. statements gets the
// updated_at that the UPDATE must require. errHeldBack means that another guard of the statement let nothing through.
func update[T rower](ctx context.Context, db *postgres.DB, before, after T, read func(context.Context) (T, error),
	statements func(updatedAt time.Time) []postgres.Statement,
) (T, error) {
	var none T
	expected := before.row().UpdatedAt
	// A change to a column that is not ours moves updated_at too, and then the UPDATE is sent again for the new one.
	for range 3 {
		rows, err := postgres.Change[T](ctx, db, statements(expected)...)
		if postgres.Interrupted(err) {
			now, readErr := postgres.AwaitRead(ctx, read)
			if readErr == nil && !now.row().UpdatedAt.Equal(expected) && len(differences(after, now)) == 0 {
				return now, nil
			}
		}
		if err != nil {
			return none, err
		}
		if len(rows) > 0 {
			return rows[0], nil
		}
		now, err := read(ctx)
		if err != nil {
			return none, err
		}
		if changes := differences(before, now); len(changes) > 0 {
			return none, &ConflictError{Changes: changes}
		}
		if now.row().UpdatedAt.Equal(expected) {
			return none, errHeldBack
		}
		expected = now.row().UpdatedAt
	}
	return none, errors.New("the row is being changed by others all the time; nothing was changed, try again")
}

// remove runs a change that ends with a DELETE … RETURNING id. removed is false when nothing matched or a guard held
// it back.
func remove[T any](ctx context.Context, db *postgres.DB, read func(context.Context) (T, error), statements ...postgres.Statement) (removed bool, err error) {
	rows, err := postgres.Change[struct{ ID string }](ctx, db, statements...)
	if postgres.Interrupted(err) {
		if _, readErr := postgres.AwaitRead(ctx, read); errors.Is(readErr, postgres.ErrNotFound) {
			return true, nil
		}
	}
	return len(rows) > 0, err
}
