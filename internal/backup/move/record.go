package move

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// The steps of a move. Each is committed before the next begins; what follows a name tells who may write the organization's rows then.
const (
	begun    = "begun"    // source: writers of the source
	closed   = "closed"   // source: nobody there
	left     = "left"     // source: nobody there, and its roles cannot log in
	dropping = "dropping" // source: never committed
	dropped  = "dropped"  // source: there is nothing left
	awaited  = "awaited"  // target: nobody there, and there is nothing yet
	copying  = "copying"  // target: never committed
	copied   = "copied"   // target: nobody there
	arrived  = "arrived"  // target: writers of the target
	aborting = "aborting" // either: nobody there
	aborted  = "aborted"  // either: as before the move
)

// record is an organization's last move, as one of the two databases has it.
type record struct {
	Organization string     `db:"organization"`
	ID           string     `db:"id"`
	Slug         string     `db:"slug"`
	Step         string     `db:"step"`
	ClosedAt     *time.Time `db:"closed_at"`
	SwitchedAt   *time.Time `db:"switched_at"`
	KeepUntil    *time.Time `db:"keep_until"`
	// Present tells that the organization has its row.
	Present bool `db:"present"`
	// Over tells that the source's copy need not be kept any longer.
	Over bool `db:"over"`
}

const recordColumns = `m.organization::text, m.id::text, m.slug, m.step, m.closed_at, m.switched_at, m.keep_until,
	EXISTS (SELECT FROM public.organizations o WHERE o.id = m.organization) AS present,
	coalesce(m.keep_until <= clock_timestamp(), false) AS over`

const recordSQL = `SELECT ` + recordColumns + ` FROM brownie.moves m WHERE m.organization = $1`

// recordOf returns the record of an organization, or [problem.ErrNotFound].
func recordOf(ctx context.Context, db *postgres.DB, organization string) (record, error) {
	return postgres.QueryOne[record](ctx, db, recordSQL, organization)
}

// An organization that was dropped is found by the slug that it had.
const findSQL = `
	SELECT o.id::text AS organization, '' AS id, o.slug, '' AS step, NULL::timestamptz AS closed_at, NULL::timestamptz AS switched_at,
		NULL::timestamptz AS keep_until, true AS present, false AS over
	FROM public.organizations o WHERE o.slug = $1 AND NOT EXISTS (SELECT FROM brownie.moves m WHERE m.organization = o.id)
	UNION ALL (SELECT ` + recordColumns + ` FROM brownie.moves m LEFT JOIN public.organizations p ON p.id = m.organization
		WHERE coalesce(p.slug, m.slug) = $1 ORDER BY p.id IS NULL, m.started_at DESC LIMIT 1)`

// find returns the source's record of an organization, which has no step where it never moved.
func (m *Mover) find(ctx context.Context, slug string) (record, error) {
	r, err := postgres.QueryOne[record](ctx, m.Source, findSQL, slug)
	if errors.Is(err, problem.ErrNotFound) || err == nil && !r.Present && r.Step != dropped {
		err = problem.New(fmt.Sprintf("there is no organization %q", slug),
			"Name it by its slug, and the database that it leaves by PGHOST and PGDATABASE")
	}
	return r, err
}

const beginSQL = `
	INSERT INTO brownie.moves AS m (organization, id, slug, step) VALUES ($1, $2, $3, 'begun')
	ON CONFLICT (organization) DO UPDATE SET id = excluded.id, slug = excluded.slug, step = excluded.step, started_at = clock_timestamp(),
		closed_at = NULL, switched_at = NULL, keep_until = NULL
	WHERE m.step IN ('aborted', 'arrived')
	RETURNING ` + recordColumns

// Where the move was aborted, somebody else may have gone on with it: it never begins again there.
const awaitSQL = `
	INSERT INTO brownie.moves AS m (organization, id, slug, step) VALUES ($1, $2, $3, 'awaited')
	ON CONFLICT (organization) DO UPDATE SET id = excluded.id, slug = excluded.slug, step = excluded.step, started_at = clock_timestamp(),
		closed_at = NULL, switched_at = NULL, keep_until = NULL
	WHERE m.step IN ('dropped', 'awaited', 'arrived') OR m.step = 'aborted' AND m.id <> excluded.id
	RETURNING ` + recordColumns

const refuseSQL = `
	INSERT INTO brownie.moves AS m (organization, id, slug, step) VALUES ($1, $2, $3, 'aborted')
	ON CONFLICT (organization) DO UPDATE SET id = excluded.id, slug = excluded.slug, step = excluded.step, started_at = clock_timestamp(),
		closed_at = NULL, switched_at = NULL, keep_until = NULL
	WHERE m.step IN ('dropped', 'awaited', 'arrived', 'aborted')
	RETURNING ` + recordColumns

// advanceSQL makes one step, if the move is where it should be.
const advanceSQL = `
	UPDATE brownie.moves m SET step = $3, closed_at = CASE $3 WHEN 'closed' THEN coalesce(closed_at, clock_timestamp()) ELSE closed_at END,
		switched_at = CASE WHEN $3 IN ('left', 'arrived') THEN clock_timestamp() ELSE switched_at END,
		keep_until = CASE $3 WHEN 'left' THEN clock_timestamp() + $5 * interval '1 microsecond' ELSE keep_until END
	WHERE organization = $1 AND id = $2 AND step = ANY ($4::text[])
	RETURNING ` + recordColumns

// advanceWithin is [Mover.advance] as a part of a transaction.
const advanceWithinSQL = `UPDATE brownie.moves SET step = $3 WHERE organization = $1 AND id = $2 AND step = ANY ($4::text[])`

// advance makes one step, in one transaction. That it was made already is no error.
func (m *Mover) advance(ctx context.Context, db *postgres.DB, r record, step string, from ...string) (record, error) {
	rows, err := postgres.Change[record](ctx, db, postgres.Statement{
		SQL: advanceSQL, Args: []any{r.Organization, r.ID, step, from, m.Grace.Microseconds()},
	})
	if err != nil || len(rows) == 1 {
		return one(rows), err
	}
	is, err := recordOf(ctx, db, r.Organization)
	if err == nil && is.ID == r.ID && is.Step == step {
		return is, nil
	}
	if err == nil || errors.Is(err, problem.ErrNotFound) {
		err = errOvertaken
	}
	return is, err
}

func one(rows []record) (r record) {
	if len(rows) == 1 {
		r = rows[0]
	}
	return r
}

var errOvertaken = problem.New("another run of this command changed the move meanwhile", "Run the command again when that one has ended")
