package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup"
)

// interval is how often schedules are read: a change counts, and a run whose runner died is lost, within a minute.
const interval = 15 * time.Second

// Server runs schedules when they are due.
type Server struct {
	*Runner
	metrics  metrics
	archives archives

	mu      sync.Mutex
	looked  time.Time
	problem error
	// working has the schedules that this process works on.
	working map[string]bool
	work    sync.WaitGroup
	// ledgerFailed is when the ledger of a schedule could not be copied. One goroutine at a time has it.
	ledgerFailed map[string]time.Time
	// turn lets one schedule after another have its turn: memory is bounded.
	turn chan struct{}
}

// NewServer returns a server that does nothing yet.
func NewServer(r *Runner) *Server {
	return &Server{
		Runner: r, metrics: newMetrics(), working: map[string]bool{}, ledgerFailed: map[string]time.Time{}, turn: make(chan struct{}, 1),
	}
}

// Serve runs due schedules until the context ends, and then waits for what it had begun to end, too.
func (s *Server) Serve(ctx context.Context) error {
	defer s.work.Wait()
	for {
		err := s.look(ctx)
		if err != nil && ctx.Err() == nil {
			s.Log.Error("The schedules cannot be read", "problem", s.Explain(err))
		}
		s.mu.Lock()
		s.problem = err
		if err == nil {
			s.looked = time.Now()
		}
		s.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(interval):
		}
	}
}

// look begins what is due.
func (s *Server) look(ctx context.Context) error {
	// One that cannot be read keeps no other from being run.
	schedules, unreadable := s.store().Schedules(ctx)
	if unreadable != nil && len(schedules) == 0 {
		return unreadable
	}
	running, err := s.store().Backups(ctx, backup.Filter{Status: backup.Running})
	if err != nil {
		return err
	}
	// Nothing to do, and nothing shown, look alike.
	failed := []error{unreadable, s.sees(ctx), s.openArchives(ctx, schedules, unreadable)}
	for _, schedule := range schedules {
		// What is wrong with one schedule keeps no other from being run.
		failed = append(failed, s.lookAt(ctx, schedule, running))
	}
	s.metrics.keep(schedules)
	s.begin(ctx, "ledger/", nil, func(ctx context.Context) error { // No schedule has such a name.
		s.copyLedgers(ctx, schedules)
		return nil
	})
	return errors.Join(failed...)
}

// copyLedgers copies the ledger as soon as something was deleted. What failed is tried again a minute later.
func (s *Server) copyLedgers(ctx context.Context, schedules []backup.Schedule) {
	for _, schedule := range schedules {
		if time.Since(s.ledgerFailed[schedule.Name]) < time.Minute {
			continue
		}
		err := s.copyLedger(ctx, schedule)
		if ctx.Err() != nil {
			return
		}
		delete(s.ledgerFailed, schedule.Name)
		failed := 0.0
		if err != nil {
			s.Log.Error("The ledger of what was deleted is not beside all backups", "schedule", schedule.Name, "problem", s.Explain(err))
			s.ledgerFailed[schedule.Name] = time.Now()
			failed = 1
		}
		s.metrics.gauges["ledger_copy_failed"].WithLabelValues(schedule.Name).Set(failed)
	}
}

// lookAt begins what is due of one schedule.
func (s *Server) lookAt(ctx context.Context, schedule backup.Schedule, running []backup.Backup) error {
	if slices.ContainsFunc(running, func(b backup.Backup) bool { return b.ScheduleName == schedule.Name }) {
		// Whoever gets the lock knows that nobody works on it.
		s.begin(ctx, schedule.Name, nil, func(ctx context.Context) error {
			return s.alone(ctx, schedule.Name, func(ctx context.Context) error { return s.lose(ctx, schedule) })
		})
	}
	if err := s.metrics.tell(ctx, s.store(), schedule); err != nil {
		return err
	}
	watched := s.watchArchive(ctx, schedule)
	due, err := s.due(ctx, schedule, time.Now())
	if err != nil {
		return errors.Join(watched, fmt.Errorf("schedule %q: %w", schedule.Name, err))
	}
	switch {
	case due != nil:
		s.begin(ctx, schedule.Name, s.turn, func(ctx context.Context) error {
			_, err := s.Backup(ctx, schedule.Name, due)
			return err
		})
	case s.verificationDue(ctx, schedule):
		s.begin(ctx, schedule.Name, s.turn, func(ctx context.Context) error { return s.verifyNext(ctx, schedule) })
	}
	return watched
}

