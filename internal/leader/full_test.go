package leader

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestLow: what the leader, or the one before, says of its volumes counts. Others' clients only read.
func TestLow(t *testing.T) {
	t.Parallel()
	c := &cluster{name: "pg"}
	marked := func(name string) {
		all := pods(map[string]string{"pg-0": running(0), "pg-1": running(0), "pg-2": running(0)})
		if o, there := all[name]; there {
			o.Metadata.Annotations[full] = "7"
			all[name] = o
		}
		c.joined(all)
	}
	for _, step := range []struct{ leader, marked, want string }{
		{"pg-0", "", "/"}, {"pg-0", "pg-1", "/"}, {"pg-0", "pg-0", "7/"}, {"pg-1", "pg-0", "/7"}, {"pg-1", "pg-2", "/"}, {"pg-1", "pg-1", "7/"},
	} {
		c.led(leads(step.leader, 0))
		marked(step.marked)
		if got := c.low(); got != step.want {
			t.Errorf("%+v: got %q", step, got)
		}
	}
}

// TestDrop: PgBouncer drops the clients of the leader once each time when that changes, however fast.
func TestDrop(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := writer{Settings: Settings{
		Namespace: "ns", Cluster: "pg", Template: filepath.Join(dir, "template.ini"), File: filepath.Join(dir, "pgbouncer.ini"),
		Pipe: filepath.Join(dir, "reload"), Log: slog.New(slog.DiscardHandler),
	}}
	err := os.WriteFile(w.Template, []byte("[databases]\na = host=leader\nb = host=replica\nc = host=leader.example\n"), 0o600)
	if err == nil {
		err = syscall.Mkfifo(w.Pipe, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	pipe, err := os.OpenFile(w.Pipe, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pipe.Close() }()
	for i, step := range []struct {
		low  string
		drop bool
	}{{"/", false}, {"7/", true}, {"7/", false}, {"7/", false}, {"/", true}, {"8/", true}, {"8/7", true}, {"8/7", false}} {
		if err := w.write(Targets{"pg-0", "pg-1"}, step.low); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(w.File)
		if err != nil || strings.Contains(string(text), "a = host=pg-0.") == step.drop ||
			!strings.Contains(string(text), "\nb = host=pg-1.") || !strings.Contains(string(text), "\nc = host=leader.example\n") {
			t.Errorf("step %d: %s %v", i, text, err)
		}
	}
}
