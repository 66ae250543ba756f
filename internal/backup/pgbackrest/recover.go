package pgbackrest

import (
	"context"
	"crypto/sha1" //nolint:gosec // See compare.
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/artifact"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/dump"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/object"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// Target is how far the log is replayed: to a time, a position in the log, or a restore point. The zero value is the moment of the backup.
type Target struct {
	Time *time.Time
	LSN  string
	Name string
	// Latest is as far as the archive reaches.
	Latest bool
	// ArchivedUntil is until when all that was committed is known to be in the archive.
	ArchivedUntil *time.Time
}

// IsOwn tells that it is the moment of the backup.
func (t Target) IsOwn() bool { return t.Time == nil && t.LSN == "" && t.Name == "" && !t.Latest }

// settings are PostgreSQL's (manual, section 19.5.6).
func (t Target) settings() []string {
	switch {
	case t.Time != nil:
		return []string{"recovery_target_time=" + t.Time.UTC().Format("2006-01-02 15:04:05.999999+00")}
	case t.LSN != "":
		return []string{"recovery_target_lsn=" + t.LSN}
	case t.Name != "":
		return []string{"recovery_target_name=" + t.Name}
	case t.Latest:
		return nil
	}
	// A later timeline need not lead through the moment.
	return []string{"recovery_target=immediate", "recovery_target_timeline=current"}
}

// String is for people.
func (t Target) String() string {
	switch {
	case t.Time != nil:
		return t.Time.UTC().Format(time.RFC3339Nano)
	case t.LSN != "":
		return "position " + t.LSN
	case t.Name != "":
		return "restore point " + t.Name
	case t.Latest:
		return "the end of the archive"
	}
	return "the backup's own moment"
}

// Recovery is where a cluster is restored.
type Recovery struct {
	// Programs is the folder of the server's programs, and Folder where the server keeps its files; empty means PATH, and the usual place.
	Programs, Folder string
	// Keep means that the files are used afterwards: what the recovery adds to the log is archived by the server that gets them.
	Keep bool
	// GetCommand is the beginning of restore_command: `GetCommand SOCKET %f %p` fetches a segment from us.
	GetCommand []string
}

// Recover starts a server that nobody else reaches with the files of a backup, and replays the log as far as the target. It hands the log
// to the server itself, so that the passphrase stays with us.
func (r Repository) Recover(ctx context.Context, store *object.Store, c artifact.Cluster, database string, to Target, where Recovery) (
	_ *dump.Scratch, err error,
) {
	segments, err := r.segments(ctx, store, c.WALSegmentBytes)
	if err != nil {
		return nil, err
	}
	sums := map[string]string{}
	for _, each := range segments {
		sums[each.name(c.WALSegmentBytes)] = each.sum
	}
	log := &served{Repository: r, ctx: ctx, sums: sums}
	defer log.stop()
	scratch, err := dump.StartRecovered(ctx, where.Programs, r.Tools, where.Folder, dump.Recovery{
		Superuser: c.Superuser, Database: database,
		Fill: func(ctx context.Context, data string) error {
			_, err := r.run(ctx, []string{"PGBACKREST_PG1_PATH=" + data}, "restore", "--set="+c.Label, "--type=none",
				"--tablespace-map-all="+filepath.Join(filepath.Dir(data), "tablespaces"))
			return err
		},
		Settings: func(folder string) ([]string, error) {
			socket := filepath.Join(folder, "log")
			words := []string{"restore_command=exec"}
			for _, word := range append(where.GetCommand, socket) {
				words = append(words, quoted(word))
			}
			settings := append(to.settings(), "track_commit_timestamp="+map[bool]string{true: "on", false: "off"}[c.TrackCommitTimestamp])
			if where.Keep {
				settings = append(settings, "archive_mode=on", "archive_command=")
			}
			return append(settings, strings.Join(append(words, `"%f"`, `"%p"`), " ")), log.listen(socket, folder)
		},
	})
	switch failed := log.failed(); {
	case err == nil:
	case failed != nil:
		err = failed
	case strings.Contains(err.Error(), "recovery ended before configured recovery target was reached"):
		err = problem.New(fmt.Sprintf("the archive of cluster %s does not reach as far as %s", r.Stanza, to),
			"Name an earlier moment, or restore to what it has at last: --to latest").Because(errEndOfLog)
	}
	return scratch, err
}

// errEndOfLog says that nothing later than the target is in the archive.
var errEndOfLog = errors.New("the archive ends before")

// EndsBefore tells that a recovery failed since nothing later than its target is in the archive.
func EndsBefore(err error) bool { return errors.Is(err, errEndOfLog) }

// quoted is a word of the shell, in a setting in which % means something.
func quoted(word string) string {
	return "'" + strings.NewReplacer(`'`, `'\''`, `%`, `%%`).Replace(word) + "'"
}

// served hands the log to a server that recovers: `GET /<name>` on a unix socket is that segment.
type served struct {
	Repository
	ctx    context.Context //nolint:containedctx // that of the one recovery
	server *http.Server
	// sums are compared by us: pgBackRest does not when it fetches, and to PostgreSQL a damaged record looks like the end of the log.
	sums map[string]string

	mu  sync.Mutex
	err error
}

func (s *served) listen(socket, folder string) error {
	listener, err := (&net.ListenConfig{}).Listen(s.ctx, "unix", socket)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{segment}", func(w http.ResponseWriter, q *http.Request) {
		file := filepath.Join(folder, "segment")
		switch err := s.fetch(q.PathValue("segment"), filepath.Join(folder, "data"), file); {
		case errors.Is(err, problem.ErrNotFound):
			http.NotFound(w, q)
		case err != nil:
			s.mu.Lock()
			s.err = err
			s.mu.Unlock()
			http.Error(w, err.Error(), http.StatusInternalServerError)
		default:
			http.ServeFile(w, q, file)
		}
		_ = os.Remove(file) // It may not be there.
	})
	s.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.server.Serve(listener) }() // It ends when it is closed.
	return nil
}

// fetch gets one segment. One that is not in the archive is [problem.ErrNotFound]: there the log ends.
func (s *served) fetch(name, data, file string) error {
	if !IsSegment(name) {
		return problem.New(fmt.Sprintf("%q is no segment of the write-ahead log", name), "")
	}
	_, err := s.run(s.ctx, []string{"PGBACKREST_PG1_PATH=" + data}, "archive-get", name, file)
	if ended, ok := errors.AsType[*exec.ExitError](err); ok && ended.ExitCode() == 1 {
		return errors.Join(problem.ErrNotFound, err)
	}
	if err == nil {
		err = s.compare(name, file)
	}
	if err != nil {
		err = &artifact.DamageError{Problem: problem.New(fmt.Sprintf("segment %s of cluster %s cannot be read from the archive in %s: %s",
			name, s.Stanza, s.Destination, err), "Restore to a moment before it, or use a later backup").Because(err)}
	}
	return err
}

func (s *served) compare(name, file string) error {
	want := s.sums[name]
	if want == "" {
		return nil // It is no whole segment, or was archived since.
	}
	content, err := os.Open(file)
	if err != nil {
		return err
	}
	sum := sha1.New() //nolint:gosec // It is what pgBackRest names segments by; nobody is kept out by it.
	_, err = io.Copy(sum, content)
	if err := errors.Join(err, content.Close()); err != nil {
		return err
	}
	if hex.EncodeToString(sum.Sum(nil)) != want {
		return errors.New("it is not what it was")
	}
	return nil
}

func (s *served) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *served) stop() {
	if s.server != nil {
		_ = s.server.Close()
	}
}
