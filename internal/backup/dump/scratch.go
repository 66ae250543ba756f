package dump

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// Scratch is a server of our own, to restore into: nothing of it reaches another server, and nobody but us reaches it. It listens on no
// network, archives nothing, runs no jobs, and is removed in the end.
type Scratch struct {
	Config postgres.Config
	Tools  Tools

	folder string
	server *exec.Cmd
	log    *tail
	ended  chan struct{}
	// lock tells others that the folder is in use.
	lock *os.File
}

// StartScratch starts a server by the programs of a folder; empty means PATH. folder is where it keeps its data, and empty the usual
// place for temporary files.
func StartScratch(ctx context.Context, programs string, clients Tools, folder string) (_ *Scratch, err error) {
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
	// A name that no role of a backup has.
	superuser := "scratch_" + strings.ToLower(rand.Text()[:8])
	server := Tools{Dir: programs, credential: credential}
	data := filepath.Join(s.folder, "data")
	err = server.run(ctx, program{name: "initdb", arguments: []string{
		"--pgdata=" + data, "--username=" + superuser, "--auth=peer", "--no-sync", "--no-instructions", "--encoding=UTF8", "--locale=C",
	}})
	if err != nil {
		return nil, err
	}
	if err := letIn(data, superuser, credential); err != nil {
		return nil, err
	}
	path, err := server.path("postgres")
	if err != nil {
		return nil, err
	}
	arguments := []string{"-D", data, "-k", s.folder}
	for _, setting := range []string{
		"listen_addresses=", "unix_socket_permissions=0700", "archive_mode=off", "shared_preload_libraries=",
		"max_logical_replication_workers=0", "max_wal_senders=0", "wal_level=minimal", "max_wal_size=4GB",
		"fsync=off", "full_page_writes=off", "synchronous_commit=off",
	} {
		arguments = append(arguments, "-c", setting)
	}
	// It ends when it is told to, not with the context of who starts it.
	s.server = exec.CommandContext(context.WithoutCancel(ctx), path, arguments...) //nolint:gosec // the command's own flag says which
	s.server.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	s.server.Stderr, s.server.Stdout = s.log, s.log
	s.server.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	endsWithUs(s.server.SysProcAttr)
	if err := s.server.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = s.server.Wait()
		close(s.ended)
	}()
	s.Config = postgres.Config{
		Host: s.folder, Database: "postgres", Username: superuser, SSLMode: "disable", ApplicationName: "brownie-backup",
	}.WithDefaults()
	s.Tools = Tools{Dir: clients.Dir, Env: []string{"PGHOST=" + s.folder, "PGUSER=" + superuser, "PGDATABASE=postgres"}}
	err = s.wait(ctx)
	return s, err
}

// wait waits until the server lets people in.
func (s *Scratch) wait(ctx context.Context) error {
	db := postgres.New(s.Config) //nolint:contextcheck // Its connections outlive each call.
	defer db.Close()
	for deadline := time.Now().Add(time.Minute); ; {
		_, err := postgres.QueryOne[struct{ One int32 }](ctx, db, `SELECT 1 AS one`)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.ended:
			return problem.New("the scratch server does not start: "+s.log.text(), "").Because(err)
		case <-time.After(100 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return problem.New("the scratch server lets nobody in: "+s.log.text(), "").Because(err)
		}
	}
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
func letIn(data, superuser string, credential *syscall.Credential) error {
	us, err := user.Current()
	if err != nil {
		return err
	}
	for name, text := range map[string]string{
		"pg_hba.conf":   "local all all peer map=scratch\n",
		"pg_ident.conf": fmt.Sprintf("scratch %q %s\n", us.Username, superuser),
	} {
		path := filepath.Join(data, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return err
		}
		if credential != nil {
			if err := os.Chown(path, int(credential.Uid), int(credential.Gid)); err != nil {
				return err
			}
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
