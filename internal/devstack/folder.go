package devstack

import (
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// folder is where a server keeps everything. Its watchdog removes it.
type folder struct {
	dir string
	// credential is the user that runs the server and owns the folder; nil means the calling user.
	credential *syscall.Credential
}

// newFolder makes a folder outside the repository, where the user that runs the server can reach it.
func newFolder(prefix string, credential *syscall.Credential) (folder, error) {
	parent := "" // the usual one
	if info, err := os.Stat(os.TempDir()); credential != nil && (err != nil || info.Mode().Perm()&0o002 == 0) {
		parent = "/tmp" // root's TMPDIR may be closed to the user who is to remove the folder
	}
	dir, err := os.MkdirTemp(parent, prefix)
	if err != nil {
		return folder{}, err
	}
	f := folder{dir, credential}
	if err := f.giveAway(dir); err != nil {
		return folder{}, errors.Join(err, os.RemoveAll(dir))
	}
	return f, nil
}

// write writes files that only the server's user can read, into a folder of the folder.
func (f folder) write(below string, content map[string]string) error {
	if below != "" {
		path := filepath.Join(f.dir, below)
		if err := errors.Join(os.Mkdir(path, 0o700), f.giveAway(path)); err != nil {
			return err
		}
	}
	for name, text := range content {
		path := filepath.Join(f.dir, below, name)
		if err := errors.Join(writePrivate(path, text), f.giveAway(path)); err != nil {
			return err
		}
	}
	return nil
}

// writePrivate writes a file that only its owner can read.
func writePrivate(path, content string) error {
	return os.WriteFile(path, []byte(content), 0o600)
}

// giveAway hands a file or folder to the user that runs the server.
func (f folder) giveAway(path string) error {
	if f.credential == nil {
		return nil
	}
	return os.Chown(path, int(f.credential.Uid), int(f.credential.Gid))
}

// ordinaryUser is the user that runs servers when the caller is root, which they refuse, and nil otherwise.
func ordinaryUser() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // No credential means the calling user, as in syscall.SysProcAttr.
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		return nil, err
	}
	uid, errUID := strconv.ParseUint(nobody.Uid, 10, 32)
	gid, errGID := strconv.ParseUint(nobody.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(errUID, errGID)
}
