package runner

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/artifact"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/object"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// Pruned is a backup, or what is left of one, that no rule keeps.
type Pruned struct {
	ID string `json:"id"`
	// Where has it.
	Where string `json:"where"`
	// Why is `retention`, `orphan` for what is left of a run that did not end well, `rotated` for what is left of a backup that was
	// encrypted again, or `superseded` for an old copy of the ledger.
	Why string `json:"why"`
	// Retained means that the store does not let it go yet.
	Retained bool `json:"retained"`
	// Held means that it stays as it is held, whatever the retention says.
	Held bool `json:"held"`
}

// Prune removes the backups of a schedule that no rule keeps, and what is left of runs that did not end. With dryRun it only tells.
func (r *Runner) Prune(ctx context.Context, name string, dryRun bool) (pruned []Pruned, err error) {
	schedule, err := r.Schedule(ctx, name)
	if err != nil {
		return nil, err
	}
	err = r.alone(ctx, name, func(ctx context.Context) error {
		if err := r.lose(ctx, schedule); err != nil {
			return err
		}
		pruned, err = r.prune(ctx, schedule, dryRun)
		return err
	})
	return pruned, err
}

// here is which database this is, and what time it is there.
type here struct {
	SystemIdentifier string    `db:"system_identifier"`
	Database         string    `db:"database"`
	Now              time.Time `db:"now"`
}

// The server's clock counts: several runners have several.
const hereSQL = `
	SELECT (SELECT system_identifier::text FROM pg_catalog.pg_control_system()) AS system_identifier,
		pg_catalog.current_database()::text AS database, pg_catalog.clock_timestamp() AS now`

// prune is for who holds the lock, so that nothing is being written.
func (r *Runner) prune(ctx context.Context, s backup.Schedule, dryRun bool) ([]Pruned, error) {
	location, err := time.LoadLocation(s.Timezone)
	if err != nil {
		return nil, err
	}
	at, err := postgres.QueryOne[here](ctx, r.DB, hereSQL)
	if err != nil {
		return nil, err
	}
	onRecord, err := r.store().Backups(ctx, backup.Filter{Schedule: s.Name, Present: true})
	if err != nil {
		return nil, err
	}
	copies, closeAll := openAll(ctx, s.Destinations)
	defer closeAll()
	var pruned []Pruned
	var failed []error
	left := map[backup.Destination]map[string]bool{} // what is still there, of the destinations that could be looked at
	for i, c := range copies {
		in := pruning{
			Runner: r, at: at, store: c.Store, destination: s.Destinations[i], onRecord: onRecord, dryRun: dryRun, left: map[string]bool{},
		}
		in.unkept = s.Retention.Prunable(kept(onRecord, &s.Destinations[i]), location, at.Now)
		if c.Err == nil && s.Engine == backup.PgBackRest {
			c.Err = in.spareParents(ctx, s.Name)
		}
		if c.Err == nil {
			c.Err = errors.Join(in.run(ctx, s.Name), in.pruneLedger(ctx, s.Name, s.Destinations[i]))
		}
		if c.Err == nil && s.Engine == backup.PgBackRest && !dryRun {
			c.Err = r.removeFiles(ctx, s.Name, c.Store)
		}
		if pruned = append(pruned, in.pruned...); c.Err != nil {
			failed = append(failed, c.Err)
			continue
		}
		left[s.Destinations[i]] = in.left
	}
	unkept := s.Retention.Prunable(kept(onRecord, nil), location, at.Now)
	for _, b := range onRecord {
		if !dryRun && b.HeldAt == nil && slices.Contains(unkept, b.ID) && isGone(b, left) {
			failed = append(failed, r.store().PruneBackup(ctx, b.ID))
		}
	}
	for _, p := range pruned {
		r.Log.Info("Pruned", "schedule", s.Name, "backup", p.ID, "where", p.Where, "why", p.Why, "retained", p.Retained, "held", p.Held,
			"dry_run", dryRun)
	}
	return pruned, errors.Join(failed...)
}