// due is the last time at which a run should have begun, and nil if one did. However many were missed, one is made up for.
func (s *Server) due(ctx context.Context, schedule backup.Schedule, now time.Time) (*time.Time, error) {
	cron, err := backup.ParseCron(schedule.Cron, schedule.Timezone)
	if err != nil || !schedule.Enabled {
		return nil, err
	}
	last, err := s.store().LastDue(ctx, schedule.Name)
	if err != nil {
		return nil, err
	}
	if !last.IsZero() {
		if done, err := s.done(ctx, schedule.Name, last); err != nil || !done {
			return &last, err
		}
	}
	// What a schedule asks for now, it did not ask for before it was changed.
	after := schedule.TimingChangedAt
	if last.After(after) {
		after = last
	}
	var due *time.Time
	for next := cron.Next(after); !next.IsZero() && !next.After(now); next = cron.Next(next) {
		due = &next
	}
	return due, nil
}

// verificationDue tells whether a schedule that verifies at times of its own has one that has passed.
func (s *Server) verificationDue(ctx context.Context, schedule backup.Schedule) bool {
	if !schedule.Enabled || schedule.Verify == backup.None || schedule.VerifyCron == nil {
		return false
	}
	cron, err := backup.ParseCron(*schedule.VerifyCron, schedule.Timezone)
	if err != nil {
		return false
	}
	after := schedule.TimingChangedAt
	all, err := s.store().Backups(ctx, backup.Filter{Schedule: schedule.Name, Status: backup.Succeeded, Present: true})
	for _, b := range all {
		if b.Verified != nil && b.Verified.StartedAt.After(after) {
			after = b.Verified.StartedAt
		}
	}
	next := cron.Next(after)
	return err == nil && len(all) > 0 && !next.IsZero() && !next.After(time.Now())
}

// verifyNext verifies the newest backup, or, when that is done, the one whose proof is the oldest.
func (s *Server) verifyNext(ctx context.Context, schedule backup.Schedule) error {
	all, err := s.store().Backups(ctx, backup.Filter{Schedule: schedule.Name, Status: backup.Succeeded, Present: true})
	if err != nil || len(all) == 0 {
		return err
	}
	next := all[0]
	for _, b := range all {
		if next.Verified == nil {
			break
		}
		if b.Verified == nil || b.Verified.StartedAt.Before(next.Verified.StartedAt) {
			next = b
		}
	}
	_, err = s.Verify(ctx, next.ID, schedule.Verify)
	return err
}

// begin does something for a schedule in the background, unless this process works on it already. What takes long waits for its turn.
func (s *Server) begin(ctx context.Context, schedule string, turn chan struct{}, do func(context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.working[schedule] {
		return
	}
	s.working[schedule] = true
	s.work.Go(func() {
		defer func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.working, schedule)
		}()
		if turn != nil {
			select {
			case <-ctx.Done():
				return
			case turn <- struct{}{}:
			}
			defer func() { <-turn }()
		}
		err := do(ctx)
		if err != nil && !errors.Is(err, ErrBusy) && ctx.Err() == nil {
			s.metrics.failed(schedule, Retryable(err))
			s.Log.Error("A run failed", "schedule", schedule, "problem", s.Explain(err), "retryable", Retryable(err))
		}
	})
}

// Handler shows the state: /metrics, and /healthz, which says what is wrong.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		problem, looked := s.problem, s.looked
		s.mu.Unlock()
		switch {
		case problem != nil:
			http.Error(w, s.Explain(problem).Error(), http.StatusServiceUnavailable)
		case time.Since(looked) > time.Minute:
			http.Error(w, "The schedules have not been read for a minute.", http.StatusServiceUnavailable)
		default:
			_, _ = io.WriteString(w, "The schedules are read, and run when they are due.\n")
		}
	})
	return mux
}

