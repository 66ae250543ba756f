package devstack

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// prepareContainer is run in the container before the image's own start script: files that were copied in belong to
// root, and the server reads a key only when it is its own.
const prepareContainer = `
install -d -o postgres /etc/brownie
install -o postgres -m 600 /brownie/* /etc/brownie
exec docker-entrypoint.sh "$@"`

func dockerAnswers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	return exec.CommandContext(ctx, "docker", "version", "--format", "{{.Server.Version}}").Run() == nil
}

// startContainer starts a server in a container of the official image. Its files are copied in, since the daemon need
// not see this machine's file system.
func startContainer(ctx context.Context, o Options, major string, f *files) (*process, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	name, image := filepath.Base(f.dir), "postgres:"+major
	err = withProgress(o, "Fetching the image "+image, func() error {
		return docker(ctx, "pull", "--quiet", image)
	})
	if err != nil {
		return nil, err
	}
	// The image insists on a password for its superuser or on trust; its pg_hba.conf is replaced, so that neither counts.
	err = docker(ctx, "create", "--name", name, "--label", "brownie-devstack=true",
		"--publish", "127.0.0.1:"+strconv.Itoa(port)+":5432", "--env", "POSTGRES_HOST_AUTH_METHOD=trust",
		"--entrypoint", "bash", image, "-c", prepareContainer, "entrypoint", "postgres",
		"-c", "hba_file=/etc/brownie/pg_hba.conf", "-c", "ssl=on", "-c", "ssl_ca_file=/etc/brownie/ca.crt",
		"-c", "ssl_cert_file=/etc/brownie/server.crt", "-c", "ssl_key_file=/etc/brownie/server.key",
		"-c", "fsync=off", "-c", "full_page_writes=off", "-c", "max_connections=300")
	if err != nil {
		return nil, err
	}
	if err := docker(ctx, "cp", f.dir+"/.", name+":/brownie"); err != nil {
		_ = docker(context.WithoutCancel(ctx), "rm", "--force", name)
		return nil, err
	}
	// Attached, the client passes signals on to the server, so that the watchdog treats it like the server itself.
	return start(o, f, port, name, "docker", "start", "--attach", name)
}

func docker(ctx context.Context, arguments ...string) error {
	if output, err := exec.CommandContext(ctx, "docker", arguments...).CombinedOutput(); err != nil {
		return fmt.Errorf("docker %s failed: %w\n%s", arguments[0], err, output)
	}
	return nil
}
