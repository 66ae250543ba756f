package devstack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// ErrNoPooler says that there is no PgBouncer for this machine, and how to get one.
var ErrNoPooler = errors.New("no PgBouncer can be had: install it, for example with apt-get install pgbouncer or brew install pgbouncer")

// poolerProgram is how PgBouncer is run.
type poolerProgram struct {
	path      string
	libraries string // folder of libraries that the system may not have, else empty
}

// poolerLibraries are the packages of PgBouncer's libraries that not every Debian has; the rest is part of any. Some
// releases write their names otherwise.
var poolerLibraries = regexp.MustCompile(`\blib(event|c-?ares)[a-z0-9.-]*`)

// preparePooler finds PgBouncer, or fetches it at the first use.
func preparePooler(ctx context.Context, o Options) (poolerProgram, error) {
	for _, name := range []string{"pgbouncer", "/usr/sbin/pgbouncer"} { // where packages put it, and not on everybody's PATH
		if path, err := exec.LookPath(name); err == nil {
			return poolerProgram{path: path}, nil
		}
	}
	return fetchedPooler(ctx, o)
}

// fetchedPooler finds what was fetched for this machine, or fetches it.
func fetchedPooler(ctx context.Context, o Options) (poolerProgram, error) {
	for _, needed := range []string{"apt-get", "dpkg-deb"} {
		if _, err := exec.LookPath(needed); err != nil {
			return poolerProgram{}, ErrNoPooler
		}
	}
	cache, err := cacheDir()
	if err != nil {
		return poolerProgram{}, err
	}
	target := filepath.Join(cache, "pgbouncer")
	if program, err := unpackedPooler(ctx, target); err == nil {
		return program, nil
	}
	if err := makeCache(cache); err != nil {
		return poolerProgram{}, err
	}
	o.log("Fetching PgBouncer …")
	var program poolerProgram
	err = withProgress(o, "Fetching PgBouncer", func() (err error) {
		unlock, err := lockFile(ctx, target+".lock")
		if err != nil {
			return err
		}
		defer unlock()
		if program, err = unpackedPooler(ctx, target); err == nil {
			return nil // another process fetched it while this one waited
		}
		if err = fetchPooler(ctx, target); err != nil {
			return fmt.Errorf("%w (its package cannot be fetched: %w)", ErrNoPooler, err)
		}
		program, err = unpackedPooler(ctx, target)
		return err
	})
	return program, err
}

// unpackedPooler finds what fetchPooler unpacked. It fails when that does not run, such as after an upgrade of the system.
func unpackedPooler(ctx context.Context, target string) (poolerProgram, error) {
	folders, err := filepath.Glob(filepath.Join(target, "usr", "lib", "*-linux-*"))
	if err != nil {
		return poolerProgram{}, err
	}
	program := poolerProgram{path: filepath.Join(target, "usr", "sbin", "pgbouncer"), libraries: strings.Join(folders, ":")}
	cmd := exec.CommandContext(ctx, program.path, "--version")
	cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+program.libraries)
	if output, err := cmd.CombinedOutput(); err != nil {
		return poolerProgram{}, fmt.Errorf("%w\n%s", err, output)
	}
	return program, nil
}

// fetchPooler lets apt fetch and verify the packages into a folder beside the target, and moves it there when it is
// whole. Nothing is installed, so that nobody has to be root and no service is started.
func fetchPooler(ctx context.Context, target string) error {
	unfinished := target + ".unfinished"
	defer func() { _ = os.RemoveAll(unfinished) }()
	// The lock is held, so that such a folder is what a killed process left.
	if err := errors.Join(os.RemoveAll(unfinished), os.Mkdir(unfinished, 0o755)); err != nil { //nolint:gosec // The user that runs the pooler must be able to read it.
		return err
	}
	if err := runIn(ctx, unfinished, "apt-get", "download", "pgbouncer"); err != nil {
		return err
	}
	packages, err := filepath.Glob(filepath.Join(unfinished, "*.deb"))
	if err != nil || len(packages) != 1 {
		return fmt.Errorf("apt-get left %v: %w", packages, err)
	}
	depends, err := exec.CommandContext(ctx, "dpkg-deb", "--field", packages[0], "Depends").Output()
	if err != nil {
		return err
	}
	if libraries := poolerLibraries.FindAllString(string(depends), -1); len(libraries) > 0 {
		if err := runIn(ctx, unfinished, "apt-get", append([]string{"download"}, libraries...)...); err != nil {
			return err
		}
	}
	if packages, err = filepath.Glob(filepath.Join(unfinished, "*.deb")); err != nil {
		return err
	}
	for _, file := range packages {
		if err := errors.Join(runIn(ctx, unfinished, "dpkg-deb", "--extract", file, "."), os.Remove(file)); err != nil {
			return err
		}
	}
	if _, err := unpackedPooler(ctx, unfinished); err != nil {
		return fmt.Errorf("it does not run: %w", err)
	}
	// An umask may have kept others out, for example the user that runs the pooler.
	if err := errors.Join(readableByAll(unfinished), os.RemoveAll(target)); err != nil {
		return err
	}
	return os.Rename(unfinished, target)
}
