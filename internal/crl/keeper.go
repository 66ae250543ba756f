package crl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// Settings say what is kept up to date, and how the alarm is raised.
type Settings struct {
	File
	// Server is logged in to, to make it read the file and to see that it still lets people in. Without a host it is only told, by PIDFile.
	Server postgres.Config
	// PIDFile is the postmaster.pid of a server on this machine, which is then told by a signal; else empty.
	PIDFile string
	// AlarmBefore is how long before a list expires that is a problem.
	AlarmBefore time.Duration
	// Log gets what was done.
	Log *slog.Logger
}

// Keeper keeps one file and one server up to date.
type Keeper struct {
	Settings
	// unread tells that the server has not read the file since it changed. It begins so, because nobody knows.
	unread bool

	// shown are the lists that the figures are about, by issuer and key.
	shown map[[2]string]bool

	mu      sync.Mutex
	problem error // nil when all is well

	registry    *prometheus.Registry
	nextUpdate  *prometheus.GaugeVec
	revoked     *prometheus.GaugeVec
	troubled    prometheus.Gauge
	refreshedAt prometheus.Gauge
}

// NewKeeper returns a keeper that has done nothing yet.
func NewKeeper(s Settings) *Keeper {
	gauge := func(name, help string) prometheus.GaugeOpts {
		return prometheus.GaugeOpts{Namespace: "brownie", Subsystem: "crl", Name: name, Help: help}
	}
	k := &Keeper{
		Settings: s, unread: true, problem: errors.New("nothing was refreshed yet"), registry: prometheus.NewRegistry(),
		nextUpdate: prometheus.NewGaugeVec(gauge("next_update_timestamp_seconds",
			"When the list in the file expires, by issuer; then the server "+
				"refuses all certificates of the issuer."), []string{"issuer", "key_id"}),
		revoked: prometheus.NewGaugeVec(gauge("revoked_certificates", "Certificates that the list in the file names, by issuer."),
			[]string{"issuer", "key_id"}),
		troubled: prometheus.NewGauge(gauge("problem", "1 when the last refresh failed or a list expires too soon, else 0.")),
		refreshedAt: prometheus.NewGauge(gauge("last_success_timestamp_seconds",
			"When the lists were last refreshed and read by the server.")),
	}
	k.troubled.Set(1)
	k.registry.MustRegister(k.nextUpdate, k.revoked, k.troubled, k.refreshedAt)
	return k
}

// Update brings the file and the server up to date, and notes what is wrong.
func (k *Keeper) Update(ctx context.Context) error {
	lists, changed, err := k.Refresh(ctx)
	k.unread = k.unread || changed
	if k.unread && len(lists) > 0 {
		err = errors.Join(err, k.reload(ctx))
	}
	err = errors.Join(err, k.expiry(lists))
	k.show(lists)
	if changed {
		for _, list := range lists {
			k.Log.Info("The list was replaced", "issuer", list.Issuer, "revoked", list.Revoked, "expires",
				list.NextUpdate.Format(time.RFC3339))
		}
	}
	if err != nil {
		k.troubled.Set(1)
	} else {
		k.troubled.Set(0)
		k.refreshedAt.SetToCurrentTime()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.problem = err
	return err
}

// show tells what the file holds. Whoever looks meanwhile sees each list, old or new.
func (k *Keeper) show(lists []List) {
	shown := map[[2]string]bool{}
	for _, list := range lists {
		k.nextUpdate.WithLabelValues(list.Issuer, list.KeyID).Set(float64(list.NextUpdate.Unix()))
		k.revoked.WithLabelValues(list.Issuer, list.KeyID).Set(float64(list.Revoked))
		shown[[2]string{list.Issuer, list.KeyID}] = true
	}
	for before := range k.shown {
		if !shown[before] {
			k.nextUpdate.DeleteLabelValues(before[0], before[1])
			k.revoked.DeleteLabelValues(before[0], before[1])
		}
	}
	k.shown = shown
}

// expiry raises the alarm long before a list expires.
func (k *Keeper) expiry(lists []List) error {
	var errs []error
	for _, list := range lists {
		if left := time.Until(list.NextUpdate).Round(time.Second); left < k.AlarmBefore {
			errs = append(errs, fmt.Errorf("the list of %s expires at %s, in %s: from then on the server refuses all its "+
				"certificates. Its authority must make a new one (in Vault: set auto_rebuild in <mount>/config/crl, or read "+
				"<mount>/crl/rotate)", list.Issuer, list.NextUpdate.Format(time.RFC3339), left))
		}
	}
	return errors.Join(errs...)
}

// moment is a row with a time of the server's clock.
type moment struct {
	At time.Time `db:"at"`
}

// The moment is taken before the server is told, which may be as quick as the statement itself.
const reloadSQL = `
	WITH asked AS MATERIALIZED (SELECT pg_catalog.clock_timestamp() AS at)
	SELECT at FROM asked WHERE pg_catalog.pg_reload_conf()`

// loaded is what a server says of its configuration.
type loaded struct {
	At   time.Time `db:"at"`
	TLS  bool      `db:"tls"`
	File string    `db:"file"`
}

const loadedSQL = `
	SELECT pg_catalog.pg_conf_load_time() AS at, pg_catalog.current_setting('ssl')::pg_catalog.bool AS tls,
		pg_catalog.current_setting('ssl_crl_file') AS file`

// reload makes the server read the file, and waits until it has. It looks with new connections, which show that a valid
// certificate still gets in.
func (k *Keeper) reload(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, k.Server.ConnectTimeout)
	defer cancel()
	asked := moment{time.Now()}
	var err error
	if k.PIDFile != "" {
		err = signalServer(k.PIDFile)
	} else {
		asked, _, err = postgres.Login[moment](ctx, k.Server, reloadSQL)
	}
	if err != nil {
		return fmt.Errorf("the server was not told to read the lists (if it refuses everybody because of those that it has, only "+
			"-pidfile or a unix socket repairs that): %w", err)
	}
	if k.Server.Host == "" {
		k.unread = false
		k.Log.Info("The server was told to read the lists; name it by PGHOST to have that looked at")
		return nil
	}
	for {
		read, _, err := postgres.Login[loaded](ctx, k.Server, loadedSQL)
		if err == nil && !read.At.Before(asked.At.Truncate(time.Microsecond)) {
			if err := k.check(read); err != nil {
				return err
			}
			break
		}
		select {
		case <-ctx.Done():
			return errors.Join(errors.New("the server was told to read the lists, but it has not, or lets nobody in"), err)
		case <-time.After(50 * time.Millisecond):
		}
	}
	k.unread = false
	k.Log.Info("The server has read the lists")
	return nil
}

