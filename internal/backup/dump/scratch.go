package dump

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// Scratch is a server of our own, to restore into: nothing of it reaches another server, and nobody but us reaches it. It listens on no
// network, archives nothing, runs no jobs, and is removed in the end.
type Scratch struct {
	Config postgres.Config
	Tools  Tools
	// Data is the folder with its files.
	Data string

	folder   string
	settings []byte // of ALTER SYSTEM, of the server whose files these are
	server   *exec.Cmd
	log      *tail
	ended    chan struct{}
	// lock tells others that the folder is in use.
	lock *os.File
}

// StartScratch starts an empty server by the programs of a folder; empty means PATH. folder is where it keeps its data, and empty the usual
// place for temporary files.
func StartScratch(ctx context.Context, programs string, clients Tools, folder string) (*Scratch, error) {
	// A name that no role of a backup has.
	superuser := "scratch_" + strings.ToLower(rand.Text()[:8])
	return startScratch(programs, clients, folder, superuser, func(s *Scratch, server Tools) error {
		err := server.run(ctx, program{name: "initdb", arguments: []string{
			"--pgdata=" + s.Data, "--username=" + superuser, "--auth=peer", "--no-sync", "--no-instructions", "--encoding=UTF8",
			"--locale=C",
		}})
		if err == nil {
			err = s.start(ctx, server, time.Minute, "wal_level=minimal", "fsync=off", "full_page_writes=off", "synchronous_commit=off")
		}
		return err
	})
}

// Recovery is how a server comes out of a copy of another one's files.
type Recovery struct {
	// Superuser is the one that the other server was made with, and Database is one that it has.
	Superuser, Database string
	// Fill copies the files into the folder.
	Fill func(ctx context.Context, data string) error
	// Settings returns those for the recovery, such as restore_command. What it puts into the folder is the server's.
	Settings func(folder string) ([]string, error)
}

// StartRecovered starts a server with the files of another one, and waits until it has replayed the log and lets people in.
func StartRecovered(ctx context.Context, programs string, clients Tools, folder string, r Recovery) (*Scratch, error) {
	return startScratch(programs, clients, folder, r.Superuser, func(s *Scratch, server Tools) error {
		s.Config.Database = r.Database
		if err := os.Mkdir(s.Data, 0o700); err != nil {
			return err
		}
		if err := r.Fill(ctx, s.Data); err != nil {
			return err
		}
		// What the other server was told to do belongs to its own place; what is written here goes with the files.
		var err error
		if s.settings, err = os.ReadFile(filepath.Join(s.Data, settingsFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, name := range []string{"recovery.signal", settingsFile} {
			if err := os.WriteFile(filepath.Join(s.Data, name), nil, 0o600); err != nil {
				return err
			}
		}
		settings, err := r.Settings(s.folder)
		if err != nil {
			return err
		}
		if err := give(s.folder, server.credential); err != nil {
			return err
		}
		return s.start(ctx, server, 0, append([]string{
			"wal_level=replica", "hot_standby=off", "recovery_target_action=promote", "shared_buffers=128MB", "huge_pages=off",
			"max_prepared_transactions=1000", // as many as the other server may have left
		}, settings...)...)
	})
}

// settingsFile is where ALTER SYSTEM writes.
const settingsFile = "postgresql.auto.conf"

// Keep stops a server in good order and moves its files to a folder that does not exist yet, on the same disk, with the settings that
// ALTER SYSTEM made in the server that they come from.
func (s *Scratch) Keep(data string) error {
	spaces, err := os.ReadDir(filepath.Join(s.Data, "pg_tblspc"))
	if err != nil {
		return err
	}
	if len(spaces) > 0 {
		return problem.New(fmt.Sprintf("the cluster has %d tablespaces, which are not moved to where they belong", len(spaces)),
			"Take the database out of it with --database, or restore the cluster with pgBackRest itself (docs/backup-format.md)")
	}
	if err := s.server.Process.Signal(syscall.SIGINT); err != nil {
		return err
	}
	<-s.ended
	if state := s.server.ProcessState; !state.Success() {
		return problem.New("the restored server does not stop in good order: "+s.log.text(), "")
	}
	file := filepath.Join(s.Data, settingsFile)
	if err := os.WriteFile(file, s.settings, 0o600); err != nil {
		return err
	}
	return os.Rename(s.Data, data)
}

func startScratch(programs string, clients Tools, folder, superuser string, fill func(*Scratch, Tools) error) (
	_ *Scratch, err error,
) {
	if folder == "" {
		folder = os.TempDir()
	}
	if err := removeLeftovers(folder); err != nil {
		return nil, err
	}
	s := &Scratch{log: &tail{}, ended: make(chan struct{})}
	if s.folder, err = os.MkdirTemp(folder, scratchPrefix); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop())
		}
	}()
	if s.lock, err = lockFolder(s.folder); err != nil {
		return nil, err
	}
	credential, err := ordinaryUser()
	if err != nil {
		return nil, err
	}
	if credential != nil {
		if err := os.Chown(s.folder, int(credential.Uid), int(credential.Gid)); err != nil {
			return nil, err
		}
	}
	s.Data = filepath.Join(s.folder, "data")
	s.Config = postgres.Config{
		Host: s.folder, Database: "postgres", Username: superuser, SSLMode: "disable", ApplicationName: "brownie-backup",
	}.WithDefaults()
	s.Tools = Tools{Dir: clients.Dir, Env: []string{"PGHOST=" + s.folder, "PGUSER=" + superuser, "PGDATABASE=postgres"}}
	err = fill(s, Tools{Dir: programs, credential: credential})
	return s, err
}