// kept are the backups on record as the retention sees them: those of one destination, which keeps its own last good one, or all. Runs that
// go on are none of its business.
func kept(onRecord []backup.Backup, in *backup.Destination) (all []backup.Kept) {
	for _, b := range onRecord {
		isThere := func(at backup.Stored) bool { return at.Destination == *in && at.Error == "" }
		has := in == nil || slices.ContainsFunc(b.Destinations, isThere)
		if b.Status == backup.Running || !has {
			continue
		}
		all = append(all, backup.Kept{
			ID: b.ID, At: b.StartedAt, Good: b.Status == backup.Succeeded && (b.Verified == nil || !b.Verified.Damaged),
			Verified: b.Verified != nil && b.Verified.Succeeded,
		})
	}
	return all
}

// isGone tells that a backup is in none of the places that it was written to. One that nobody looked at may still have it.
func isGone(b backup.Backup, left map[backup.Destination]map[string]bool) bool {
	for _, at := range b.Destinations {
		if in, looked := left[at.Destination]; at.Error == "" && (!looked || in[b.ID]) {
			return false
		}
	}
	return true
}

// pruning is that of one destination.
type pruning struct {
	*Runner
	at          here
	store       *object.Store
	destination backup.Destination
	onRecord    []backup.Backup
	unkept      []string
	dryRun      bool

	pruned []Pruned
	left   map[string]bool
}

func (p *pruning) run(ctx context.Context, schedule string) error {
	all, err := artifact.List(ctx, p.store, schedule)
	if err != nil {
		return err
	}
	var failed []error
	for _, found := range all {
		p.left[found.ID] = true
		why, err := p.why(ctx, schedule, found)
		if err != nil {
			failed = append(failed, err)
		}
		if why == "" {
			rest, err := p.replaced(ctx, schedule, found)
			if failed = append(failed, err); len(rest.Keys) == 0 {
				continue
			}
			found, why = rest, "rotated"
		}
		one := Pruned{ID: found.ID, Where: p.store.String(), Why: why, Held: why == "retention" && p.isHeld(found.ID)}
		if !p.dryRun && !one.Held {
			if err := ctx.Err(); err != nil { // Who has lost the lock must not go on.
				return errors.Join(append(failed, context.Cause(ctx))...)
			}
			one.Retained, err = remove(ctx, p.store, found)
			failed = append(failed, err)
			if err == nil && !one.Retained && why != "rotated" {
				delete(p.left, found.ID)
			}
		}
		p.pruned = append(p.pruned, one)
	}
	return errors.Join(failed...)
}

// remove removes what was found. retained means that the store does not let it go.
func remove(ctx context.Context, store *object.Store, found artifact.Found) (retained bool, err error) {
	err = found.Remove(ctx, store)
	var failure *object.StoreError
	if errors.As(err, &failure) && failure.Denied {
		return true, nil
	}
	return false, err
}

func (p *pruning) isHeld(id string) bool {
	return slices.ContainsFunc(p.onRecord, func(b backup.Backup) bool { return b.ID == id && b.HeldAt != nil })
}

// spareParents keeps the backups upon which others build that are kept.
func (p *pruning) spareParents(ctx context.Context, schedule string) error {
	all, err := artifact.List(ctx, p.store, schedule)
	for _, found := range all {
		if !found.Whole || slices.Contains(p.unkept, found.ID) {
			continue
		}
		m, _, readErr := artifact.ReadManifest(ctx, p.store, schedule, found.ID, "")
		err = errors.Join(err, readErr)
		p.unkept = slices.DeleteFunc(p.unkept, func(id string) bool { return slices.Contains(m.Parents, id) })
	}
	return err
}

// why tells why a backup in the store is to be removed, or nothing. What is not on record is another database's, and so is what another
// database has made that this one is a copy of.
func (p *pruning) why(ctx context.Context, schedule string, found artifact.Found) (string, error) {
	i := slices.IndexFunc(p.onRecord, func(b backup.Backup) bool { return b.ID == found.ID })
	switch {
	case i < 0 || p.onRecord[i].Status == backup.Running:
		return "", nil
	case !found.Whole:
		return "orphan", nil
	case !slices.Contains(p.unkept, found.ID) && p.onRecord[i].Status == backup.Succeeded:
		return "", nil
	}
	m, _, err := artifact.ReadManifest(ctx, p.store, schedule, found.ID, "")
	if err != nil || m.SystemIdentifier != p.at.SystemIdentifier || m.Database.Name != p.at.Database {
		return "", err
	}
	return "retention", nil
}
