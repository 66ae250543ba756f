package runner

import (
	"context"
	"errors"
	"path"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/artifact"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/object"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// copyLedger writes the ledger of what was deleted into each of the schedule's destinations that has not the present one.
func (r *Runner) copyLedger(ctx context.Context, s backup.Schedule) error {
	n, err := r.store().NoteRoles(ctx)
	if errors.Is(err, problem.ErrNotFound) {
		return nil // A later migration brings it.
	}
	if err != nil {
		return err
	}
	onRecord, err := r.store().LedgerCopies(ctx, s.Name)
	if err != nil {
		return err
	}
	readers := strings.Join(s.Recipients, "\n")
	stale := slices.DeleteFunc(slices.Clone(s.Destinations), func(d backup.Destination) bool {
		return slices.ContainsFunc(onRecord, func(c backup.LedgerCopy) bool {
			return c.Destination == d.Key() && c.Entries >= n && c.Recipients == readers
		})
	})
	if len(stale) == 0 {
		return nil
	}
	recipients, err := age.ParseRecipients(strings.NewReader(readers))
	if err != nil {
		return err
	}
	at, err := postgres.QueryOne[here](ctx, r.DB, hereSQL)
	if err != nil {
		return err
	}
	entries, err := r.store().Ledger(ctx)
	if err != nil {
		return err
	}
	var failed []error
	for _, d := range stale {
		l := artifact.Ledger{
			Schedule: s.Name, Runner: r.Name, SystemIdentifier: at.SystemIdentifier, Database: at.Database, MadeAt: at.Now.UTC(),
			Supersedes: []string{}, Entries: entries,
		}
		for _, c := range onRecord {
			if c.Destination == d.Key() {
				l.Supersedes = append(l.Supersedes, c.Key)
			}
		}
		key, err := writeLedger(ctx, l, recipients, d)
		if err == nil {
			err = r.store().AddLedgerCopy(ctx, backup.LedgerCopy{
				Destination: d.Key(), Key: key, Schedule: s.Name, Entries: int64(len(entries)), Recipients: readers,
			})
			r.Log.Info("The ledger was copied", "schedule", s.Name, "destination", d.String(), "entries", len(entries))
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

func writeLedger(ctx context.Context, l artifact.Ledger, recipients []age.Recipient, d backup.Destination) (key string, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	store, err := object.Open(ctx, d)
	if err != nil {
		return "", err
	}
	defer func() { _ = store.Close() }()
	return l.Write(ctx, recipients, store)
}

// pruneLedger removes the copies of the ledger on record that a later one on record supersedes, and forgets those that are gone.
func (p *pruning) pruneLedger(ctx context.Context, schedule string, d backup.Destination) error {
	onRecord, err := p.Runner.store().LedgerCopies(ctx, schedule)
	if err != nil {
		return err
	}
	listed, err := p.store.List(ctx, artifact.LedgerPrefix(schedule))
	if err != nil {
		return err
	}
	var failed []error
	newest := true
	for _, c := range onRecord {
		if c.Destination != d.Key() {
			continue
		}
		isThere := slices.ContainsFunc(listed, func(o object.Object) bool { return o.Key == c.Key })
		switch {
		case !isThere && !p.dryRun:
			failed = append(failed, p.Runner.store().RemoveLedgerCopy(ctx, c))
		case isThere && newest:
			newest = false
		case isThere:
			failed = append(failed, p.removeLedger(ctx, c))
		}
	}
	return errors.Join(failed...)
}

func (p *pruning) removeLedger(ctx context.Context, c backup.LedgerCopy) error {
	one := Pruned{ID: "ledger/" + path.Base(c.Key), Where: p.store.String(), Why: "superseded"}
	var err error
	if !p.dryRun {
		var failure *object.StoreError
		err = p.store.Delete(ctx, c.Key)
		switch {
		case errors.As(err, &failure) && failure.Denied:
			one.Retained, err = true, nil
		case err == nil:
			err = p.Runner.store().RemoveLedgerCopy(ctx, c)
		}
	}
	if err == nil {
		p.pruned = append(p.pruned, one)
	}
	return err
}