// start starts the server and waits for it, for some time; 0 is as long as the context lasts.
func (s *Scratch) start(ctx context.Context, server Tools, patience time.Duration, settings ...string) error {
	if err := s.letIn(server.credential); err != nil {
		return err
	}
	path, err := server.Path("postgres")
	if err != nil {
		return err
	}
	arguments := []string{"-D", s.Data, "-k", s.folder}
	for _, setting := range append([]string{
		"config_file=" + s.file("postgresql.conf"), "hba_file=" + s.file("pg_hba.conf"), "ident_file=" + s.file("pg_ident.conf"),
		"listen_addresses=", "unix_socket_permissions=0700", "archive_mode=off", "shared_preload_libraries=",
		"max_logical_replication_workers=0", "max_wal_senders=0", "max_wal_size=4GB",
	}, settings...) {
		arguments = append(arguments, "-c", setting)
	}
	// It ends when it is told to, not with the context of who starts it.
	s.server = exec.CommandContext(context.WithoutCancel(ctx), path, arguments...) //nolint:gosec // the command's own flag says which
	s.server.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	s.server.Stderr, s.server.Stdout = s.log, s.log
	s.server.SysProcAttr = &syscall.SysProcAttr{Credential: server.credential}
	endsWithUs(s.server.SysProcAttr)
	if err := s.server.Start(); err != nil {
		return err
	}
	go func() {
		_ = s.server.Wait()
		close(s.ended)
	}()
	return s.wait(ctx, patience)
}

func (s *Scratch) file(name string) string { return filepath.Join(s.folder, name) }

// give makes files those of the server's user.
func give(folder string, credential *syscall.Credential) error {
	if credential == nil {
		return nil
	}
	return filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, int(credential.Uid), int(credential.Gid))) //nolint:gosec // The folder is our own.
	})
}

// wait waits until the server lets people in.
func (s *Scratch) wait(ctx context.Context, patience time.Duration) error {
	db := postgres.New(s.Config) //nolint:contextcheck // Its connections outlive each call.
	defer db.Close()
	pause := 50 * time.Millisecond
	for deadline := time.Now().Add(patience); ; {
		_, err := postgres.QueryOne[struct{ One int32 }](ctx, db, `SELECT 1 AS one`)
		if err == nil {
			return nil
		}
		if told := (*pgconn.PgError)(nil); errors.As(err, &told) && told.Code != "57P03" { // cannot_connect_now
			return s.closed(told)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.ended:
			return problem.New("the scratch server does not start: "+s.log.text(), "").Because(err)
		case <-time.After(pause):
			pause = min(2*pause, time.Second) // Each attempt is a line of the server's log.
		}
		if patience > 0 && time.Now().After(deadline) {
			return problem.New("the scratch server lets nobody in: "+s.log.text(), "").Because(err)
		}
	}
}

