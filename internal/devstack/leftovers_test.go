package devstack_test

import (
	"bufio"
	"context"
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
		for _, delay := range []int{0, 5, 20, 100, 250, 400} { // milliseconds
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
			time.Sleep(time.Duration(delay) * time.Millisecond)
			// The whole group, as a terminal does with Ctrl-C.
			_ = syscall.Kill(-child.Process.Pid, signal)
			_ = child.Wait()
			if len(made) != 1 {
				t.Fatalf("got folders %v, want one", made)
			}
			leavesNothing(t, made[0], 0)
			if left, _ := os.ReadDir(temporary); len(left) != 0 {
				t.Errorf("%s after %d ms left %v", signal, delay, left)
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

// Whatever of a server is still alive, Stop removes the rest.
func TestStopOfRemains(t *testing.T) {
	for _, killed := range []string{"watchdog", "server", "both"} {
		server := start(t, devstack.Options{})
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
		if err := server.Stop(t.Context()); err != nil {
			t.Errorf("%s killed: %s", killed, err)
		}
		leavesNothing(t, folder, server.Port())
	}
}
