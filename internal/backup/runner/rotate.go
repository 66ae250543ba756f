package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/artifact"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// What a rotation of keys says of a backup.
const (
	Rotated   = "rotated"
	ToRotate  = "to rotate" // of a dry run
	Current   = "current"   // It is for exactly the present recipients.
	NotRead   = "failed"
	NotKept   = "not kept" // No rule keeps it.
	NotOurs   = "not on record"
	NotDumped = "other engine"
)

// Rotation is what became of one backup when the keys of its schedule were rotated.
type Rotation struct {
	ID     string `json:"id"`
	Result string `json:"result"`
	Bytes  int64  `json:"bytes"`
	// Retained are the places where what could be read before still is: the store does not let it go, or it is none of this database's.
	Retained []string `json:"retained,omitempty"`
	// Problems are those of single places, or of the backup.
	Problems []string `json:"problems,omitempty"`
}

// RotateKeys encrypts the backups of a schedule again, for the recipients that it has now, so that nobody else reads what is stored.
// Before, what no rule keeps is pruned. It may be interrupted: the next time goes on. With dryRun it only tells, and needs no identity.
func (r *Runner) RotateKeys(ctx context.Context, name string, dryRun bool) (all []Rotation, err error) {
	if len(r.Identities) == 0 && !dryRun {
		return nil, errNoIdentity
	}
	s, err := r.Schedule(ctx, name)
	if err != nil {
		return nil, err
	}
	recipients, err := age.ParseRecipients(strings.NewReader(strings.Join(s.Recipients, "\n")))
	if err != nil {
		return nil, err
	}
	var failed []error
	if !dryRun {
		failed = append(failed, r.copyLedger(ctx, s))
	}
	pruned, err := r.Prune(ctx, name, dryRun)
	if errors.Is(err, ErrBusy) {
		return nil, err
	} else if err != nil {
		r.Log.Error("Pruning failed", "schedule", name, "problem", err)
	}
	onRecord, err := r.store().Backups(ctx, backup.Filter{Schedule: name, Present: true, Status: backup.Succeeded})
	if err != nil {
		return nil, err
	}
	for i, b := range slices.Backward(onRecord) { // The oldest first.
		one := Rotation{ID: b.ID, Result: NotDumped}
		switch {
		case slices.ContainsFunc(pruned, func(p Pruned) bool { return p.ID == b.ID && p.Why == "retention" && !p.Held }):
			one.Result = NotKept
		case b.Engine == backup.PgDump:
			// Runs that become due meanwhile go on: all backups may take longer than the time between two.
			err = r.afterOthers(ctx, name, func(ctx context.Context) (err error) {
				one, err = r.rotate(ctx, s, b.ID, recipients, dryRun)
				return err
			})
		}
		if ctx.Err() != nil {
			return all, context.Cause(ctx)
		}
		if err != nil {
			err = fmt.Errorf("backup %s: %w", b.ID, r.Explain(err))
			one.Result, one.Problems = NotRead, append(one.Problems, err.Error())
			failed = append(failed, err)
		}
		for _, p := range pruned {
			at := p.Where + "/" + artifact.Folder(name, p.ID)
			if p.ID == b.ID && p.Retained && !slices.Contains(one.Retained, at) {
				one.Retained = append(one.Retained, at)
			}
		}
		r.Log.Info("Rotated keys", "schedule", name, "backup", b.ID, "result", one.Result, "retained", one.Retained, "left", i)
		all = append(all, one)
	}
	others, err := r.others(ctx, s)
	return append(all, others...), errors.Join(append(failed, err)...)
}

// rotating is one backup in all places where the record says that it is, also in those that the schedule does not name any more.
type rotating struct {
	*Runner
	schedule   backup.Schedule
	backup     backup.Backup
	recipients []age.Recipient
	copies     []*artifact.Copy
	told       *Rotation
}

