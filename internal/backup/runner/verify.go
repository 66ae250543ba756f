package runner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/artifact"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/dump"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// Verify proves that a backup restores, or finds out that it does not, and records which. An empty method means the schedule's.
func (r *Runner) Verify(ctx context.Context, id string, method backup.Verification) (p backup.Proof, err error) {
	b, err := r.Find(ctx, id)
	if err != nil {
		return p, err
	}
	schedule, err := r.Schedule(ctx, b.ScheduleName)
	if err != nil {
		return p, err
	}
	if method == "" {
		method = schedule.Verify
	}
	err = r.alone(ctx, b.ScheduleName, func(ctx context.Context) error {
		p, err = r.verify(ctx, schedule, b, method)
		return err
	})
	return p, err
}

// Find returns a backup that is on record and there.
func (r *Runner) Find(ctx context.Context, id string) (backup.Backup, error) {
	b, err := r.store().Backup(ctx, id)
	switch {
	case errors.Is(err, problem.ErrNotFound):
		return b, problem.New(fmt.Sprintf("there is no backup %q on record", id), "`brownie-backup list` lists those that there are").
			Because(err)
	case err == nil && b.Status != backup.Succeeded:
		return b, problem.New(fmt.Sprintf("backup %s is %s", id, b.Status),
			"Use one that succeeded: `brownie-backup list --status succeeded`")
	case err == nil && b.PrunedAt != nil:
		return b, problem.New(fmt.Sprintf("backup %s was removed at %s", id, b.PrunedAt.Format(time.RFC3339)), "Use a later one")
	}
	return b, err
}

func (r *Runner) verify(ctx context.Context, s backup.Schedule, b backup.Backup, method backup.Verification) (backup.Proof, error) {
	p := backup.Proof{BackupID: b.ID, Method: method, StartedAt: time.Now().UTC(), Runner: r.Name}
	log := r.Log.With("schedule", s.Name, "backup", b.ID, "method", method)
	log.Info("Verification begins")
	var err error
	switch method {
	case backup.Checksum:
		err = r.verifyChecksums(ctx, s, b)
	case backup.Restore:
		p.RestoreSeconds, err = r.verifyRestore(ctx, s, b)
	default:
		return p, problem.New(fmt.Sprintf("schedule %q verifies nothing", s.Name), "Name a method: --method restore, or checksum")
	}
	if ctx.Err() != nil {
		return p, context.Cause(ctx) // Nothing is proved by having been told to stop.
	}
	p.EndedAt, p.Succeeded = time.Now().UTC(), err == nil
	if err != nil {
		p.Error = new(r.Explain(err).Error())
	}
	err = errors.Join(err, r.insist(ctx, func(ctx context.Context) error { return r.store().RecordProof(ctx, p) }))
	if err != nil {
		log.Error("Verification failed", "problem", err)
		return p, err
	}
	log.Info("Verification succeeded", "restore_seconds", p.RestoreSeconds)
	return p, nil
}

// verifyChecksums reads each copy again that there should be.
func (r *Runner) verifyChecksums(ctx context.Context, s backup.Schedule, b backup.Backup) error {
	readers, closeAll, err := r.copies(ctx, s, b)
	if err != nil {
		return err
	}
	defer closeAll()
	for _, reader := range readers {
		if reader.err == nil {
			reader.err = reader.Check(ctx, nil)
		}
		if reader.err != nil {
			return reader.err
		}
	}
	return nil
}

// copy is one copy of a backup, or why it cannot be read.
type storedCopy struct {
	artifact.Reader
	err error
}

// copies opens those that the record says there are.
func (r *Runner) copies(ctx context.Context, s backup.Schedule, b backup.Backup) (found []*storedCopy, closeAll func(), err error) {
	stores, closeAll := openAll(ctx, s.Destinations)
	want := ""
	if b.SHA256 != nil {
		want = *b.SHA256
	}
	for i, c := range stores {
		location := s.Destinations[i].String() + "/" + artifact.Folder(s.Name, b.ID)
		for _, stored := range b.Destinations {
			if stored.Location != location || stored.Error != "" {
				continue
			}
			one := &storedCopy{err: c.Err}
			if c.Err == nil {
				one.Reader = artifact.Reader{Store: c.Store, Identities: r.Identities}
				one.Manifest, _, one.err = artifact.ReadManifest(ctx, c.Store, s.Name, b.ID, want)
			}
			found = append(found, one)
		}
	}
	if len(found) == 0 {
		closeAll()
		return nil, nil, problem.New(fmt.Sprintf("backup %s is in none of the schedule's destinations", b.ID),
			"The schedule had others at that time; name them again to use it")
	}
	return found, closeAll, nil
}

// firstGood is a copy whose manifest can be read. What is wrong with all is the error.
func firstGood(all []*storedCopy) (artifact.Reader, error) {
	var failed []error
	for _, c := range all {
		if c.err == nil {
			return c.Reader, nil
		}
		failed = append(failed, c.err)
	}
	return artifact.Reader{}, errors.Join(failed...)
}

// verifyRestore restores into a scratch server, and compares what is there.
func (r *Runner) verifyRestore(ctx context.Context, s backup.Schedule, b backup.Backup) (seconds *float64, err error) {
	if len(r.Identities) == 0 {
		return nil, problem.New("nothing was restored, since this runner has no identity",
			"Name the file that holds one with --identity, or let the schedule verify by checksum")
	}
	all, closeAll, err := r.copies(ctx, s, b)
	if err != nil {
		return nil, err
	}
	defer closeAll()
	reader, err := firstGood(all)
	if err != nil {
		return nil, err
	}
	scratch, err := dump.StartScratch(ctx, r.ServerPrograms, r.Tools, r.ScratchFolder)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, scratch.Stop()) }()
	restorer := restorerOn(scratch.Config, scratch.Tools, reader, r.Jobs) //nolint:contextcheck // Its connections outlive each call.
	defer restorer.Server.Close()
	const database = "restored"
	start := time.Now()
	if err := restorer.Restore(ctx, database); err != nil {
		return nil, err
	}
	took := time.Since(start).Seconds()
	if err := restorer.Compare(ctx, database); err != nil {
		return &took, err
	}
	if limit := s.MaxRestoreSeconds; limit != nil && took > float64(*limit) {
		return &took, problem.New(fmt.Sprintf("the restore took %.0f s, which is more than max_restore_seconds, %d", took, *limit),
			"Give the restore more jobs or a faster disk, or raise max_restore_seconds")
	}
	return &took, nil
}

func restorerOn(server postgres.Config, tools dump.Tools, reader artifact.Reader, jobs int) dump.Restorer {
	return dump.Restorer{
		Reader: reader, Tools: tools, Jobs: jobs, Server: postgres.New(server),
		Open: func(database string) *postgres.DB {
			config := server
			config.Database = database
			return postgres.New(config)
		},
	}
}