// closed explains why the server, which runs, lets nobody in. That does not pass by itself.
func (s *Scratch) closed(told *pgconn.PgError) error {
	// The log holds a DROP DATABASE somewhat before the moment at which it is done, and what is half dropped is invalid.
	if slices.Contains([]string{"3D000", "55000"}, told.Code) {
		return problem.New(fmt.Sprintf("the cluster has no database %q any more at that moment", s.Config.Database),
			"Name an earlier one, some seconds before it was dropped, when somebody still wrote")
	}
	return problem.New("the scratch server lets nobody in: "+told.Message, "")
}

// Stop ends the server and removes everything.
func (s *Scratch) Stop() error {
	if s.server != nil && s.server.Process != nil {
		_ = s.server.Process.Signal(syscall.SIGQUIT) // Nothing of it is needed.
		select {
		case <-s.ended:
		case <-time.After(10 * time.Second):
			_ = s.server.Process.Kill()
			<-s.ended
		}
	}
	err := os.RemoveAll(s.folder)
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	return err
}

// TempFolder makes a folder for what is needed for a while. It is removed also when this process is killed, by the next one.
func TempFolder(in string) (folder string, remove func() error, err error) {
	if in == "" {
		in = os.TempDir()
	}
	if err := removeLeftovers(in); err != nil {
		return "", nil, err
	}
	if folder, err = os.MkdirTemp(in, scratchPrefix); err != nil {
		return "", nil, err
	}
	lock, err := lockFolder(folder)
	if err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(folder))
	}
	return folder, func() error { return errors.Join(os.RemoveAll(folder), lock.Close()) }, nil
}

const scratchPrefix = "brownie-verify-"

// removeLeftovers removes the folders of runners that were killed: what is in them was encrypted before.
func removeLeftovers(folder string) error {
	all, err := filepath.Glob(filepath.Join(folder, scratchPrefix+"*"))
	if err != nil {
		return err
	}
	for _, each := range all {
		about, err := os.Stat(each)
		if err != nil || time.Since(about.ModTime()) < time.Minute {
			continue // Somebody may be about to lock it.
		}
		lock, err := lockFolder(each)
		if err != nil {
			continue // It is in use, or somebody else's.
		}
		_ = os.RemoveAll(each) // Another one may be at it, too.
		_ = lock.Close()
	}
	return nil
}

// lockFolder holds a folder as long as the file is open, and fails when another process does.
func lockFolder(folder string) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(folder, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// letIn lets in the user of this process, by what the system says of who calls, and nobody else of that server's own user's.
func (s *Scratch) letIn(credential *syscall.Credential) error {
	us, err := user.Current()
	if err != nil {
		return err
	}
	for name, text := range map[string]string{
		"postgresql.conf": "",
		"pg_hba.conf":     "local all all peer map=scratch\n",
		"pg_ident.conf":   fmt.Sprintf("scratch %q %q\n", us.Username, s.Config.Username),
	} {
		if err := os.WriteFile(s.file(name), []byte(text), 0o600); err != nil {
			return err
		}
		if err := give(s.file(name), credential); err != nil {
			return err
		}
	}
	return nil
}

// ordinaryUser is who runs the server where we are root, which it refuses.
func ordinaryUser() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // No credential means the calling user, as in syscall.SysProcAttr.
	}
	for _, name := range []string{"postgres", "nobody"} {
		found, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUID := strconv.ParseUint(found.Uid, 10, 32)
		gid, errGID := strconv.ParseUint(found.Gid, 10, 32)
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(errUID, errGID)
	}
	return nil, fmt.Errorf("PostgreSQL's server does not run as root, and there is neither a user postgres nor nobody")
}
