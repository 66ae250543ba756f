package devstack

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// cached returns the path of something in the cache, which is fetched at the first use. Its name carries a digest of what
// it is made of, so that an update never runs yesterday's programs.
func cached(ctx context.Context, o Options, name, what string, fetch func(unfinished string) error) (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	target := filepath.Join(cache, name)
	if exists(target) {
		return target, nil
	}
	if err := makeCache(cache); err != nil {
		return "", err
	}
	o.log("%s …", what)
	return target, withProgress(o, what, func() error {
		unlock, err := Lock(ctx, target+".lock")
		if err != nil {
			return err
		}
		defer unlock()
		if exists(target) {
			return nil // another process fetched it while this one waited
		}
		unfinished := target + ".unfinished"
		if err := os.RemoveAll(unfinished); err != nil { // A killed process left it, since the lock is held.
			return err
		}
		defer func() { _ = os.RemoveAll(unfinished) }()
		if err := fetch(unfinished); err != nil {
			return err
		}
		return os.Rename(unfinished, target)
	})
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:6])
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

// makeCache makes the cache folder, which the user that runs the server can read whatever the umask is. One that is there
// already keeps its permissions, since somebody chose them.
func makeCache(folder string) error {
	if exists(folder) {
		return nil
	}
	if err := os.MkdirAll(folder, 0o755); err != nil { //nolint:gosec // See above.
		return err
	}
	return os.Chmod(folder, 0o755) //nolint:gosec // See above.
}

// Lock makes processes take turns. The kernel lets go of the lock when a process dies.
func Lock(ctx context.Context, path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
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

func runIn(ctx context.Context, folder, program string, arguments ...string) error {
	cmd := exec.CommandContext(ctx, program, arguments...)
	cmd.Dir = folder
	cmd.WaitDelay = 5 * time.Second // a process that npm started may keep the output open after npm was ended
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, output)
	}
	return nil
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
