package runner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/artifact"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/object"
)

// Held tells by what a copy of a backup is held, or not any more.
type Held struct {
	Location string `json:"location"`
	// Store means that the store itself keeps the objects against everybody, by legal holds. Else the record alone holds: this program
	// removes nothing, and others may.
	Store bool `json:"store"`
	// Problem is why the store could not be told, or empty.
	Problem string `json:"problem,omitempty"`
}

// Hold keeps a backup whatever the retention says, until it is released.
func (r *Runner) Hold(ctx context.Context, id, reason string) (all []Held, err error) {
	b, err := r.Find(ctx, id)
	if err != nil {
		return nil, err
	}
	err = r.afterOthers(ctx, b.ScheduleName, func(ctx context.Context) error {
		if err := r.store().HoldBackup(ctx, id, reason); err != nil {
			return err
		}
		// It may have been encrypted again meanwhile, elsewhere.
		if b, err = r.store().Backup(ctx, id); err != nil {
			return err
		}
		all, err = holdObjects(ctx, b, true)
		return err
	})
	return all, err
}

// Release lets the retention count again for a backup.
func (r *Runner) Release(ctx context.Context, id string) (all []Held, err error) {
	b, err := r.Find(ctx, id)
	if err != nil {
		return nil, err
	}
	err = r.afterOthers(ctx, b.ScheduleName, func(ctx context.Context) error {
		if b, err = r.store().Backup(ctx, id); err != nil {
			return err
		}
		all, err = holdObjects(ctx, b, false)
		return errors.Join(err, r.store().ReleaseBackup(ctx, id))
	})
	return all, err
}

// holdObjects tells the stores that have the backup, also what a rotation of keys has left of it.
func holdObjects(ctx context.Context, b backup.Backup, on bool) (all []Held, err error) {
	var failed []error
	for _, at := range b.Destinations {
		if at.Error != "" {
			continue
		}
		one := Held{Location: at.Location}
		err := holdIn(ctx, b, at, on)
		switch {
		case errors.Is(err, object.ErrNoLock):
		case err != nil:
			one.Problem = err.Error()
			failed = append(failed, err)
		default:
			one.Store = on
		}
		all = append(all, one)
	}
	return all, errors.Join(failed...)
}

func holdIn(ctx context.Context, b backup.Backup, at backup.Stored, on bool) error {
	store, err := object.Open(ctx, at.Destination)
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }()
	found, err := artifact.Find(ctx, store, b.ScheduleName, b.ID)
	if err != nil {
		return err
	}
	if !found.Whole {
		return fmt.Errorf("%s has no such backup any more", at.Location)
	}
	for _, key := range found.Keys {
		if err := store.Hold(ctx, key, on); err != nil {
			return err
		}
	}
	return nil
}

// afterOthers does something as [Runner.alone] does, and waits for who works on the schedule.
func (r *Runner) afterOthers(ctx context.Context, schedule string, do func(context.Context) error) error {
	for {
		err := r.alone(ctx, schedule, do)
		if !errors.Is(err, ErrBusy) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Second):
		}
	}
}
