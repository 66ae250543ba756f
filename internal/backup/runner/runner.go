// Package runner runs schedules: it makes backups, proves that they restore, and removes those that no rule keeps.
package runner

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"filippo.io/age"
	"golang.org/x/time/rate"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/artifact"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/dump"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/object"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/pgbackrest"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// Runner runs the schedules of one database.
type Runner struct {
	DB *postgres.DB
	// Name is the version and host of this program, for the record.
	Name string
	// Tools are PostgreSQL's client programs.
	Tools dump.Tools
	// ServerPrograms is the folder of its server's programs, for verifications. Empty means PATH.
	ServerPrograms string
	// ScratchFolder is where verifications keep the database that they restore. Empty means the usual place for temporary files.
	ScratchFolder string
	// Checks are files of SQL that verifications run in what they restored, as an administrator. One that fails, or whose last statement
	// returns rows, makes the verification fail.
	Checks []string
	// Identities can read backups. Without them none can be restored.
	Identities []age.Identity
	// Jobs is how many processes read or write rows at the same time.
	Jobs int
	// BytesPerSecond bounds what is sent to a store; 0 means that nothing does.
	BytesPerSecond int
	// Progress hears, now and then, how many bytes were sent, and how many the last backup had. nil means that nobody listens.
	Progress func(sent, last int64)
	// Program is brownie-backup, which a server that recovers calls to fetch the log. Empty means the running program.
	Program string
	// ClusterName tells clusters apart that archive to the same place. Empty means the server's own setting cluster_name.
	ClusterName string
	Log         *slog.Logger
}

func (r *Runner) store() *backup.Store { return backup.New(r.DB) }

// Schedule returns a schedule by its name.
func (r *Runner) Schedule(ctx context.Context, name string) (backup.Schedule, error) {
	schedule, err := r.store().ScheduleByName(ctx, name)
	if errors.Is(err, problem.ErrNotFound) {
		if err := r.sees(ctx); err != nil {
			return schedule, err
		}
		err = problem.New(fmt.Sprintf("there is no backup schedule %q", name), "`brownie-backup status` lists those that there are").
			Because(err)
	}
	return schedule, err
}

const seesSQL = `
	SELECT NOT pg_catalog.row_security_active('brownie.backup_schedules') OR CASE
		WHEN pg_catalog.has_function_privilege('brownie.backs_up()', 'EXECUTE') THEN brownie.backs_up() ELSE false END AS sees`

// sees tells who sees no schedule because none is shown to the role of the session.
func (r *Runner) sees(ctx context.Context) error {
	row, err := postgres.QueryOne[struct{ Sees bool }](ctx, r.DB, seesSQL)
	if err == nil && !row.Sees {
		err = problem.New("the role of this session sees no schedule: it has not access `backup`, or its valid_until has passed",
			"Log in as a role with access `backup`, or extend it (brownie_role)")
	}
	return err
}

// Backup runs a schedule now and then does what it asks for afterwards: it verifies the backup, and removes those that no rule keeps.
// due is when the schedule asked for it, and nil when a person does. A backup that failed is returned, too, as it is on record.
func (r *Runner) Backup(ctx context.Context, name string, due *time.Time) (b backup.Backup, err error) {
	schedule, err := r.Schedule(ctx, name)
	if err != nil {
		return b, err
	}
	// Somebody else than the plan may have written it.
	if err := schedule.Validate(); err != nil {
		return b, err
	}
	err = r.alone(ctx, name, func(ctx context.Context) error {
		if err := r.lose(ctx, schedule); err != nil {
			return err
		}
		if due != nil {
			// Another runner may have been here since somebody looked.
			if done, err := r.done(ctx, name, *due); err != nil || done {
				return err
			}
		}
		if err := r.copyLedger(ctx, schedule); err != nil {
			r.Log.Error("The ledger of what was deleted is not beside all backups", "schedule", name, "problem", r.Explain(err))
		}
		if b, err = r.backup(ctx, schedule, due); err != nil {
			return err
		}
		if schedule.Verify != backup.None && schedule.VerifyCron == nil {
			_, err := r.verify(ctx, schedule, b, schedule.Verify)
			if verified, readErr := r.store().Backup(ctx, b.ID); readErr == nil {
				b = verified
			}
			if err != nil {
				return err
			}
		}
		// It may have been changed meanwhile, so that more is to be kept.
		now, err := r.Schedule(ctx, name)
		if err == nil {
			_, err = r.prune(ctx, now, false)
		}
		if err != nil {
			// The backup is none the worse for it, and the next run tries again.
			r.Log.Error("Pruning failed", "schedule", name, "problem", err)
		}
		return nil
	})
	return b, err
}

