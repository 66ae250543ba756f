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

	"github.com/zclconf/go-cty/cty"
)

// files is a server's folder, before the server is started.
type files struct {
	dir string
	ca  *authority
	// credential is the user that runs the server's programs, which refuse to run as root; nil means the calling user.
	credential *syscall.Credential
}

// serverArguments are settings for speed: the data is thrown away. It survives a crash of the server, though not of the
// machine; synchronous_commit stays on, since without it a crash of the server loses the last commits, and tests crash
// it. Without fsync it costs next to nothing. The folder is where the server finds who may log in; its settings for TLS
// are included from there, see [programsServer] and [inContainer].
func serverArguments(o Options, folder string) []string {
	var arguments []string
	for _, setting := range append([]string{
		"fsync=off", "full_page_writes=off", "max_connections=300", "shared_buffers=128MB", "unix_socket_directories=",
		"hba_file=" + folder + "/pg_hba.conf", "ident_file=" + folder + "/pg_ident.conf",
	}, o.Settings...) {
		arguments = append(arguments, "-c", setting)
	}
	return arguments
}

// newFolder makes the folder. It lies outside the repository, where the user that runs the server can reach it.
func newFolder(prefix string, credential *syscall.Credential) (*files, error) {
	parent := "" // the usual one
	if info, err := os.Stat(os.TempDir()); credential != nil && (err != nil || info.Mode().Perm()&0o002 == 0) {
		parent = "/tmp" // root's TMPDIR may be closed to the user who is to remove the folder
	}
	dir, err := os.MkdirTemp(parent, prefix)
	if err != nil {
		return nil, err
	}
	f := &files{dir: dir, credential: credential}
	if err := f.giveAway(dir); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return f, nil
}

// write writes certificates and the configuration: there is no trusted network and no unix socket, and everybody logs in
// with a certificate unless the caller's rules say otherwise.
func (f *files) write(o Options, container bool) error {
	var err error
	if f.ca, err = newAuthority(); err != nil {
		return err
	}
	content, err := f.ca.serverFiles("server")
	if err != nil {
		return err
	}
	folder, addresses, rules := filepath.Join(f.dir, "server"), []string{"127.0.0.1/32", "::1/128"}, strings.Join(append(slices.Clone(o.HBA), ""), "\n")
	if container {
		// A connection that was forwarded to a container does not come from the loopback address.
		rules = strings.NewReplacer(addresses[0], "all", addresses[1], "all").Replace(rules)
		folder, addresses = containerFolder, []string{"all"}
	}
	configured, err := serverConfiguration(folder, addresses)
	if err != nil {
		return err
	}
	for _, name := range []string{"pg_hba.conf", "pg_ident.conf", "postgresql.conf"} {
		if content[name], err = configured.render(name); err != nil {
			return err
		}
	}
	content["pg_hba.conf"] = rules + content["pg_hba.conf"]
	server := filepath.Join(f.dir, "server")
	if err := errors.Join(os.Mkdir(server, 0o700), f.giveAway(server), f.writeOne("ca.crt", f.ca.pem)); err != nil {
		return err
	}
	return f.writeAll("server", content)
}

// serverConfiguration is the configuration of a server that finds its certificates in the folder.
func serverConfiguration(folder string, addresses []string) (configuration, error) {
	return configure(map[string]cty.Value{
		"server": cty.ObjectVal(map[string]cty.Value{
			"addresses":     stringsValue(addresses...),
			"ssl_ca_file":   cty.StringVal(folder + "/ca.crt"),
			"ssl_cert_file": cty.StringVal(folder + "/server.crt"),
			"ssl_key_file":  cty.StringVal(folder + "/server.key"),
		}),
		// Which pooler may come is decided before it is started.
		"pooler": cty.ObjectVal(map[string]cty.Value{"common_name": cty.StringVal(poolerName)}),
	})
}

// writeAll writes files into a folder of the server's folder.
func (f *files) writeAll(folder string, content map[string]string) error {
	for name, text := range content {
		if err := f.writeOne(filepath.Join(folder, name), text); err != nil {
			return err
		}
	}
	return nil
}

func (f *files) writeOne(name, content string) error {
	path := filepath.Join(f.dir, name)
	return errors.Join(writePrivate(path, content), f.giveAway(path))
}

// writePrivate writes a file that only its owner can read.
func writePrivate(path, content string) error {
	return os.WriteFile(path, []byte(content), 0o600)
}

// giveAway hands a file or folder to the user that runs the server.
func (f *files) giveAway(path string) error {
	if f.credential == nil {
		return nil
	}
	return os.Chown(path, int(f.credential.Uid), int(f.credential.Gid))
}

// ordinaryUser is the user that runs the server's programs when the caller is root, and nil otherwise.
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
