package devstack

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// containerFolder is where a server in a container finds its configuration and certificates.
const containerFolder = "/etc/brownie"

// dockerAnswers tells that a Docker daemon can be used.
func dockerAnswers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	return exec.CommandContext(ctx, "docker", "version", "--format", "{{.Server.Version}}").Run() == nil
}

// fetchImage makes sure that the daemon has an image.
func fetchImage(ctx context.Context, o Options, image string) error {
	if docker(ctx, "image", "inspect", "--format", "{{.Id}}", image) == nil {
		return nil // no registry is asked, so that it works offline and counts towards no limit
	}
	return withProgress(o, "Fetching the image "+image, func() error { return docker(ctx, "pull", "--quiet", image) })
}

// containerCommand is how the watchdog runs a container of the official image.
func containerCommand(o Options, dir string, port int, major string) command {
	arguments := append([]string{
		filepath.Base(dir), "--label", "brownie-devstack=true", "--publish", "127.0.0.1:" + strconv.Itoa(port) + ":5432",
		"--entrypoint", "bash", "postgres:" + major, "-c", inContainer, "postgres", "-h", "*",
	}, serverArguments(o, containerFolder)...)
	return command{functions: containerServer, arguments: arguments}
}

func docker(ctx context.Context, arguments ...string) error {
	if output, err := exec.CommandContext(ctx, "docker", arguments...).CombinedOutput(); err != nil {
		return fmt.Errorf("docker %s failed: %w\n%s", arguments[0], err, output)
	}
	return nil
}
