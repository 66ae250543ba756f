package devstack

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// builtProgram is a server that is built from its source, once, in a module of its own.
type builtProgram struct {
	what    string   // for people
	module  string   // the folder of the module, and what the cache's name begins with
	program string   // the import path
	flags   []string // of the build
	instead string   // what to do where there is no source
}

// path builds the program unless the cache has it.
func (b builtProgram) path(ctx context.Context, o Options) (string, error) {
	folder, name, err := b.source(ctx)
	if err != nil {
		return "", err
	}
	return cached(ctx, o, name, "Building "+b.what+" from its source, once", func(unfinished string) error {
		arguments := append([]string{"build", "-trimpath", "-ldflags=-s -w", "-o", unfinished}, b.flags...)
		if err := runIn(ctx, folder, "go", append(arguments, b.program)...); err != nil {
			return fmt.Errorf("%s could not be built: %w", b.what, err)
		}
		return nil
	})
}

// isBuilt tells whether the cache has it.
func (b builtProgram) isBuilt(ctx context.Context) bool {
	_, name, err := b.source(ctx)
	cache, cacheErr := cacheDir()
	return err == nil && cacheErr == nil && exists(filepath.Join(cache, name))
}

// source is the folder of the module that the program is built in, and the name of what is built in the cache.
func (b builtProgram) source(ctx context.Context) (folder, name string, err error) {
	const module = "github.com/longyi-brownie/terraform-provider-brownie"
	output, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return "", "", fmt.Errorf("no %s can be had: %s", b.what, b.instead)
	}
	folder = filepath.Join(strings.TrimSpace(string(output)), "internal", "devstack", b.module)
	manifest, err := os.ReadFile(filepath.Join(folder, "go.mod"))
	return folder, b.module + "-" + digest(manifest), err
}
