package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sethvargo/go-retry"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// Plan says what a run will do.
type Plan struct {
	// From is the version that the database has, To the one that it will have.
	From, To int64
	// Steps run in this order. With none there is nothing to do.
	Steps []Step
	// Adopts is the version that a schema which others made is found to have; 0 when there is nothing to adopt.
	Adopts int64
	// Adopted is the version up to which the schema was adopted, now or earlier.
	Adopted int64

	// upOnly is a plan that is made and run at once: wherever it finds the database, it goes up from there.
	upOnly bool
}

// Step is one migration that a run will apply or, if Down is set, undo.
type Step struct {
	Version int64
	Name    string
	SHA256  string
	Down    bool
	// SQL is what the file says, see [Migration.SQL].
	SQL string `json:"-"`
	// Locks are taken on tables that exist already, Bytes is the size of those that are locked against writes, and Unknown
	// names statements that may lock more. All of them are found by [Engine.Inspect].
	Locks   []TableLock
	Bytes   int64
	Unknown []string
}

// Same tells whether two steps run the same.
func (s Step) Same(other Step) bool {
	return s.Version == other.Version && s.SHA256 == other.SHA256 && s.Down == other.Down
}

// Plan finds out what a run to a version will do, changing nothing. Going down takes allowDown, and is possible by one
// version only. Errors are [*AheadError], [*HistoryError], [*DownError], [*AdoptionError], [*BadFileError], and a problem of
// "version" if no file has it.
func (e *Engine) Plan(ctx context.Context, version int64, allowDown bool) (Plan, error) {
	plan, err := e.outline(ctx, version)
	if err != nil || len(plan.Steps) == 0 || !plan.Steps[0].Down {
		return plan, err
	}
	switch {
	case !allowDown:
		err = downError(plan.From, plan.To, fmt.Sprintf("undoes migrations, with what is stored in their tables and columns. "+
			"Set version to %d or higher, or allow_down = true if that is meant", plan.From))
	case len(plan.Steps) > 1:
		err = downError(plan.From, plan.To, fmt.Sprintf("is done one version at a time. Set version to %d first", plan.Steps[1].Version))
	}
	return plan, err
}

// Confirm tells whether a plan is the one that was shown: what ran in the meantime is a [*StalePlanError]. from is the version
// that the database then had, or nil if nobody could know it.
func (p Plan) Confirm(from *int64, steps []Step) error {
	if from != nil && *from != p.From || !slices.EqualFunc(steps, p.Steps, Step.Same) {
		var planned int64
		if from != nil {
			planned = *from
		}
		return stalePlan(planned, p.From, p.To)
	}
	return nil
}

// PlanTeardown finds out what undoing everything will do.
func (e *Engine) PlanTeardown(ctx context.Context, allowDown bool) (Plan, error) {
	plan, err := e.outline(ctx, 0)
	if err == nil && len(plan.Steps) > 0 && !allowDown {
		err = downError(plan.From, 0, "undoes all migrations, with what is stored in their tables. Apply allow_down = true first if "+
			"that is "+
			`meant, or on_destroy = "keep" to leave the schema as it is`)
	}
	return plan, err
}

// Steps lists the migrations between two versions in the order in which they run, whatever the database has.
func (e *Engine) Steps(from, to int64) ([]Step, error) {
	known, err := e.known()
	if err != nil {
		return nil, err
	}
	var steps []Step
	for _, m := range known {
		if m.Version > from && m.Version <= to {
			steps = append(steps, Step{Version: m.Version, Name: m.Name, SHA256: m.SHA256, SQL: m.SQL(false)})
		}
	}
	for _, m := range slices.Backward(known) {
		if m.Version <= from && m.Version > to {
			steps = append(steps, Step{Version: m.Version, Name: m.Name, SHA256: m.SHA256, SQL: m.SQL(true), Down: true})
		}
	}
	return steps, nil
}

// outline finds the steps, without what they lock.
func (e *Engine) outline(ctx context.Context, version int64) (Plan, error) {
	known, err := e.known()
	if err != nil {
		return Plan{}, err
	}
	latest := known[len(known)-1].Version
	if version != 0 && !slices.ContainsFunc(known, func(m Migration) bool { return m.Version == version }) {
		return Plan{}, unknownVersion(version, latest)
	}
	applied, err := e.settled(ctx, version)
	if err != nil {
		return Plan{}, err
	}
	plan := Plan{From: Current(applied), To: version}
	for _, a := range applied {
		if a.Adopted {
			plan.Adopted = a.Version
		}
	}
	if err := e.source.verify(known, applied); err != nil {
		return plan, err
	}
	if len(applied) == 0 {
		plan.Adopts, err = e.adoptable(ctx, known)
		if err != nil || plan.Adopts > 0 {
			// Has a run that began meanwhile made it? It records a migration at the same moment.
			if again, readErr := e.Applied(ctx); readErr == nil && len(again) > 0 {
				return e.outline(ctx, version)
			}
		}
		if err != nil {
			return plan, err
		}
		plan.From, plan.Adopted = plan.Adopts, plan.Adopts
	}
	if plan.Steps, err = e.Steps(plan.From, version); err != nil {
		return plan, err
	}
	for _, step := range plan.Steps {
		if step.Down && len(e.migration(step.Version).down.pieces) == 0 {
			return plan, downError(plan.From, version,
				fmt.Sprintf(`needs a down step, which %s lacks: no statement follows "-- +goose Down". `+
					"Write a new migration that does what is wanted", step.Name))
		}
	}
	return plan, nil
}

// A bigint key is stored in two halves (PostgreSQL manual, pg_locks).
const underWaySQL = `
SELECT EXISTS (
	SELECT FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_database d ON d.oid = l.database AND d.datname = current_database()
	WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND (l.classid::bigint << 32) + l.objid::bigint = $1
) AS running`

// settled reads the history at a moment at which nobody is changing it: what is between two migrations of a run that is
// under way is no state to plan for. A database that was never migrated is one, since whoever migrates it then waits.
func (e *Engine) settled(ctx context.Context, version int64) ([]Applied, error) {
	told := false
	return retry.DoValue(ctx, patience(), func(ctx context.Context) ([]Applied, error) {
		applied, err := e.Applied(ctx)
		if err != nil || len(applied) == 0 || Current(applied) == version {
			return applied, err
		}
		now, err := postgres.QueryOne[struct{ Running bool }](ctx, e.db, underWaySQL, lockID)
		if err != nil {
			return nil, err
		}
		if !now.Running {
			again, err := e.Applied(ctx)
			if err != nil || len(again) == len(applied) && Current(again) == Current(applied) {
				return again, err
			}
		} else if !told {
			e.log(ctx, waiting, nil)
			told = true
		}
		return nil, retry.RetryableError(errLocked)
	})
}

const waiting = "waiting for another run of migrations"

var errLocked = errors.New("another run of migrations has held the lock for an hour")

// patience is for waiting until another run ends. Each pause is a part of the time that was waited already, so that little
// time is lost in the end.
func patience() retry.Backoff {
	began := time.Now()
	return retry.WithMaxDuration(time.Hour, retry.WithJitterPercent(20, retry.BackoffFunc(func() (time.Duration, bool) {
		return min(max(time.Since(began)/10, 10*time.Millisecond), time.Second), false
	})))
}
