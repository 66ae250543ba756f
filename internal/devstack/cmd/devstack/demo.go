package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"filippo.io/age"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
)

const database = "brownie_metadata"

// demo is the folder of a demo. One process at a time runs its servers, and holds the lock.
type demo string

func (d demo) settings() string { return filepath.Join(string(d), "servers.env") }

// end makes the process that runs the servers end, if there is one, and takes its lock.
func (d demo) end(ctx context.Context) (unlock func(), err error) {
	if err := os.Remove(d.settings()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	return devstack.Lock(ctx, filepath.Join(string(d), "lock"))
}

// up runs the servers until somebody removes the file with their settings, or ends this process. Should it be killed, their
// watchdogs end them.
func up(ctx context.Context, options devstack.Options, vault string, d demo, clients []string) (err error) {
	unlock, err := d.end(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	_, _ = syscall.Setsid() // The end of the terminal is not the servers'. It fails for who has a session already.

	tools := clientTools(ctx, &options)
	server, err := devstack.StartPostgres(ctx, options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop(context.WithoutCancel(ctx))) }()
	if err := server.CreateDatabase(ctx, database, ""); err != nil {
		return err
	}
	settings := server.Env(database)
	pooler, err := server.StartPooler(ctx, options)
	switch {
	case err == nil:
		settings = append(settings, "BROWNIE_POOLER_HOST="+pooler.Host(), "BROWNIE_POOLER_PORT="+strconv.Itoa(pooler.Port()))
	case errors.Is(err, devstack.ErrNoPooler):
		options.Log("Going on without a pooler: %s", err)
	default:
		return err
	}
	if vault == "build" || vault == "" && devstack.VaultAtHand(ctx) {
		v, err := startVault(ctx, options, server)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, v.Stop(context.WithoutCancel(ctx))) }()
		settings = append(settings, v.Env()...)
	} else if err := issue(server, d, clients); err != nil {
		return err
	}
	if tools != "" {
		backups, err := prepareBackups(ctx, options, server, tools, d)
		if err != nil {
			return err
		}
		settings = append(settings, backups...)
	}
	if err := d.publish(settings); err != nil {
		return err
	}
	for ctx.Err() == nil && exists(d.settings()) {
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// publish writes the settings, each a name and a value, for a shell. The file appears when it is whole. Only its owner can
// read it, since it has Vault's token.
func (d demo) publish(settings []string) error {
	var text strings.Builder
	for _, setting := range settings {
		name, value, _ := strings.Cut(setting, "=")
		fmt.Fprintf(&text, "export %s='%s'\n", name, strings.ReplaceAll(value, "'", `'\''`))
	}
	unfinished := d.settings() + ".unfinished"
	if err := os.WriteFile(unfinished, []byte(text.String()), 0o600); err != nil {
		return err
	}
	return os.Rename(unfinished, d.settings())
}

// clientTools is the folder of PostgreSQL's client programs, if there are any that can back up the demo's server: it becomes one of
// their major version, unless somebody wants another.
func clientTools(ctx context.Context, options *devstack.Options) (folder string) {
	folder, err := devstack.ClientTools(ctx)
	var major string
	if err == nil {
		major, err = devstack.ClientToolsMajor(ctx, folder)
	}
	if wanted := os.Getenv("BROWNIE_PG_VERSION"); err == nil && wanted != "" && wanted != major {
		err = fmt.Errorf("the programs in %s are of version %s", folder, major)
	}
	if err != nil {
		options.Log("Going on without a backup: %s", err)
		return ""
	}
	options.Major = major
	return folder
}

// prepareBackups makes what a runner of backups needs, and returns the settings for it.
func prepareBackups(ctx context.Context, options devstack.Options, server *devstack.Postgres, tools string, d demo) ([]string, error) {
	programs, err := devstack.ServerPrograms(ctx, options, options.Major)
	if err != nil {
		return nil, err
	}
	if err := issue(server, d, []string{"brownie-backup"}); err != nil {
		return nil, err
	}
	// The second identity would be kept elsewhere.
	var recipients []string
	for _, name := range []string{"backups.identity", "backups.second-identity"} {
		identity, err := age.GenerateX25519Identity()
		if err == nil {
			err = os.WriteFile(filepath.Join(string(d), name), []byte(identity.String()+"\n"), 0o600)
		}
		if err != nil {
			return nil, err
		}
		recipients = append(recipients, identity.Recipient().String())
	}
	return []string{
		"BROWNIE_BACKUP_TOOLS=" + tools, "BROWNIE_BACKUP_SERVER_PROGRAMS=" + programs,
		"BROWNIE_BACKUP_RECIPIENTS=" + strings.Join(recipients, " "),
	}, os.MkdirAll(filepath.Join(string(d), "backups"), 0o700)
}

// issue has the server's own authority issue the clients' certificates.
func issue(server *devstack.Postgres, d demo, clients []string) error {
	for _, client := range clients {
		certificate, err := server.ClientCertificate(client)
		if err != nil {
			return err
		}
		files := map[string]string{"tls.key": certificate.KeyPEM, "tls.crt": certificate.CertPEM, "ca.crt": server.CAPEM()}
		if err := d.writeClient(client, files); err != nil {
			return err
		}
	}
	return nil
}

// writeClient writes what a client logs in with.
func (d demo) writeClient(client string, files map[string]string) error {
	folder := filepath.Join(string(d), "clients", client)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}
