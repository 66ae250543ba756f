package leader

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// server stands in for an API server, so that it can fail at will. The real one is that of the end-to-end tests.
type server struct {
	mu      sync.Mutex
	leader  string
	refuse  int // the status of every answer, if not 0
	changed chan struct{}
	watches int
}

func (s *server) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *server) now() (leader string, refuse int, changed chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leader, s.refuse, s.changed
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	leader, refuse, changed := s.now()
	item := func(leader string) string {
		if strings.HasSuffix(r.URL.Path, "/pods") {
			return `{"metadata":{"name":"pg-2","annotations":{"status":"{\"role\":\"replica\",\"state\":\"running\"}"}},` +
				`"status":{"conditions":[{"type":"Ready","status":"True"}]}}`
		}
		return `{"metadata":{"name":"pg-leader","annotations":{"leader":"` + leader + `"}}}`
	}
	switch {
	case refuse != 0:
		http.Error(w, "no", refuse)
	case r.Header.Get("Authorization") != "Bearer secret":
		http.Error(w, "who are you?", http.StatusUnauthorized)
	case r.FormValue("watch") == "":
		_, _ = fmt.Fprintf(w, `{"metadata":{"resourceVersion":"7"},"items":[%s]}`, item(leader))
	case r.FormValue("resourceVersion") != "7":
		http.Error(w, "what since?", http.StatusBadRequest)
	default:
		s.mu.Lock()
		s.watches++
		s.mu.Unlock()
		_ = http.NewResponseController(w).Flush()
		for {
			select {
			case <-r.Context().Done():
				return
			case <-changed:
			}
			if leader, refuse, changed = s.now(); refuse != 0 {
				_, _ = fmt.Fprintf(w, `{"type":"ERROR","object":{"code":%d}}`, refuse)
				return
			}
			_, _ = fmt.Fprintf(w, `{"type":"MODIFIED","object":%s}`, item(leader))
			_ = http.NewResponseController(w).Flush()
		}
	}
}

func TestFollow(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	link := func(to string) {
		t.Helper()
		_ = os.Remove(filepath.Join(dir, "..data"))
		if err := os.Symlink(to, filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	write("token", "secret\n")
	write("template.ini", "a = host=leader port=5432\nb = host=replica dbname=a\nc = host=leader.example\n")
	link("one")
	stand := &server{leader: "pg-0", changed: make(chan struct{})}
	api := httptest.NewServer(stand)
	defer api.Close()
	s := Settings{
		API:       API{URL: api.URL, TokenFile: filepath.Join(dir, "token"), Client: api.Client()},
		Namespace: "ns", Cluster: "pg", Self: "pooler", Template: filepath.Join(dir, "template.ini"),
		File: filepath.Join(dir, "pgbouncer.ini"), Pipe: filepath.Join(dir, "reload"), Folders: []string{dir},
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- Follow(ctx, s) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()

	points := func(what, leader, replica string) {
		t.Helper()
		want := fmt.Sprintf("a = host=%s connect_query='%s' port=5432\nb = host=%s dbname=a\nc = host=leader.example\n", leader, guardQuery, replica)
		var got []byte
		for start := time.Now(); time.Since(start) < 10*time.Second; time.Sleep(10 * time.Millisecond) {
			if got, _ = os.ReadFile(s.File); string(got) == want {
				return
			}
		}
		t.Fatalf("%s: the file is\n%s\nwant\n%s", what, got, want)
	}
	points("at first", "pg-0.pg-members.ns.svc", "pg-2.pg-members.ns.svc")

	// Nobody has read the pipe so far, and nothing has waited for it.
	pipe, err := os.OpenFile(s.Pipe, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pipe.Close() }()
	lines := bufio.NewScanner(pipe)
	told := func(what string) {
		t.Helper()
		if !lines.Scan() || lines.Text() != "reload" {
			t.Fatalf("%s: PgBouncer is told %q: %v", what, lines.Text(), lines.Err())
		}
	}
	told("what it had no reader for before")
	stand.set(func() { stand.leader = "pg-1" })
	points("another leader", "pg-1.pg-members.ns.svc", "pg-2.pg-members.ns.svc")
	told("another leader")

	for _, status := range []int{http.StatusGone, http.StatusForbidden, http.StatusTooManyRequests, http.StatusInternalServerError} {
		stand.set(func() { stand.refuse = status })
		stand.set(func() { stand.leader = "" })
		time.Sleep(50 * time.Millisecond)
		points(http.StatusText(status), "pg-1.pg-members.ns.svc", "pg-2.pg-members.ns.svc")
		stand.set(func() { stand.refuse = 0 })
		points("no leader", "pg-1.pg-members.ns.svc", "pg-2.pg-members.ns.svc")
	}
	stand.set(func() { stand.leader = "pg-0" })
	points("a leader again", "pg-0.pg-members.ns.svc", "pg-2.pg-members.ns.svc")
	told("a leader again")

	link("two")
	told("a renewed certificate")
	write("template.ini", "a = host=leader port=5432\nb = host=replica dbname=a\nc = host=leader.example\n; more\n")
	told("another template")
	if got, err := os.ReadFile(s.File); err != nil || !strings.HasSuffix(string(got), "; more\n") {
		t.Errorf("the file is %s: %v", got, err)
	}
}

// TestNoAPIServer: a pooler that cannot ask starts with the Services, whose names every member's certificate has.
func TestNoAPIServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "template.ini"), []byte("a = host=leader\nb = host=replica\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := Settings{
		API: API{URL: "http://127.0.0.1:1", TokenFile: os.DevNull, Client: http.DefaultClient}, Namespace: "ns", Cluster: "pg",
		Template: filepath.Join(dir, "template.ini"), File: filepath.Join(dir, "pgbouncer.ini"), Pipe: filepath.Join(dir, "reload"),
		Log: slog.New(slog.DiscardHandler),
	}
	ctx, cancel := context.WithTimeout(t.Context(), firstAnswer+5*time.Second)
	defer cancel()
	ended := make(chan error)
	go func() { ended <- Follow(ctx, s) }()
	want := "a = host=pg-primary.ns.svc connect_query='" + guardQuery + "'\nb = host=pg-replicas.ns.svc\n"
	var got []byte
	for ; ctx.Err() == nil && string(got) != want; time.Sleep(20 * time.Millisecond) {
		got, _ = os.ReadFile(s.File)
	}
	if string(got) != want {
		t.Errorf("the file is\n%s\nwant\n%s", got, want)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestStatus reads what Patroni 4.1 writes.
func TestStatus(t *testing.T) {
	t.Parallel()
	c := &cluster{name: "pg"}
	c.joined(pods(map[string]string{"pg-1": `{"conn_url":"postgres://pg-1:5432/postgres","api_url":"https://pg-1:8008/patroni","state":"running",
		"role":"replica","version":"4.1.5","xlog_location":67109176,"replication_state":"streaming","timeline":1}`}))
	if got := c.members["pg-1"]; got != (member{Role: "replica", State: "running", Received: 67109176, ready: true}) {
		t.Errorf("got %+v", got)
	}
}
