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
	folder
	port int
	// input is the watchdog's standard input. Its end is the server's end.
	input io.WriteCloser
	// group is the process group of the watchdog and of what it starts.
	group int
	// done is closed when the watchdog has ended.
	done chan struct{}
}

// command is what the watchdog runs: the functions that it needs, their arguments, and settings of its environment.
type command struct {
	functions   string
	arguments   []string
	environment []string
}

// watch starts the watchdog of a folder; the server itself starts when the watchdog is told so.
func watch(f folder, port int, c command) (*process, error) {
	// Not CommandContext: the watchdog must outlive a cancelled context in order to clean up.
	arguments := append([]string{"-c", c.functions + watchdog, "watchdog", f.dir}, c.arguments...)
	cmd := exec.Command("sh", arguments...) //nolint:noctx // See above.
	cmd.Env = append(os.Environ(), c.environment...)
	// A session of its own keeps Ctrl-C in the terminal from ending the server before those who use it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: f.credential}
	input, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(f.dir))
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait() // so that it does not stay as a zombie; its status says nothing
	}()
	return &process{folder: f, port: port, input: input, group: cmd.Process.Pid, done: done}, nil
}

// tell writes a line to the watchdog.
func (p *process) tell(line string) error {
	_, err := fmt.Fprintln(p.input, line)
	return err
}

// stop ends the server and waits until its watchdog has removed the folder. It may be called again.
func (p *process) stop(ctx context.Context) error {
	_ = p.input.Close() // It may be closed already.
	select {
	case <-p.done:
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Minute):
		return fmt.Errorf("the server in %s did not stop", p.dir)
	}
	return p.removeRemains()
}

// kill ends the server at once, as a crash would. Its folder stays, and start starts it again.
func (p *process) kill(ctx context.Context) error {
	if err := p.tell("kill"); err != nil {
		return err
	}
	for !p.ended() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(poll):
		}
	}
	return nil
}

// removeRemains cleans up after a watchdog that was killed. After any other there is nothing to do.
func (p *process) removeRemains() error {
	for deadline := time.Now().Add(10 * time.Second); exists(p.dir); <-time.After(poll) {
		alive, late := syscall.Kill(-p.group, syscall.SIGQUIT) == nil, time.Now().After(deadline)
		if alive && !late {
			continue
		}
		// Processes of the server that end by themselves may still write into the folder, which then takes another try.
		if err := os.RemoveAll(p.dir); err != nil && late {
			return err
		}
	}
	return nil
}

// ended tells that the server ended by itself.
func (p *process) ended() bool { return exists(filepath.Join(p.dir, "ended")) }

// logTail is the end of the server's log, for error texts.
func (p *process) logTail() string {
	text, err := os.ReadFile(filepath.Join(p.dir, "log"))
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-10):], "\n")
}

// start starts the server, and stops it again if it does not come to answer.
func (p *process) start(ctx context.Context, o Options, what string, answers func(context.Context) error) error {
	err := os.RemoveAll(filepath.Join(p.dir, "ended")) // A kill left it, which must not be taken for the end of what starts now.
	if err == nil {
		err = p.tell("start")
	}
	if err == nil {
		err = withProgress(o, "Starting "+what, func() error { return p.await(ctx, what, answers) })
	}
	if err != nil {
		return errors.Join(err, p.stop(context.WithoutCancel(ctx)))
	}
	return nil
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
