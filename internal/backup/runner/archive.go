package runner

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/pgbackrest"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// archives are the repositories that segments of the log go to. Passphrases are in memory alone; and while the server stops, and lets
// nobody in any more, it still archives.
type archives struct {
	mu  sync.Mutex
	all map[string]*archive // by schedule
	// err is why one of them is not open: then no segment is taken, as it would be missing there.
	err error
}

// archive is the repository of one schedule, in each destination, and what is known of how far it reaches.
type archive struct {
	repositories []pgbackrest.Repository
	cluster      pgbackrest.Cluster
	// last is the last segment of which it is known that all repositories have it, and gap the first that one of them lacks.
	last, gap string
	gapAt     time.Time
	marks     []mark
	until     time.Time
	failed    *time.Time
	// told is what is on record.
	told struct {
		at, until time.Time
		why       string
	}
}

// mark is where the log was at a time.
type mark struct {
	at      time.Time
	lsn     string
	segment string
}

func (a *archives) get(schedule string) *archive {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.all[schedule]
}

// openArchives opens the repositories of all schedules of engine pgbackrest, and lets go of those of others. unreadable is why some
// schedules are not known.
func (s *Server) openArchives(ctx context.Context, schedules []backup.Schedule, unreadable error) error {
	// All are of one server, which is asked once.
	look := sync.OnceValues(func() (pgbackrest.Cluster, error) { return s.cluster(ctx) })
	wanted := map[string]*archive{}
	var failed []error
	incomplete := unreadable != nil
	for _, schedule := range schedules {
		if schedule.Engine != backup.PgBackRest || !schedule.Enabled {
			continue
		}
		c, err := look()
		var one *archive
		if err == nil {
			one, err = s.openArchive(ctx, schedule, c)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("the archive of schedule %q: %w", schedule.Name, err))
			one = s.archives.get(schedule.Name)
		}
		if one == nil {
			incomplete = true
			continue
		}
		wanted[schedule.Name] = one
	}
	err := errors.Join(failed...)
	s.archives.mu.Lock()
	defer s.archives.mu.Unlock()
	s.archives.all, s.archives.err = wanted, nil
	if incomplete {
		s.archives.err = errors.Join(unreadable, err)
	}
	return err
}

func (s *Server) openArchive(ctx context.Context, schedule backup.Schedule, c pgbackrest.Cluster) (*archive, error) {
	known := s.archives.get(schedule.Name)
	if known != nil && known.cluster.Stanza() == c.Stanza() && slices.EqualFunc(known.repositories, schedule.Destinations,
		func(r pgbackrest.Repository, d backup.Destination) bool { return r.Destination == d }) {
		s.archives.mu.Lock()
		defer s.archives.mu.Unlock()
		known.cluster = c
		return known, nil
	}
	fresh := &archive{cluster: c}
	copies, closeAll := openAll(ctx, schedule.Destinations)
	defer closeAll()
	for _, each := range copies {
		if each.Err != nil {
			return nil, each.Err
		}
		// A backup that runs already holds the lock, and waits for its segments.
		repository, ready, err := s.ready(ctx, each.Store, schedule.Name, c)
		if err == nil && !ready {
			err = s.alone(ctx, schedule.Name, func(ctx context.Context) (err error) {
				repository, _, err = s.prepare(ctx, schedule, each.Store)
				return err
			})
		}
		if err != nil {
			return nil, err
		}
		last, err := repository.LastSegment(ctx, each.Store, c)
		if err != nil {
			return nil, err
		}
		if fresh.last == "" || position(last) < position(fresh.last) { // What all have.
			fresh.last = last
		}
		fresh.repositories = append(fresh.repositories, repository)
	}
	return fresh, nil
}

