package leader

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/google/renameio/v2"
)

// Settings say whom to follow, and for whom.
type Settings struct {
	API API
	// Namespace and Cluster are where Patroni's objects are, and its scope.
	Namespace, Cluster string
	// Template is a pgbouncer.ini in which databases have host=leader or host=replica. File is the one that PgBouncer reads.
	Template, File string
	// Folders hold certificates, which PgBouncer is to read again when Kubernetes replaces them.
	Folders []string
	// MaxLag is how many bytes of the write-ahead log a replica may lack.
	MaxLag uint64
	// Self is the pooler's name.
	Self string
	// Pipe is a named pipe, which Follow makes. A line from it tells PgBouncer's container to signal it.
	Pipe string
	Log  *slog.Logger
}

// firstAnswer is how long a pooler waits for the API server before it starts with the cluster's Services.
const firstAnswer = 3 * time.Second

// pollInterval is how often files are looked at.
const pollInterval = 2 * time.Second

// Follow writes File, and again whenever the leader, the replica, the template or a certificate changes, and has PgBouncer read it.
// It ends with ctx, or when it cannot write.
func Follow(ctx context.Context, s Settings) error {
	err := syscall.Mkfifo(s.Pipe, 0o660)
	if err == nil || errors.Is(err, os.ErrExist) {
		err = os.Chmod(s.Pipe, 0o660) //nolint:gosec // PgBouncer is another user of the same group, whatever the umask is.
	}
	if err != nil {
		return fmt.Errorf("cannot make the pipe to PgBouncer: %w", err)
	}
	whole := ctx
	ctx, cancel := context.WithCancelCause(whole)
	defer cancel(nil)
	changes := make(chan func(*cluster))
	watch := func(path string, selection url.Values, take func(*cluster, objects)) {
		s.API.watch(ctx, path, selection, func(all objects) {
			done := make(chan struct{})
			select {
			case changes <- func(c *cluster) { take(c, all); close(done) }:
				<-done
			case <-ctx.Done():
			}
		}, func(err error) {
			s.Log.Warn("The last members are kept", "problem", err)
			// The authority may have been replaced, which is read at the start.
			if unknown, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
				cancel(unknown)
			}
		})
	}
	namespace := "/api/v1/namespaces/" + s.Namespace
	go watch(namespace+"/configmaps", url.Values{"fieldSelector": {"metadata.name=" + s.Cluster + "-leader"}}, (*cluster).led)
	go watch(namespace+"/pods", url.Values{"labelSelector": {"cluster-name=" + s.Cluster}}, (*cluster).joined)

	c, w := &cluster{name: s.Cluster, maxLag: s.MaxLag, self: s.Self}, writer{Settings: s}
	start := time.After(firstAnswer)
	for started := false; ; {
		select {
		case <-ctx.Done():
			if whole.Err() != nil {
				return nil
			}
			return context.Cause(ctx)
		case change := <-changes:
			change(c)
		case <-start:
			started = true
		case <-time.After(w.pause()):
		}
		if c.leader == "" && !started {
			continue
		}
		if err := w.write(c.choose(), c.low()); err != nil {
			return err
		}
	}
}

// writer remembers what it wrote, and what PgBouncer was told to read.
type writer struct {
	Settings
	written, text, certificates, low string
	// dropped: PgBouncer was last told of no database of the leader's.
	dropped bool
}

// pause is how long to wait for a change.
func (w *writer) pause() time.Duration {
	if w.dropped {
		return 300 * time.Millisecond
	}
	return pollInterval
}

// write has PgBouncer read what is new.
//
// PgBouncer keeps default_transaction_read_only for each client, and sets it on whatever session the client gets next. So all clients of
// the leader have to come anew when a member begins or ends to refuse writes: PgBouncer drops those of a database that is not there.
func (w *writer) write(to Targets, low string) error {
	template, err := os.ReadFile(w.Template)
	if err != nil {
		return err
	}
	drop := low != w.low && w.text != ""
	if drop {
		template = leaderLine.ReplaceAll(template, nil)
	}
	text := point(string(template), w.host(to.Leader, "primary"), w.host(to.Replica, "replicas"))
	certificates, err := w.versions()
	if err != nil {
		return err
	}
	if text == w.text && certificates == w.certificates {
		w.low, w.dropped = low, drop
		return nil
	}
	if err := renameio.WriteFile(w.File, []byte(text), 0o644, renameio.WithStaticPermissions(0o644)); err != nil {
		return fmt.Errorf("cannot write PgBouncer's configuration: %w", err)
	}
	if text != w.written {
		w.written = text
		w.Log.Info("PgBouncer is pointed", "leader", to.Leader, "replica", to.Replica, "drops", drop)
	}
	read, err := w.reload()
	if read { // Else it is told again.
		w.text, w.certificates, w.low, w.dropped = text, certificates, low, drop
	}
	return err
}

// host is the name of a member, which its certificate has, too. As long as none is known, it is a Service's.
func (w *writer) host(name, service string) string {
	if name == "" {
		return fmt.Sprintf("%s-%s.%s.svc", w.Cluster, service, w.Namespace)
	}
	return fmt.Sprintf("%s.%s-members.%s.svc", name, w.Cluster, w.Namespace)
}

var leaderLine = regexp.MustCompile(`(?m)^.*\bhost=leader([ \t].*)?$\n?`)

var host = regexp.MustCompile(`(?m)\bhost=(leader|replica)(\s|$)`)

// guardQuery ends a session on a member that does not write (yet), before a client gets it. PgBouncer then tries again.
const guardQuery = `SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_terminate_backend(pg_catalog.pg_backend_pid()) END`

// point gives the databases their hosts.
func point(template, leader, replica string) string {
	return host.ReplaceAllStringFunc(template, func(found string) string {
		rest := strings.TrimPrefix(strings.TrimPrefix(found, "host=leader"), "host=replica")
		if strings.HasPrefix(found, "host=leader") {
			return "host=" + leader + " connect_query='" + guardQuery + "'" + rest
		}
		return "host=" + replica + rest
	})
}

// versions changes when Kubernetes, or the driver of a volume, replaces a certificate: it then points the link ..data elsewhere.
func (w *writer) versions() (string, error) {
	var all strings.Builder
	for _, folder := range w.Folders {
		version, err := os.Readlink(filepath.Join(folder, "..data"))
		if err != nil {
			return "", err
		}
		all.WriteString(version + "\n")
	}
	return all.String(), nil
}

// reload has PgBouncer read its files, unless nobody reads the pipe yet.
func (w *writer) reload() (read bool, err error) {
	pipe, err := os.OpenFile(w.Pipe, os.O_WRONLY|syscall.O_NONBLOCK, 0)
	if err == nil {
		_, err = pipe.WriteString("reload\n")
		err = errors.Join(err, pipe.Close())
	}
	switch {
	case errors.Is(err, syscall.ENXIO), errors.Is(err, syscall.EPIPE):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("cannot have PgBouncer read its configuration: %w", err)
	}
	return true, nil
}
