package devstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// poll is the time between two looks at a server.
const poll = 20 * time.Millisecond

// process is a server's process and its folder.
type process struct {
	dir       string
	port      int
	container string         // name of the server's container, else empty
	input     io.WriteCloser // the watchdog's
	// done is closed when the watchdog has ended.
	done chan struct{}
}

// command is what the watchdog runs: the functions that it needs, and their arguments.
type command struct {
	functions string
	container string
	arguments []string
}

// watch starts the watchdog of a folder; the server itself starts when the watchdog is told so.
func watch(f *files, port int, c command) (*process, error) {
	// Not CommandContext: the watchdog must outlive a cancelled context in order to clean up.
	arguments := append([]string{"-c", c.functions + watchdog, "watchdog", f.dir}, c.arguments...)
	cmd := exec.Command("sh", arguments...) //nolint:noctx // See above.
	// A session of its own keeps Ctrl-C in the terminal from ending the server before those who use it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: f.credential}
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, input.Close())
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait() // so that it does not stay as a zombie; its status says nothing
	}()
	return &process{dir: f.dir, port: port, container: c.container, input: input, done: done}, nil
}

// tell writes a line to the watchdog.
func (p *process) tell(line string) error {
	_, err := fmt.Fprintln(p.input, line)
	return err
}

// stop ends the server and waits until its folder is gone. A watchdog that was killed cannot remove it.
func (p *process) stop(ctx context.Context) error {
	_ = p.tell("stop") // who does not hear it is noticed below
	_ = p.input.Close()
	select {
	case <-p.done:
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Minute):
		return fmt.Errorf("the server in %s did not stop", p.dir)
	}
	if _, err := os.Stat(p.dir); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return p.removeRemains(ctx)
}

// removeRemains cleans up after a server whose watchdog is gone.
func (p *process) removeRemains(ctx context.Context) error {
	if p.container != "" {
		if err := docker(ctx, "rm", "--force", "--volumes", p.container); err != nil {
			return err
		}
	}
	if text, err := os.ReadFile(filepath.Join(p.dir, "pid")); err == nil {
		if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && belongsTo(pid, p.dir) {
			_ = syscall.Kill(pid, syscall.SIGQUIT)
			for range 500 { // ten seconds at most: a server that is told to quit ends its own processes within five
				if syscall.Kill(pid, 0) != nil {
					break
				}
				<-time.After(poll)
			}
		}
	}
	// Processes of the server that end by themselves may still write into the folder.
	for tries := 0; ; tries++ {
		if err := os.RemoveAll(p.dir); err == nil || tries == 500 {
			return err
		}
		<-time.After(poll)
	}
}

// belongsTo tells whether a process is the server of a folder. After a restart of the machine the number may be
// another process's.
func belongsTo(pid int, dir string) bool {
	// Not every Linux has ps; what else can run the server has no /proc.
	arguments, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		arguments, err = exec.Command("ps", "-o", "args=", "-p", strconv.Itoa(pid)).Output() //nolint:noctx // It answers at once.
	}
	return err == nil && strings.Contains(string(arguments), dir)
}

// ended tells that the server ended by itself.
func (p *process) ended() bool {
	_, err := os.Stat(filepath.Join(p.dir, "ended"))
	return err == nil
}

// logTail is the end of the server's log, for error texts.
func (p *process) logTail() string {
	text, err := os.ReadFile(filepath.Join(p.dir, "log"))
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-10):], "\n")
}

// await tries until it succeeds, the server ends, or the server says something else than that it is starting.
func (p *process) await(ctx context.Context, what string, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		var refused *pgconn.PgError
		if errors.As(err, &refused) && !strings.HasPrefix(refused.Code, "57") {
			return err // it runs and does not want us; waiting does not help
		}
		if p.ended() {
			return fmt.Errorf("%s ended while it was starting:\n%s", what, p.logTail())
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s did not answer: %w\n%s", what, errors.Join(ctx.Err(), err), p.logTail())
		case <-time.After(poll):
		}
	}
}

// onFreePort starts something on a free port, and again when somebody else takes the port before it listens.
func onFreePort[T any](start func(port int) (T, error)) (T, error) {
	for attempt := 1; ; attempt++ {
		port, err := freePort()
		if err != nil {
			var none T
			return none, err
		}
		started, err := start(port)
		if err == nil || attempt == 3 || !portTaken(port) {
			return started, err
		}
	}
}

// freePort finds a port that nobody listens on. Somebody may take it before the server does; see [onFreePort].
func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // It does not wait.
	if err != nil {
		return 0, err
	}
	defer func() { _ = listener.Close() }()
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		return 0, errors.New("a TCP listener has no TCP address")
	}
	return address.Port, nil
}

// portTaken tells that somebody listens on a port.
func portTaken(port int) bool {
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))) //nolint:noctx // It does not wait.
	if err != nil {
		return true
	}
	_ = listener.Close()
	return false
}

// withProgress runs something that may take long, and says so after a second and then every few seconds.
func withProgress(o Options, what string, run func() error) error {
	done := make(chan error, 1)
	began := time.Now()
	go func() { done <- run() }()
	delay := time.Second
	for {
		select {
		case err := <-done:
			return err
		case <-time.After(delay):
			o.log("%s … %d s", what, int(time.Since(began).Seconds()))
			delay = 3 * time.Second
		}
	}
}
