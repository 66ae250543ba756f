package devstack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/jackc/pgx/v5"
)

// ErrNoStandby says why a server cannot get a standby.
var ErrNoStandby = errors.New("only a server whose programs are on this machine gets a standby, not an existing one or a container")

// ReplicationHBA is the rule with which a server is started that is to have a standby.
const ReplicationHBA = "hostssl replication " + administrator + " 127.0.0.1/32 cert"

// StartStandby starts a hot standby of a server that was started with [ReplicationHBA]. It has the same roles and trusts the same
// certificates. [Postgres.Stop] ends it, too.
func (p *Postgres) StartStandby(ctx context.Context, o Options) (*Postgres, error) {
	if p.ca == nil || p.process == nil {
		return nil, ErrNoStandby
	}
	from, err := findSource(ctx, o)
	if err != nil {
		return nil, err
	}
	if from.bin == "" {
		return nil, ErrNoStandby
	}
	return onFreePort(func(port int) (*Postgres, error) { return p.startStandby(ctx, o, from, port) })
}

func (p *Postgres) startStandby(ctx context.Context, o Options, from source, port int) (*Postgres, error) {
	f, err := newFolder("brownie-standby-", p.process.credential)
	if err != nil {
		return nil, err
	}
	arguments := append([]string{from.bin, "-h", "127.0.0.1", "-p", strconv.Itoa(port)},
		serverArguments(o, filepath.Join(f.dir, "server"))...)
	// From here on the watchdog removes the folder, whatever happens.
	watched, err := watch(f, port, command{functions: programsServer, arguments: arguments})
	if err != nil {
		return nil, err
	}
	standby := &Postgres{
		process: watched, host: p.host, port: port, user: administrator, ca: p.ca, certificates: map[string]Certificate{},
	}
	if err := errors.Join(standby.configure(o, false), p.copyTo(ctx, f)); err != nil {
		return nil, errors.Join(err, watched.stop(context.WithoutCancel(ctx)))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.standbys = append(p.standbys, standby)
	return standby, watched.start(ctx, o, "standby of PostgreSQL "+from.major, func(ctx context.Context) error {
		_, err := standby.startedAt(ctx)
		return err
	})
}

// copyTo copies the data while the server runs (PostgreSQL manual, section 26.3.4): its programs have no pg_basebackup.
func (p *Postgres) copyTo(ctx context.Context, f folder) error {
	conn, err := pgx.Connect(ctx, p.URL("postgres"))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, `SELECT pg_backup_start('standby', true)`); err != nil {
		return err
	}
	data := filepath.Join(f.dir, "data")
	if output, err := exec.CommandContext(ctx, "cp", "-a", filepath.Join(p.process.dir, "data"), data).CombinedOutput(); err != nil {
		return fmt.Errorf("cannot copy the server's data: %w: %s", err, output)
	}
	var label string
	if err := conn.QueryRow(ctx, `SELECT labelfile FROM pg_backup_stop(false)`).Scan(&label); err != nil {
		return err
	}
	login, err := p.ClientCertificate(administrator)
	if err != nil {
		return err
	}
	content := map[string]string{"data/backup_label": label, "data/standby.signal": "", "initialized": ""}
	for name, file := range map[string]string{"replication.crt": login.CertFile, "replication.key": login.KeyFile} {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		content[name] = string(text)
	}
	content["data/postgresql.auto.conf"] = fmt.Sprintf("primary_conninfo = 'host=%s port=%d user=%s sslmode=verify-ca sslrootcert=%s "+
		"sslcert=../replication.crt sslkey=../replication.key'\n", p.host, p.port, administrator, filepath.Join(f.dir, "ca.crt"))
	return errors.Join(f.write("", content), os.Remove(filepath.Join(data, "postmaster.pid")))
}
