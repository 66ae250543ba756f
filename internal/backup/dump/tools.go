package dump

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// Tools runs PostgreSQL's programs.
type Tools struct {
	// Dir is their folder. Empty means that of PATH.
	Dir string
	// Env is how they find the server: libpq's variables (PostgreSQL manual, section 32.15), and nothing of the runner's credentials.
	Env []string
	// credential is the user that runs them. nil means the calling one.
	credential *syscall.Credential
}

// On is the same for another database of the server.
func (t Tools) On(database string) Tools {
	t.Env = append(slices.Clone(t.Env), "PGDATABASE="+database)
	return t
}

// program is one run of a program.
type program struct {
	name      string
	arguments []string
	env       []string // added to those of Tools
	input     io.Reader
	output    io.Writer
	files     []*os.File // from descriptor 3 on
}

// Path is where a program is.
func (t Tools) Path(name string) (string, error) {
	if t.Dir != "" {
		name = filepath.Join(t.Dir, name)
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", problem.New(fmt.Sprintf("there is no program %s", name),
			"Install PostgreSQL's client programs, or name their folder with --bin").Because(err)
	}
	return path, nil
}

// run runs a program to its end. What it says of an error is part of the error.
func (t Tools) run(ctx context.Context, p program) error {
	path, err := t.Path(p.name)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, path, p.arguments...) //nolint:gosec // The command's own flags say which.
	cmd.Cancel = func() error {
		// It may still tell the server. No WaitDelay: that would also count from the program's own end, while a slow store takes the rest.
		time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		return cmd.Process.Signal(syscall.SIGTERM)
	}
	said, out, in := &tail{}, &keepError{w: p.output}, &keepReadError{r: p.input}
	cmd.Env = append(append([]string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}, t.Env...), p.env...)
	cmd.Stderr, cmd.ExtraFiles = said, p.files
	if p.output != nil {
		cmd.Stdout = out
	}
	if p.input != nil {
		cmd.Stdin = in
	}
	if t.credential != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: t.credential}
	}
	err = cmd.Run()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case in.err != nil: // Why the program failed is that it was given no more.
		return in.err
	case out.err != nil:
		return out.err
	case err != nil:
		return &ProgramError{problem.New(fmt.Sprintf("%s failed (%s): %s", p.name, err, said.text()), "").Because(err)}
	}
	return nil
}

// Run runs a program to its end. The environment is added to that of the tools.
func (t Tools) Run(ctx context.Context, name string, env []string, output io.Writer, arguments ...string) error {
	return t.run(ctx, program{name: name, env: env, output: output, arguments: arguments})
}

// ProgramError is what one of PostgreSQL's programs said.
type ProgramError struct{ *problem.Problem }

var lostConnection = regexp.MustCompile(`server closed the connection|connection to server|terminating connection|could not connect|` +
	`the database system is|SSL connection has been closed`)

// Retryable tells that the server went away.
func (e *ProgramError) Retryable() bool { return lostConnection.MatchString(e.Text()) }

var versionPattern = regexp.MustCompile(`\) ((\d+)[^ ]*)`)

// version asks a program for its version.
func (t Tools) version(ctx context.Context, name string) (text string, major int, err error) {
	var out bytes.Buffer
	if err := t.run(ctx, program{name: name, arguments: []string{"--version"}, output: &out}); err != nil {
		return "", 0, err
	}
	found := versionPattern.FindStringSubmatch(out.String())
	if found == nil {
		return "", 0, fmt.Errorf("%s --version says %q", name, out.String())
	}
	major, err = strconv.Atoi(found[2])
	return name + " " + found[1], major, err
}

// tail keeps the last of what a program says.
type tail struct{ kept []byte }

const tailBytes = 4096

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - tailBytes; over > 0 {
		t.kept = append([]byte("…"), t.kept[over:]...)
	}
	return len(p), nil
}

// text leaves out what may show rows: DETAIL and CONTEXT of the server, and whatever follows them.
func (t *tail) text() string {
	var kept []string
	said := true
	for line := range strings.Lines(string(t.kept)) {
		switch {
		case strings.Contains(line, "FATAL:  the database system is starting up"): // Somebody asked whether it is ready.
			continue
		case strings.HasPrefix(line, "pg_") || strings.HasPrefix(line, "initdb") || strings.Contains(line, "ERROR: ") ||
			strings.Contains(line, "FATAL: "):
			said = true
		case strings.HasPrefix(line, "DETAIL:"), strings.HasPrefix(line, "CONTEXT:"), strings.HasPrefix(line, "Command was:"):
			said = false
		}
		if said {
			kept = append(kept, strings.Fields(line)...)
		}
	}
	return strings.Join(kept, " ")
}

// keepError remembers why nothing could be written, which the program's own end hides.
type keepError struct {
	w   io.Writer
	err error
}

func (k *keepError) Write(p []byte) (int, error) {
	n, err := k.w.Write(p)
	if err != nil && k.err == nil {
		k.err = err
	}
	return n, err
}

// keepReadError remembers why nothing more could be read.
type keepReadError struct {
	r   io.Reader
	err error
}

func (k *keepReadError) Read(p []byte) (int, error) {
	n, err := k.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && k.err == nil {
		k.err = err
	}
	return n, err
}
