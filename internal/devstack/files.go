package devstack

import (
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// files is a server's folder with its configuration and certificates, before the server is started.
type files struct {
	dir string
	ca  *authority
	// credential is the user that runs the server's programs, which refuse to run as root; nil means the calling user.
	credential *syscall.Credential
}

// serverSettings are for speed: the data is thrown away. They survive a crash of the server, though not of the machine;
// synchronous_commit stays on, since turning it off loses the last commits when the server is killed.
const serverSettings = `
fsync = off
full_page_writes = off
max_connections = 300
shared_buffers = 128MB
unix_socket_directories = ''
ssl = on
ssl_ca_file = 'ca.crt'
ssl_cert_file = 'server.crt'
ssl_key_file = 'server.key'
`

// newFiles makes the folder. It lies outside the repository, where the user that runs the server can reach it.
func newFiles(o Options) (*files, error) {
	dir, err := os.MkdirTemp("", "brownie-postgres-")
	if err != nil {
		return nil, err
	}
	f := &files{dir: dir}
	if err := f.write(o); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return f, nil
}

func (f *files) write(o Options) error {
	var err error
	if f.ca, err = newAuthority(); err != nil {
		return err
	}
	certificate, key, err := f.ca.issueServer()
	if err != nil {
		return err
	}
	// There is no trusted network and no unix socket: everybody logs in with a certificate.
	hba := append(slices.Clone(o.HBA), "hostssl all all all cert", "")
	contents := map[string]string{
		"ca.crt": f.ca.pem, "server.crt": certificate, "server.key": key,
		"pg_hba.conf": strings.Join(hba, "\n"), "devstack.conf": serverSettings,
	}
	if o.Detached {
		if err := f.ca.save(filepath.Join(f.dir, authorityFile)); err != nil {
			return err
		}
	}
	for name, content := range contents {
		if err := os.WriteFile(filepath.Join(f.dir, name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// runAsOther hands the folder to an ordinary user when the caller is root.
func (f *files) runAsOther() error {
	if os.Geteuid() != 0 {
		return nil
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		return err
	}
	uid, errUID := strconv.ParseUint(nobody.Uid, 10, 32)
	gid, errGID := strconv.ParseUint(nobody.Gid, 10, 32)
	if err := errors.Join(errUID, errGID); err != nil {
		return err
	}
	f.credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return err
	}
	errs := []error{os.Chown(f.dir, int(uid), int(gid))}
	for _, entry := range entries {
		errs = append(errs, os.Chown(filepath.Join(f.dir, entry.Name()), int(uid), int(gid)))
	}
	return errors.Join(errs...)
}