func (r *Runner) rotate(ctx context.Context, s backup.Schedule, id string, recipients []age.Recipient, dryRun bool) (
	told Rotation, err error,
) {
	told = Rotation{ID: id, Result: Current}
	b, err := r.store().Backup(ctx, id)
	if err != nil {
		return told, err
	}
	if b.PrunedAt != nil {
		told.Result = NotKept
		return told, nil
	}
	timeout, err := time.ParseDuration(s.Timeout)
	if err != nil {
		return told, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, problem.New("it took longer than the schedule's timeout, "+s.Timeout,
		"Raise the schedule's timeout"))
	defer cancel()
	var places []backup.Destination
	for _, at := range b.Destinations {
		places = append(places, at.Destination)
	}
	copies, closeAll := openAll(ctx, places)
	defer closeAll()
	t := rotating{r, s, b, recipients, copies, &told}
	sources := t.sources(ctx)
	i := slices.IndexFunc(sources, func(c *storedCopy) bool { return c.err == nil })
	if i < 0 {
		return told, firstThatWorks(sources, nil)
	}
	told.Bytes = sources[i].Manifest.Bytes()
	switch {
	case sources[i].Manifest.For(recipients):
		return told, nil
	case dryRun:
		told.Result = ToRotate
		return told, nil
	}
	told.Result = Rotated
	err = firstThatWorks(sources, func(reader artifact.Reader) error { return t.encrypt(ctx, reader) })
	if ctx.Err() != nil {
		return told, context.Cause(ctx)
	}
	for _, c := range sources {
		if err == nil && c.err != nil {
			told.Problems = append(told.Problems, "another copy was read instead of one that is not what it was: "+c.err.Error())
		}
	}
	return told, err
}

// sources are the copies that the record says there are.
func (t rotating) sources(ctx context.Context) (all []*storedCopy) {
	for i, c := range t.copies {
		if t.backup.Destinations[i].Error != "" {
			continue
		}
		one := &storedCopy{err: c.Err}
		if c.Err == nil {
			one.Reader = artifact.Reader{Store: c.Store, Identities: t.Identities}
			one.Manifest, _, one.err = artifact.ReadManifest(ctx, c.Store, t.schedule.Name, t.backup.ID, *t.backup.SHA256)
		}
		all = append(all, one)
	}
	return all
}

// encrypt writes the backup again, beside what there is, reads that again, puts it on record, and only then removes what it replaces.
func (t rotating) encrypt(ctx context.Context, from artifact.Reader) error {
	var targets []*artifact.Copy
	for i, c := range t.copies {
		if t.backup.Destinations[i].Error == "" {
			targets = append(targets, &artifact.Copy{Store: c.Store, Err: c.Err})
		}
	}
	w := artifact.NewRotation(from.Manifest, t.recipients, targets)
	w.Throttle = t.throttle()
	stop := t.tell(w, from.Manifest.Bytes())
	m, sum, err := w.Rotate(ctx, from, *t.backup.SHA256)
	stop()
	if err == nil {
		err = t.proven(ctx, m, targets)
	}
	if err != nil {
		t.remove(ctx, from.Manifest, *t.backup.SHA256) // What was written has no use.
		return err
	}
	former, n := t.backup, 0
	t.backup.SHA256, t.backup.SizeBytes, t.backup.Destinations = &sum, new(m.Bytes()), slices.Clone(former.Destinations)
	for i, at := range t.backup.Destinations {
		if at.Error != "" {
			continue
		}
		if c := targets[n]; c.Err != nil {
			t.backup.Destinations[i].Error = "encrypted again elsewhere, and not here: " + c.Err.Error()
			t.told.Problems = append(t.told.Problems, at.Location+" has no copy any more: "+c.Err.Error())
			t.Log.Error("One destination has no copy any more", "backup", former.ID, "destination", at.Location, "problem", c.Err)
		}
		n++
	}
	p := backup.Proof{
		BackupID: former.ID, Method: backup.Checksum, StartedAt: m.Rotated.At, EndedAt: time.Now().UTC(), Succeeded: true, Runner: t.Name,
	}
	if former.HeldAt != nil {
		if _, err := holdObjects(ctx, t.backup, true); err != nil {
			return err
		}
	}
	err = t.insist(ctx, func(ctx context.Context) error { return t.store().RotateBackup(ctx, t.backup, *former.SHA256) })
	if err != nil {
		return err
	}
	t.told.Bytes = m.Bytes()
	t.remove(ctx, m, sum)
	if former.Verified != nil && !former.Verified.Succeeded {
		return nil // What did not restore does not do so now.
	}
	return t.insist(ctx, func(ctx context.Context) error { return t.store().RecordProof(ctx, p) })
}

