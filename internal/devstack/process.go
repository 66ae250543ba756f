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
)

// watchdog is a shell script that runs a server for as long as its standard input stays open, so that nothing is left
// when the process that holds the other end ends, by whatever cause. Its arguments are the server's folder, the name of
// the server's container or an empty string, and the command of the server. A line "restart" crashes the server and
// starts it again; "stop" or the end of the input stops it and removes the folder and the container.
const watchdog = `
folder=$1 container=$2
shift 2
cd "$folder"
if [ -p control ]; then exec <>control; fi  # detached: lines come from whoever writes to the pipe, and it never ends
start() {
	rm -f pid ended
	( "$@" </dev/null >>log 2>&1 & echo $! >pid; wait $!; : >ended ) & keeper=$!
	until [ -s pid ]; do sleep 0.01; done
	read -r server <pid
}
start "$@"
while read -r line; do
	case $line in
	restart) kill -QUIT $server; wait $keeper; start "$@" ;;
	stop) break ;;
	esac
done
kill -INT $server
( sleep 20 & nap=$!; trap 'kill $nap; exit' TERM; wait $nap; kill -QUIT $server ) & late=$!
wait $keeper
kill $late
wait $late
if [ -n "$container" ]; then docker rm --force --volumes "$container"; fi
cd /
rm -rf "$folder"
`

const (
	controlFile   = "control"
	authorityFile = "authority.pem"
)

// process is a server's process and its folder.
type process struct {
	dir  string
	port int
	// input is the watchdog's standard input; a detached server has none and is told through a pipe's file.
	input io.WriteCloser
}

// start runs the server's command under the watchdog.
func start(o Options, f *files, port int, container string, command ...string) (*process, error) {
	p := &process{dir: f.dir, port: port}
	// Not CommandContext: the watchdog must outlive a cancelled context in order to clean up.
	cmd := exec.Command("sh", append([]string{"-c", watchdog, "watchdog", f.dir, container}, command...)...) //nolint:noctx // See above.
	// A group of its own keeps Ctrl-C in the terminal from ending the server before those who use it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: f.credential}
	if o.Detached {
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: f.credential}
		control := filepath.Join(f.dir, controlFile)
		if err := syscall.Mkfifo(control, 0o600); err != nil {
			return nil, err
		}
		if f.credential != nil {
			if err := os.Chown(control, int(f.credential.Uid), int(f.credential.Gid)); err != nil {
				return nil, err
			}
		}
		return p, cmd.Start()
	}
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	p.input = input
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() { _ = cmd.Wait() }() // so that it does not stay as a zombie; its status says nothing
	return p, nil
}

// tell writes a line to the watchdog.
func (p *process) tell(line string) error {
	if p.input != nil {
		_, err := fmt.Fprintln(p.input, line)
		return err
	}
	// Without a reader the open fails instead of waiting for one.
	control, err := os.OpenFile(filepath.Join(p.dir, controlFile), os.O_WRONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(control, line)
	return errors.Join(err, control.Close())
}

// stop ends the server and waits until its folder is gone.
func (p *process) stop(ctx context.Context) error {
	err := p.tell("stop")
	switch {
	case p.input != nil:
		_ = p.input.Close() // also ends a watchdog that the line did not reach
	case errors.Is(err, syscall.ENXIO), errors.Is(err, os.ErrNotExist):
		return p.removeRemains()
	case err != nil:
		return err
	}
	deadline := time.After(time.Minute)
	for {
		if _, err := os.Stat(p.dir); errors.Is(err, os.ErrNotExist) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline:
			return fmt.Errorf("the server in %s did not stop", p.dir)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// removeRemains cleans up after a detached server whose watchdog is gone, for example because the machine was restarted.
func (p *process) removeRemains() error {
	if text, err := os.ReadFile(filepath.Join(p.dir, "data", "postmaster.pid")); err == nil {
		first, _, _ := strings.Cut(string(text), "\n")
		if pid, err := strconv.Atoi(first); err == nil && belongsTo(pid, p.dir) {
			_ = syscall.Kill(pid, syscall.SIGQUIT)
			for range 100 { // at most two seconds: a server that is told to quit writes nothing more
				if syscall.Kill(pid, 0) != nil {
					break
				}
				<-time.After(20 * time.Millisecond)
			}
		}
	}
	return os.RemoveAll(p.dir)
}

// belongsTo tells whether a process is the server of a folder. After a restart of the machine the number may be
// another process's.
func belongsTo(pid int, dir string) bool {
	command, err := exec.Command("ps", "-o", "args=", "-p", strconv.Itoa(pid)).Output() //nolint:noctx // It answers at once.
	return err == nil && strings.Contains(string(command), dir)
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

// freePort finds a port that nobody listens on. Somebody may take it before the server does; then the start fails.
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

// withProgress runs something that may take long and says so every few seconds.
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
