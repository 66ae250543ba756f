package runner

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/artifact"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/object"
)

// Pruned is a backup, or what is left of one, that no rule keeps.
type Pruned struct {
	ID string `json:"id"`
	// Where has it.
	Where string `json:"where"`
	// Why is `retention`, or `orphan` for what is left of a run that did not end well.
	Why string `json:"why"`
	// Retained means that the store does not let it go yet.
	Retained bool `json:"retained"`
}

// Prune removes the backups of a schedule that no rule keeps, and what is left of runs that did not end. With dryRun it only tells.
func (r *Runner) Prune(ctx context.Context, name string, dryRun bool) (pruned []Pruned, err error) {
	schedule, err := r.Schedule(ctx, name)
	if err != nil {
		return nil, err
	}
	err = r.alone(ctx, name, func(ctx context.Context) error {
		if err := r.lose(ctx, name); err != nil {
			return err
		}
		pruned, err = r.prune(ctx, schedule, dryRun)
		return err
	})
	return pruned, err
}

// prune is for who holds the lock, so that nothing is being written.
func (r *Runner) prune(ctx context.Context, s backup.Schedule, dryRun bool) ([]Pruned, error) {
	onRecord, err := r.store().Backups(ctx, backup.Filter{Schedule: s.Name, Present: true})
	if err != nil {
		return nil, err
	}
	copies, closeAll := openAll(ctx, s.Destinations)
	defer closeAll()
	stored := make([][]artifact.Found, len(copies))
	for i, c := range copies {
		if c.Err == nil {
			stored[i], c.Err = artifact.List(ctx, c.Store, s.Name)
		}
	}
	unkept, err := prunable(s, onRecord)
	if err != nil {
		return nil, err
	}
	var pruned []Pruned
	var failed []error
	left := map[string]bool{} // what is still somewhere
	for i, c := range copies {
		if c.Err != nil {
			failed = append(failed, c.Err)
			for _, id := range unkept {
				left[id] = true
			}
			continue
		}
		for _, found := range stored[i] {
			why := "retention"
			switch {
			case !slices.ContainsFunc(onRecord, func(b backup.Backup) bool { return b.ID == found.ID }):
				continue // Another database's, or from after the moment that this one was restored to.
			case !found.Whole:
				why = "orphan"
			case !slices.Contains(unkept, found.ID):
				continue
			}
			one := Pruned{ID: found.ID, Where: c.Store.String(), Why: why}
			if !dryRun {
				var failure *object.StoreError
				switch err := found.Remove(ctx, c.Store); {
				case errors.As(err, &failure) && failure.Denied:
					one.Retained, left[found.ID] = true, true
				case err != nil:
					failed, left[found.ID] = append(failed, err), true
				}
			}
			pruned = append(pruned, one)
		}
	}
	for _, b := range onRecord {
		if slices.Contains(unkept, b.ID) && !left[b.ID] && !dryRun {
			failed = append(failed, r.store().PruneBackup(ctx, b.ID))
		}
	}
	for _, p := range pruned {
		r.Log.Info("Pruned", "schedule", s.Name, "backup", p.ID, "where", p.Where, "why", p.Why, "retained", p.Retained, "dry_run", dryRun)
	}
	return pruned, errors.Join(failed...)
}

// prunable are the backups on record that no rule keeps.
func prunable(s backup.Schedule, onRecord []backup.Backup) ([]string, error) {
	location, err := time.LoadLocation(s.Timezone)
	if err != nil {
		return nil, err
	}
	all := make([]backup.Kept, len(onRecord))
	for i, b := range onRecord {
		verified := b.Verified != nil && b.Verified.Succeeded
		all[i] = backup.Kept{
			ID: b.ID, At: b.StartedAt, Good: b.Status == backup.Succeeded && (b.Verified == nil || verified), Verified: verified,
		}
	}
	return s.Retention.Prunable(all, location, time.Now()), nil
}