// proven reads again what was written. A place where it is not what it should be has none.
func (t rotating) proven(ctx context.Context, m artifact.Manifest, targets []*artifact.Copy) error {
	var failed []error
	for _, c := range targets {
		if c.Err == nil {
			c.Err = artifact.Reader{Store: c.Store, Manifest: m}.Check(ctx)
		}
		if c.Err == nil {
			continue
		}
		failed = append(failed, c.Err)
	}
	if len(failed) == len(targets) {
		return errors.Join(failed...)
	}
	return ctx.Err()
}

// remove removes what is there beside the backup with the manifest, in all places. What cannot be is left to prune.
func (t rotating) remove(ctx context.Context, m artifact.Manifest, sum string) {
	for i, c := range t.copies {
		if c.Err != nil || ctx.Err() != nil {
			continue
		}
		location := t.backup.Destinations[i].Location
		found, err := artifact.Find(ctx, c.Store, t.schedule.Name, t.backup.ID)
		retained := false
		if err == nil {
			retained, err = remove(ctx, c.Store, replaced(found, t.backup.Destinations[i], m, sum))
		}
		if retained {
			t.told.Retained = append(t.told.Retained, location)
		}
		if err != nil {
			t.told.Problems = append(t.told.Problems, location+": "+err.Error())
		}
	}
}

// others are the backups in the schedule's destinations that are not on this database's record: they stay as they are.
func (r *Runner) others(ctx context.Context, s backup.Schedule) (all []Rotation, err error) {
	onRecord, err := r.store().Backups(ctx, backup.Filter{Schedule: s.Name})
	if err != nil {
		return nil, err
	}
	copies, closeAll := openAll(ctx, s.Destinations)
	defer closeAll()
	var failed []error
	for i, c := range copies {
		if c.Err != nil {
			failed = append(failed, c.Err)
			continue
		}
		found, err := artifact.List(ctx, c.Store, s.Name)
		failed = append(failed, err)
		for _, each := range found {
			isIt := func(b backup.Backup) bool { return b.ID == each.ID }
			if each.Whole && !slices.ContainsFunc(onRecord, isIt) {
				all = append(all, Rotation{ID: each.ID, Result: NotOurs, Retained: []string{stored(s, each.ID, i).Location}})
			}
		}
	}
	return all, errors.Join(failed...)
}

// replaced is what is left in a place of a backup that was encrypted again: beside the one on record, or instead of it where the record
// says that there is none.
func replaced(found artifact.Found, at backup.Stored, m artifact.Manifest, sum string) artifact.Found {
	if at.Error != "" && !found.Has(sum) {
		return found
	}
	return found.Beside(m, sum)
}

// replaced is the same for who has not read the manifest yet, which takes time.
func (p *pruning) replaced(ctx context.Context, schedule string, found artifact.Found) (none artifact.Found, err error) {
	i := slices.IndexFunc(p.onRecord, func(b backup.Backup) bool { return b.ID == found.ID })
	if i < 0 || p.onRecord[i].Status != backup.Succeeded {
		return none, nil
	}
	b := p.onRecord[i]
	n := slices.IndexFunc(b.Destinations, func(at backup.Stored) bool { return at.Destination == p.destination })
	if n < 0 || found.Has(*b.SHA256) && !found.Mixed() {
		return none, nil
	}
	var m artifact.Manifest
	if found.Has(*b.SHA256) {
		if m, _, err = artifact.ReadManifest(ctx, p.store, schedule, found.ID, *b.SHA256); err != nil {
			return none, err
		}
	}
	return replaced(found, b.Destinations[n], m, *b.SHA256), nil
}
