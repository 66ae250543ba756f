package runner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/artifact"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/dump"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/pgbackrest"
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
	timeout, err := time.ParseDuration(s.Timeout)
	if err != nil {
		return p, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, problem.New("the verification took longer than the timeout, "+s.Timeout,
		"Raise the schedule's timeout, or let it verify by checksum"))
	defer cancel()
	switch method {
	case backup.Checksum:
		p.Damaged, err = r.verifyChecksums(ctx, s, b)
	case backup.Restore:
		p.RestoreSeconds, p.Damaged, err = r.verifyRestore(ctx, s, b)
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

// damages tells an error that the backup itself is to blame for.
func damages(err error) bool {
	var damage *artifact.DamageError
	var difference *dump.DifferenceError
	return errors.As(err, &damage) || errors.As(err, &difference) || errors.Is(err, problem.ErrNotFound)
}

// verifyChecksums reads each copy again that there should be. The backup is damaged when all are.
func (r *Runner) verifyChecksums(ctx context.Context, s backup.Schedule, b backup.Backup) (damaged bool, err error) {
	readers, closeAll, err := r.copies(ctx, s, b)
	if err != nil {
		return false, err
	}
	defer closeAll()
	damaged = true
	var failed []error
	for _, reader := range readers {
		if reader.err == nil {
			reader.err = r.reread(ctx, reader.Reader)
		}
		damaged = damaged && damages(reader.err)
		failed = append(failed, reader.err)
	}
	return damaged, errors.Join(failed...)
}

// storedCopy is one copy of a backup, or why it cannot be read.
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
		for _, at := range b.Destinations {
			if at.Destination != s.Destinations[i] || at.Error != "" {
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

// firstThatWorks tries one copy after another, as long as the copy is what is wrong.
func firstThatWorks(all []*storedCopy, try func(artifact.Reader) error) error {
	var failed []error
	for _, c := range all {
		if c.err == nil {
			if c.err = try(c.Reader); c.err == nil {
				return nil
			}
		}
		failed = append(failed, c.err)
		if !damages(c.err) && c.Store != nil {
			break
		}
	}
	return errors.Join(failed...)
}

// verifyRestore restores into a scratch server, and compares what is there.
func (r *Runner) verifyRestore(ctx context.Context, s backup.Schedule, b backup.Backup) (seconds *float64, damaged bool, err error) {
	if len(r.Identities) == 0 {
		return nil, false, problem.New("nothing was restored, since this runner has no identity",
			"Name the file that holds one with --identity, or let the schedule verify by checksum")
	}
	all, closeAll, err := r.copies(ctx, s, b)
	if err != nil {
		return nil, false, err
	}
	defer closeAll()
	err = firstThatWorks(all, func(reader artifact.Reader) error {
		took, err := r.rehearse(ctx, reader)
		seconds = took
		return err
	})
	damaged = err != nil
	for _, c := range all {
		damaged = damaged && damages(c.err)
	}
	if limit := s.MaxRestoreSeconds; err == nil && limit != nil && *seconds > float64(*limit) {
		err = problem.New(fmt.Sprintf("the restore took %.0f s, which is more than max_restore_seconds, %d", *seconds, *limit),
			"Give the restore more jobs or a faster disk, or raise max_restore_seconds")
	}
	return seconds, damaged, err
}

// rehearse restores one copy, and compares it.
func (r *Runner) rehearse(ctx context.Context, reader artifact.Reader) (seconds *float64, err error) {
	took, err := r.inScratch(ctx, reader, pgbackrest.Target{}, func(restorer dump.Restorer, database string) error {
		// The files of a cluster have gone on changing while they were copied: there is nothing to compare them with.
		if len(reader.Manifest.Clusters) == 0 {
			if err := restorer.Compare(ctx, database); err != nil {
				return err
			}
		}
		return r.check(ctx, restorer, database)
	})
	if took > 0 {
		seconds = new(took.Seconds())
	}
	return seconds, err
}

// reread reads one copy again, and needs an identity only for a cluster's.
func (r *Runner) reread(ctx context.Context, reader artifact.Reader) error {
	if len(reader.Manifest.Clusters) > 0 {
		return r.rereadCluster(ctx, reader)
	}
	return reader.Check(ctx)
}

// inScratch restores one copy into a server that is removed in the end, and returns how long the restore took.
func (r *Runner) inScratch(ctx context.Context, reader artifact.Reader, to pgbackrest.Target, use func(dump.Restorer, string) error) (
	took time.Duration, err error,
) {
	if len(reader.Manifest.Clusters) > 0 {
		return r.inRecovered(ctx, reader, to, use)
	}
	if !to.IsOwn() {
		return 0, errNoLog(reader.Manifest)
	}
	scratch, err := dump.StartScratch(ctx, r.ServerPrograms, r.Tools, r.ScratchFolder)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, scratch.Stop()) }()
	//nolint:contextcheck // Its connections outlive each call.
	restorer := restorerOn(scratch.Config, scratch.Tools, reader, r.Jobs)
	defer restorer.Server.Close()
	const database = "restored"
	start := time.Now()
	if err := restorer.Restore(ctx, database); err != nil {
		return 0, err
	}
	took = time.Since(start)
	return took, use(restorer, database)
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