// metrics are for Prometheus.
type metrics struct {
	registry *prometheus.Registry
	gauges   map[string]*prometheus.GaugeVec
	failures *prometheus.CounterVec
	known    map[string]bool
}

var gauges = map[string]string{
	"last_success_timestamp_seconds":  "When the last run that succeeded ended.",
	"last_duration_seconds":           "How long the last run that succeeded took.",
	"last_size_bytes":                 "What the last run that succeeded stored in each destination.",
	"last_verified_timestamp_seconds": "When a backup was last proved to restore.",
	"last_restore_seconds":            "How long the last verified restore took.",
	"next_run_timestamp_seconds":      "When the next run is due.",
	"last_run_failed":                 "1 when the last run that ended failed or was lost.",
	"ledger_copy_failed":              "1 when the ledger of what was deleted is not beside all backups.",
	"archive_lag_seconds":             "How old the last moment is that the archive of the write-ahead log reaches.",
	"archive_failed":                  "1 when the archive of the write-ahead log does not keep up.",
}

func newMetrics() metrics {
	m := metrics{registry: prometheus.NewRegistry(), gauges: map[string]*prometheus.GaugeVec{}, known: map[string]bool{}}
	for name, help := range gauges {
		m.gauges[name] = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "brownie_backup_" + name, Help: help}, []string{"schedule"})
		m.registry.MustRegister(m.gauges[name])
	}
	m.failures = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "brownie_backup_failures_total", Help: "Runs and verifications of this process that failed.",
	}, []string{"schedule", "retryable"})
	m.registry.MustRegister(m.failures)
	return m
}

func (m metrics) failed(schedule string, retryable bool) {
	text := map[bool]string{true: "true", false: "false"}[retryable]
	m.failures.WithLabelValues(schedule, text).Inc()
}

func (m metrics) archive(schedule string, lag time.Duration, failed bool) {
	m.gauges["archive_lag_seconds"].WithLabelValues(schedule).Set(lag.Seconds())
	m.gauges["archive_failed"].WithLabelValues(schedule).Set(map[bool]float64{true: 1, false: 0}[failed])
}

// keep lets go of schedules that are gone.
func (m *metrics) keep(schedules []backup.Schedule) {
	for name := range m.known {
		if slices.ContainsFunc(schedules, func(s backup.Schedule) bool { return s.Name == name }) {
			continue
		}
		for _, gauge := range m.gauges {
			gauge.DeleteLabelValues(name)
		}
		delete(m.known, name)
	}
}

// tell shows what is known of a schedule, whichever process ran it.
func (m metrics) tell(ctx context.Context, store *backup.Store, s backup.Schedule) error {
	m.known[s.Name] = true
	set := func(name string, value float64) { m.gauges[name].WithLabelValues(s.Name).Set(value) }
	if runs := s.NextRuns(time.Now(), 1); len(runs) > 0 {
		set("next_run_timestamp_seconds", float64(runs[0].Unix()))
	}
	if s.LastVerifiedAt != nil {
		set("last_verified_timestamp_seconds", float64(s.LastVerifiedAt.Unix()))
	}
	if s.LastRestoreSeconds != nil {
		set("last_restore_seconds", *s.LastRestoreSeconds)
	}
	last, err := store.Backups(ctx, backup.Filter{Schedule: s.Name, Limit: 20})
	if err != nil {
		return err
	}
	ended := false
	for _, b := range last {
		if b.Status == backup.Running {
			continue
		}
		if !ended {
			set("last_run_failed", map[bool]float64{true: 0, false: 1}[b.Status == backup.Succeeded])
			ended = true
		}
		if b.Status == backup.Succeeded {
			set("last_duration_seconds", b.EndedAt.Sub(b.StartedAt).Seconds())
			set("last_size_bytes", float64(*b.SizeBytes))
			break
		}
	}
	if s.LastSuccessAt != nil {
		set("last_success_timestamp_seconds", float64(s.LastSuccessAt.Unix()))
	}
	return nil
}