// lose ends the runs on record whose runner ended without a word. One that came as far as its manifest is a backup all the same: also that
// from which this very database was restored, as its own record was not complete in itself. The caller holds the lock.
func (r *Runner) lose(ctx context.Context, s backup.Schedule) error {
	running, err := r.store().Backups(ctx, backup.Filter{Schedule: s.Name, Status: backup.Running})
	if err != nil || len(running) == 0 {
		return err
	}
	copies, closeAll := openAll(ctx, s.Destinations)
	defer closeAll()
	var failed []error
	for _, b := range running {
		for i, c := range copies {
			if c.Err != nil {
				continue
			}
			if m, sum, err := artifact.ReadManifest(ctx, c.Store, s.Name, b.ID, ""); err == nil {
				b.Status, b.EndedAt, b.SnapshotAt, b.SizeBytes, b.SHA256 = backup.Succeeded, &m.EndedAt, &m.SnapshotAt, new(m.Bytes()), &sum
				b.Destinations = append(b.Destinations, stored(s, b.ID, i))
			}
		}
		if b.Status == backup.Succeeded {
			r.Log.Warn("A run ended well without saying so", "schedule", s.Name, "backup", b.ID)
			failed = append(failed, r.store().EndBackup(ctx, b))
			continue
		}
		r.Log.Error("A run is lost: its runner ended without a word", "schedule", s.Name, "backup", b.ID)
		failed = append(failed, r.store().LoseBackup(ctx, b))
	}
	return errors.Join(failed...)
}

// attempts is how often a run is tried that failed in a way that may pass by itself.
const attempts = 3

// done tells whether nothing is left to do for a time at which a run was due. What failed is tried again a minute later.
func (r *Runner) done(ctx context.Context, schedule string, due time.Time) (bool, error) {
	tried, err := r.store().Backups(ctx, backup.Filter{Schedule: schedule, DueAt: &due})
	for _, b := range tried {
		again := b.Status == backup.Lost || b.Status == backup.Failed && b.Retryable != nil && *b.Retryable
		if !again || len(tried) >= attempts || b.EndedAt == nil || time.Since(*b.EndedAt) < time.Minute {
			return true, err
		}
	}
	return false, err
}

// backup makes one backup and records what became of it.
func (r *Runner) backup(ctx context.Context, s backup.Schedule, due *time.Time) (backup.Backup, error) {
	kind, unknown := r.kind(ctx, s)
	b := backup.Backup{
		ID: newID(time.Now()), ScheduleID: &s.ID, ScheduleName: s.Name, Engine: s.Engine, Type: kind, DueAt: due,
		StartedAt: time.Now().UTC(), Status: backup.Running, Runner: r.Name,
	}
	if err := r.store().StartBackup(ctx, b); err != nil {
		return b, err
	}
	log := r.Log.With("schedule", s.Name, "backup", b.ID)
	log.Info("Backup begins")
	err := unknown
	if err == nil {
		err = r.write(ctx, s, &b)
	}
	ended := time.Now().UTC()
	b.EndedAt, b.Status = &ended, backup.Succeeded
	if err != nil {
		b.Status, b.Error, b.Retryable = backup.Failed, new(r.Explain(err).Error()), new(Retryable(err))
	}
	// A run that was told to stop is on record, too.
	recorded := r.insist(ctx, func(ctx context.Context) error { return r.store().EndBackup(ctx, b) })
	if err = errors.Join(err, recorded); err != nil {
		log.Error("Backup failed", "problem", err, "retryable", Retryable(err), "seconds", ended.Sub(b.StartedAt).Seconds())
		return b, err
	}
	log.Info("Backup succeeded", "bytes", *b.SizeBytes, "seconds", ended.Sub(b.StartedAt).Seconds(), "sha256", *b.SHA256)
	for _, d := range b.Destinations {
		if d.Error != "" {
			log.Error("One destination has no copy", "destination", d.Location, "problem", d.Error)
		}
	}
	return b, nil
}

// insist tries for a while: a failover takes seconds.
func (r *Runner) insist(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	for {
		err := do(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Second):
		}
	}
}

// newID sorts by time.
func newID(now time.Time) string {
	return now.UTC().Format("20060102T150405Z") + "-" + strings.ToLower(rand.Text()[:6])
}