// check tells why a server that has read its configuration has not read the file: it goes on with the old lists then, and
// says so in its log only.
func (k *Keeper) check(read loaded) error {
	switch {
	case !read.TLS:
		return errors.New("the server does without TLS (ssl = off), so that it reads no lists")
	case read.File == "":
		return fmt.Errorf("the server reads no lists: set its ssl_crl_file to %s", k.Path)
	case filepath.Base(read.File) != filepath.Base(k.Path):
		return fmt.Errorf("the server reads %s (ssl_crl_file), and not %s", read.File, k.Path)
	}
	mine, err := os.Stat(k.Path)
	if err != nil {
		return err
	}
	// A server in another container may have the same file at another path.
	if theirs, err := os.Stat(read.File); err == nil && filepath.IsAbs(read.File) && !os.SameFile(mine, theirs) {
		return fmt.Errorf("the server reads %s (ssl_crl_file), and not %s", read.File, k.Path)
	}
	return readable(k.Path)
}

// readable tells why a server, which never runs as root, cannot read a file: a folder of root's that is closed to others.
func readable(path string) error {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	for dir := filepath.Dir(absolute); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		owner, known := info.Sys().(*syscall.Stat_t)
		if known && owner.Uid == 0 && owner.Gid == 0 && info.Mode()&0o001 == 0 {
			return fmt.Errorf("the server cannot read %s: the folder %s is root's, and closed to others (chmod o+x)", path, dir)
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

// signalServer tells a server on this machine to read its configuration again (PostgreSQL manual, "pg_ctl"). A file that a server
// has left behind may have the number of another process by now.
func signalServer(pidFile string) error {
	text, err := os.ReadFile(pidFile)
	if err != nil {
		return err
	}
	lines := strings.SplitN(string(text), "\n", 3)
	pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil || pid < 1 || len(lines) < 3 {
		return fmt.Errorf("%s is no postmaster.pid: it does not begin with the number of a process and a folder", pidFile)
	}
	folder := strings.TrimSpace(lines[1])
	working, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
	if errors.Is(err, os.ErrNotExist) || err == nil && !sameFolder(working, folder) {
		return fmt.Errorf("process %d, which %s names, is no server with the data in %s: the server has ended", pid, pidFile, folder)
	}
	if err != nil {
		return fmt.Errorf("process %d cannot be looked at; run this command as the server's user: %w", pid, err)
	}
	server, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	return server.Signal(syscall.SIGHUP)
}

func sameFolder(one, other string) bool {
	first, err := os.Stat(one)
	if err != nil {
		return one == other
	}
	second, err := os.Stat(other) //nolint:gosec // It is only compared.
	return err == nil && os.SameFile(first, second)
}

// Handler shows the state: /metrics, and /healthz, which says what is wrong.
func (k *Keeper) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(k.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		k.mu.Lock()
		problem := k.problem
		k.mu.Unlock()
		if problem == nil {
			_, _ = io.WriteString(w, "All lists are up to date.\n")
			return
		}
		http.Error(w, problem.Error(), http.StatusServiceUnavailable)
	})
	return mux
}
