package devstack_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
)

// temporaryFolder makes a folder for servers' folders. It is not t.TempDir, whose parent is closed to the user that runs
// the server when the tests run as root.
func temporaryFolder(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "devstack-test-") //nolint:usetesting // See above.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	if err := os.Chmod(folder, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	return folder
}

// A start that is interrupted leaves nothing either, wherever it was: while initdb runs, or while the server starts.
func TestKilledWhileStarting(t *testing.T) {
	own(t)
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGINT} {
		for _, delay := range []time.Duration{0, 5 * time.Millisecond, 20 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 400 * time.Millisecond} {
			temporary := temporaryFolder(t)
			child := exec.Command(os.Args[0])
			child.Env = append(os.Environ(), "DEVSTACK_TEST_CHILD=start", "TMPDIR="+temporary)
			child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			var made []string
			for deadline := time.Now().Add(time.Minute); len(made) == 0 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
				// The folder is certain to be removed once its watchdog runs.
				if found, _ := filepath.Glob(filepath.Join(temporary, "brownie-postgres-*")); len(found) > 0 && uses(t, found[0]) {
					made = found
				}
			}
			time.Sleep(delay)
			// The whole group, as a terminal does with Ctrl-C.
			_ = syscall.Kill(-child.Process.Pid, signal)
			_ = child.Wait()
			if len(made) != 1 {
				t.Fatalf("got folders %v, want one", made)
			}
			leavesNothing(t, made[0], 0)
			if left, _ := os.ReadDir(temporary); len(left) != 0 {
				t.Errorf("%s after %s left %v", signal, delay, left)
			}
		}
	}
}

func TestKilledParent(t *testing.T) {
	own(t)
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "DEVSTACK_TEST_CHILD=start")
	output, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	folder, portText, _ := strings.Cut(strings.TrimSpace(line), " ")
	port, err := strconv.Atoi(portText)
	if err != nil {
		t.Fatalf("the child said %q", line)
	}
	if _, err := os.Stat(folder); err != nil {
		t.Fatal(err)
	}
	_ = child.Process.Kill()
	_ = child.Wait()
	leavesNothing(t, folder, port)
}

func TestCancelledStart(t *testing.T) {
	own(t)
	temporary := temporaryFolder(t)
	t.Setenv("TMPDIR", temporary)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := devstack.StartPostgres(ctx, devstack.Options{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	if left, _ := os.ReadDir(temporary); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	_ = os.Remove(temporary)
	leavesNothing(t, temporary, 0) // The watchdog, which removes the server's folder last, may need a moment to end.
}

func TestDetached(t *testing.T) {
	for _, given := range []string{"", t.TempDir()} {
		server := start(t, devstack.Options{Detached: true, Dir: given})
		record := server.Dir()
		if record == "" || given != "" && record != given {
			t.Fatalf("recorded in %q, want %q", record, given)
		}
		if _, err := devstack.StartPostgres(t.Context(), devstack.Options{Detached: true, Dir: record}); err == nil {
			t.Error("a second server is recorded over the first")
		}
		attached, err := devstack.Attach(record)
		if err != nil {
			t.Fatal(err)
		}
		if who := query(t, attached.URL("postgres"), `SELECT session_user::text`); who != "postgres" {
			t.Errorf("got %q", who)
		}
		if attached.CAPEM() != server.CAPEM() || !strings.Contains(attached.CAPEM(), "BEGIN CERTIFICATE") {
			t.Error("the attached server has another certificate authority")
		}
		if err := attached.Restart(t.Context()); err != nil {
			t.Error(err)
		}
		if err := attached.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		leavesNothing(t, filepath.Dir(server.CAFile()), server.Port())
		if _, err := os.Stat(record); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the folder of the record: got %v", err)
		}
		if _, err := devstack.Attach(record); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("after the stop: got %v", err)
		}
	}
}

// Whatever of a detached server is still alive, Stop removes the rest.
func TestStopOfDetachedRemains(t *testing.T) {
	for _, killed := range []string{"watchdog", "server", "both"} {
		record := t.TempDir()
		server := start(t, devstack.Options{Detached: true, Dir: record})
		folder := filepath.Dir(server.CAFile())
		text, err := os.ReadFile(filepath.Join(folder, "data", "postmaster.pid"))
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := strings.Cut(string(text), "\n")
		postmaster, err := strconv.Atoi(first)
		if err != nil {
			t.Fatal(err)
		}
		group, err := syscall.Getpgid(postmaster)
		if err != nil {
			t.Fatal(err)
		}
		// Numbered as a session of its own, the watchdog's number is the group's.
		if killed != "server" {
			if err := syscall.Kill(group, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
		if killed != "watchdog" {
			_ = syscall.Kill(postmaster, syscall.SIGKILL)
		}
		attached, err := devstack.Attach(record)
		if err != nil {
			t.Fatal(err)
		}
		if err := attached.Stop(t.Context()); err != nil {
			t.Errorf("%s killed: %s", killed, err)
		}
		leavesNothing(t, folder, server.Port())
	}
}

// A record whose server went with the machine's temporary files is cleaned up without a word.
func TestStopOfNothing(t *testing.T) {
	record := t.TempDir()
	text, err := json.Marshal(map[string]any{"dir": filepath.Join(record, "gone"), "port": 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(record, "devstack.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	attached, err := devstack.Attach(record)
	if err != nil {
		t.Fatal(err)
	}
	if err := attached.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}