// write writes the backup to all destinations, and notes in it what came of that.
func (r *Runner) write(ctx context.Context, s backup.Schedule, b *backup.Backup) error {
	timeout, err := time.ParseDuration(s.Timeout)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, problem.New("it took longer than its timeout, "+s.Timeout,
		"Raise the schedule's timeout, or give it more jobs"))
	defer cancel()
	recipients, err := age.ParseRecipients(strings.NewReader(strings.Join(s.Recipients, "\n")))
	if err != nil {
		return err
	}
	copies, closeAll := openAll(ctx, s.Destinations)
	defer closeAll()
	w := artifact.NewWriter(s.Name, b.ID, recipients, copies)
	w.Throttle = r.throttle()
	defer r.watch(ctx, s.Name, w)()
	m, err := r.engine(s, *b, copies).Backup(ctx, w)
	if err == nil {
		m.ID, m.Schedule, m.Engine, m.Type, m.Runner = b.ID, s.Name, string(s.Engine), b.Type, r.Name
		m.StartedAt, m.EndedAt = b.StartedAt, time.Now().UTC()
		var sum string
		m, sum, err = w.Commit(ctx, m)
		b.SHA256, b.SnapshotAt, b.SizeBytes = &sum, &m.SnapshotAt, new(m.Bytes())
	}
	for i, c := range copies {
		at := stored(s, b.ID, i)
		switch {
		case c.Err != nil:
			at.Error = c.Err.Error()
		case err != nil:
			at.Error = "the backup failed"
		}
		b.Destinations = append(b.Destinations, at)
	}
	if err != nil {
		b.SHA256, b.SnapshotAt, b.SizeBytes = nil, nil, nil
	}
	return err
}

// engine makes backups: it writes the parts, if there are any, and says what belongs into the manifest.
type engine interface {
	Backup(ctx context.Context, w *artifact.Writer) (artifact.Manifest, error)
}

func (r *Runner) engine(s backup.Schedule, b backup.Backup, copies []*artifact.Copy) engine {
	if s.Engine == backup.PgBackRest {
		return clusterEngine{r, s, b, copies}
	}
	return dump.Dumper{DB: r.DB, Tools: r.Tools, Jobs: r.Jobs}
}

// stored is the copy of a backup in the n-th destination.
func stored(s backup.Schedule, id string, n int) backup.Stored {
	d := s.Destinations[n]
	return backup.Stored{Destination: d, Location: d.String() + "/" + artifact.Folder(s.Name, id)}
}

// openAll opens all destinations. One that cannot be opened is a copy that has failed.
func openAll(ctx context.Context, destinations []backup.Destination) (copies []*artifact.Copy, closeAll func()) {
	for _, d := range destinations {
		store, err := object.Open(ctx, d)
		copies = append(copies, &artifact.Copy{Store: store, Err: err})
	}
	return copies, func() {
		for _, c := range copies {
			if c.Store != nil {
				_ = c.Store.Close()
			}
		}
	}
}

func (r *Runner) throttle() func(context.Context, int) error {
	if r.BytesPerSecond <= 0 {
		return nil
	}
	const burst = 1 << 20
	limit := rate.NewLimiter(rate.Limit(r.BytesPerSecond), burst)
	return func(ctx context.Context, bytes int) error {
		for ; bytes > 0; bytes -= burst {
			if err := limit.WaitN(ctx, min(bytes, burst)); err != nil {
				return err
			}
		}
		return nil
	}
}

// watch tells the progress of a backup, by the size of the one before.
func (r *Runner) watch(ctx context.Context, schedule string, w *artifact.Writer) (stop func()) {
	if r.Progress == nil {
		return func() {}
	}
	var last int64
	before, err := r.store().Backups(ctx, backup.Filter{Schedule: schedule, Status: backup.Succeeded, Limit: 1})
	if err == nil && len(before) > 0 {
		last = *before[0].SizeBytes
	}
	return r.tell(w, last)
}

// tell tells the progress towards so many bytes once a second, until it is told to stop.
func (r *Runner) tell(w *artifact.Writer, last int64) (stop func()) {
	if r.Progress == nil {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			case <-time.After(time.Second):
				r.Progress(w.Sent(), last)
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

// Retryable tells a failure that may pass by itself.
func Retryable(err error) bool {
	var failure *object.StoreError
	var server *postgres.ServerError
	var told problem.Error
	var said *dump.ProgramError
	var copied *pgbackrest.RepositoryError
	switch {
	case errors.As(err, &failure):
		return failure.Retryable
	case errors.As(err, &copied):
		return copied.Retryable()
	case errors.As(err, &said):
		return said.Retryable()
	case errors.Is(err, errLockLost), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, ErrBusy):
		return true
	case errors.As(err, &told) && !errors.As(err, &server):
		return false
	}
	return postgres.Unreachable(err) || postgres.Interrupted(err) || postgres.RolledBack(err)
}

// Explain words an error for people.
func (r *Runner) Explain(err error) error {
	var told problem.Error
	if errors.As(err, &told) || errors.Is(err, ErrBusy) || errors.Is(err, errLockLost) {
		return err
	}
	return r.DB.Explain(err)
}