// Archive takes segments of the log from the server's archive_command: `PUT /<name>` has one archived, to all schedules of engine
// pgbackrest. It listens where nobody but the server's user gets at.
func (s *Server) Archive() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /{segment}", func(w http.ResponseWriter, r *http.Request) {
		if err := s.push(r.Context(), r.PathValue("segment")); err != nil {
			s.Log.Error("A segment was not archived", "segment", r.PathValue("segment"), "problem", err)
			http.Error(w, s.Explain(err).Error(), http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

func (s *Server) push(ctx context.Context, segment string) error {
	if !pgbackrest.IsSegment(segment) {
		return problem.New(fmt.Sprintf("%q is no segment of the write-ahead log", segment), "Use %f in archive_command")
	}
	s.archives.mu.Lock()
	all, err := slices.Collect(maps.Values(s.archives.all)), s.archives.err
	s.archives.mu.Unlock()
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return problem.New("there is no repository to archive to", "Declare a schedule of engine pgbackrest (brownie_backup_schedule), or "+
			"look at what the runner says of it; the server keeps the segment and tries again")
	}
	var failed []error
	for _, each := range all {
		s.archives.mu.Lock()
		repositories, c := each.repositories, each.cluster
		s.archives.mu.Unlock()
		if err := c.Archives(segment); err != nil {
			return err
		}
		var here []error
		for _, repository := range repositories {
			here = append(here, repository.Push(ctx, c, segment))
		}
		if err := errors.Join(here...); err != nil {
			failed = append(failed, err)
			continue
		}
		s.archives.mu.Lock()
		each.has(segment)
		s.archives.mu.Unlock()
	}
	return errors.Join(failed...)
}

// has notes that all repositories have a segment.
func (a *archive) has(segment string) {
	if len(segment) != 24 || a.last != "" && position(segment) <= position(a.last) {
		return
	}
	if a.last != "" && !a.cluster.Follows(a.last, segment) {
		a.gap, a.gapAt = segment, time.Now()
	}
	a.last = segment
}

// logState is where the log is, and how far it is archived.
type logState struct {
	Now        time.Time  `db:"now"`
	LSN        string     `db:"lsn"`
	Segment    string     `db:"segment"`
	ArchivedAt *time.Time `db:"archived_at"`
	FailedAt   *time.Time `db:"failed_at"`
	FailedOn   *string    `db:"failed_on"`
}

const logStateSQL = `
	SELECT pg_catalog.clock_timestamp() AS now, lsn::text AS lsn, pg_catalog.pg_walfile_name(lsn) AS segment,
		last_archived_time AS archived_at, last_failed_time AS failed_at, last_failed_wal AS failed_on
	FROM pg_catalog.pg_current_wal_lsn() AS lsn, pg_catalog.pg_stat_archiver`

// recordEvery is how often it is recorded how far the archive reaches: each record is written to the log, too.
const recordEvery = 5 * time.Minute

// watchArchive finds out how far the archive of a schedule reaches, and whether it keeps up.
func (s *Server) watchArchive(ctx context.Context, schedule backup.Schedule) error {
	a := s.archives.get(schedule.Name)
	if a == nil || !a.cluster.Primary {
		return nil
	}
	state, err := postgres.QueryOne[logState](ctx, s.DB, logStateSQL)
	if err != nil {
		return err
	}
	s.archives.mu.Lock()
	if schedule.LastSuccessAt != nil && schedule.LastSuccessAt.After(a.gapAt) {
		a.gap = "" // It leads on from the backup.
	}
	a.note(state)
	why := a.lags(state)
	s.archives.mu.Unlock()
	s.metrics.archive(schedule.Name, state.Now.Sub(a.until), why != "")
	if why == a.told.why && (!a.until.After(a.told.until) || state.Now.Sub(a.told.at) < recordEvery) {
		return nil
	}
	if why != "" && why != a.told.why {
		s.Log.Error("The archive does not keep up", "schedule", schedule.Name, "problem", why)
	}
	if err := s.store().RecordArchive(ctx, schedule.ID, nilIfZero(a.until), a.failed, nilIfEmpty(why)); err != nil {
		return err
	}
	a.told.at, a.told.until, a.told.why = state.Now, a.until, why
	return nil
}

func nilIfZero(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func nilIfEmpty(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// note advances until: what was committed before a mark is archived when the segment is that the log was in then. A log that stands still
// for longer than archive_timeout has nothing that PostgreSQL would find worth archiving.
func (a *archive) note(state logState) {
	if n := len(a.marks); n == 0 || a.marks[n-1].lsn != state.LSN {
		a.marks = append(a.marks, mark{state.Now, state.LSN, state.Segment})
	}
	if a.last == "" || a.gap != "" {
		return
	}
	for len(a.marks) > 0 && position(a.marks[0].segment) <= position(a.last) {
		a.until = a.marks[0].at
		if len(a.marks) == 1 { // Nothing has been written since.
			a.until = state.Now
			return
		}
		a.marks = a.marks[1:]
	}
	stood := state.Now.Sub(a.marks[0].at) > time.Duration(a.cluster.ArchiveTimeout)*time.Second+interval
	if len(a.marks) == 1 && stood && a.cluster.Follows(a.last, a.marks[0].segment) {
		a.until = state.Now
	}
}

// position is where a segment is in the log, on whichever timeline.
func position(segment string) string { return segment[8:] }

// lags tells why the archive does not keep up, or nothing.
func (a *archive) lags(state logState) string {
	since := a.until
	if since.IsZero() && len(a.marks) > 0 {
		since = a.marks[0].at
	}
	if a.gap != "" {
		return fmt.Sprintf("the segments before %s were not archived: nothing after %s can be restored until the next backup", a.gap,
			since.UTC().Format(time.RFC3339))
	}
	limit := time.Duration(a.cluster.ArchiveTimeout)*time.Second + 2*interval
	if state.Now.Sub(since) <= limit {
		a.failed = nil
		return ""
	}
	if a.failed == nil {
		a.failed = &state.Now
	}
	if state.FailedAt != nil && (state.ArchivedAt == nil || state.FailedAt.After(*state.ArchivedAt)) {
		return fmt.Sprintf("segment %s cannot be archived: nothing after %s can be restored. The server's log, and the runner's, say why",
			*state.FailedOn, since.UTC().Format(time.RFC3339))
	}
	return fmt.Sprintf("nothing has been archived since %s. Look at archive_mode and archive_command", since.UTC().Format(time.RFC3339))
}
