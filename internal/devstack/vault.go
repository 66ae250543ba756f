package devstack

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// Vault is a running Vault server, or one that talks like it.
type Vault struct {
	// Address is its URL.
	Address string
	token   string
	process *process // nil for an existing server
}

// StartVault starts a Vault server that keeps everything in memory, or connects to an existing one. The first of these that
// can be had is used: the server that VAULT_ADDR and VAULT_TOKEN name, "vault" or "bao" on PATH, and a server that is built
// once from its source, which takes minutes.
func StartVault(ctx context.Context, o Options) (*Vault, error) {
	if address := os.Getenv("VAULT_ADDR"); address != "" {
		v := &Vault{Address: address, token: os.Getenv("VAULT_TOKEN")}
		if err := v.answers(ctx); err != nil {
			return nil, fmt.Errorf("the server that VAULT_ADDR names cannot be used with VAULT_TOKEN: %w", err)
		}
		return v, nil
	}
	program, err := vaultProgram(ctx, o)
	if err != nil {
		return nil, err
	}
	return onFreePort(func(port int) (*Vault, error) { return startVault(ctx, o, program, port) })
}

// builtVault is what is built where none is installed. The tag leaves out the plugins for clouds.
var builtVault = builtProgram{
	what: "Vault", module: "vault", program: "github.com/hashicorp/vault", flags: []string{"-tags=minimal"},
	instead: "install vault or bao, or name an existing server in VAULT_ADDR and VAULT_TOKEN",
}

// vaultProgram finds the program, or builds it.
func vaultProgram(ctx context.Context, o Options) (string, error) {
	if path := vaultOnPath(); path != "" {
		return path, nil
	}
	return builtVault.path(ctx, o)
}

func vaultOnPath() string {
	for _, name := range []string{"vault", "bao"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// VaultAtHand tells whether [StartVault] needs no build.
func VaultAtHand(ctx context.Context) bool {
	return os.Getenv("VAULT_ADDR") != "" || vaultOnPath() != "" || builtVault.isBuilt(ctx)
}

func startVault(ctx context.Context, o Options, program string, port int) (*Vault, error) {
	// It runs as the calling user, who alone may be able to reach the program.
	f, err := newFolder("brownie-vault-", nil)
	if err != nil {
		return nil, err
	}
	v := &Vault{Address: "http://127.0.0.1:" + strconv.Itoa(port), token: rand.Text()}
	// The environment hides the token from the list of processes.
	v.process, err = watch(f, port, command{
		functions: plainProgram,
		arguments: []string{
			program, "server", "-dev", "-dev-no-store-token", "-dev-listen-address=" + strings.TrimPrefix(v.Address, "http://"),
		},
		environment: []string{"HOME=" + f.dir, "VAULT_DEV_ROOT_TOKEN_ID=" + v.token, "BAO_DEV_ROOT_TOKEN_ID=" + v.token},
	})
	if err != nil {
		return nil, err
	}
	return v, v.process.start(ctx, o, "Vault", v.answers)
}

// answers tells whether the server knows the administrator.
func (v *Vault) answers(ctx context.Context) error {
	_, err := v.Do(ctx, http.MethodGet, "auth/token/lookup-self", nil)
	return err
}

// Env is the administrator's login as Vault's environment variables.
func (v *Vault) Env() []string { return []string{"VAULT_ADDR=" + v.Address, "VAULT_TOKEN=" + v.token} }

// Token is the administrator's token.
func (v *Vault) Token() string { return v.token }

// OnThisHost tells whether devstack started the server, which then may be stopped and reaches this machine's loopback address.
func (v *Vault) OnThisHost() bool { return v.process != nil }

// WithToken is the same server for somebody else, or with an empty token for nobody.
func (v *Vault) WithToken(token string) *Vault { return &Vault{Address: v.Address, token: token} }

// Log is the path of the server's log, whose folder the server can write; empty for an existing server.
func (v *Vault) Log() string {
	if v.process == nil {
		return ""
	}
	return filepath.Join(v.process.dir, "log")
}

// Do sends a request as the administrator and returns the data of the answer. The method may be LIST.
func (v *Vault) Do(ctx context.Context, method, path string, body any) (map[string]any, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(v.Address, "/")+"/v1/"+path, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-Vault-Token", v.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	var answer struct {
		Data   map[string]any
		Auth   map[string]any
		Errors []string
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s %s: %s: %w", method, path, resp.Status, err)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return nil, fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, strings.Join(answer.Errors, "; "))
	}
	if answer.Data == nil {
		return answer.Auth, nil
	}
	return answer.Data, nil
}

// MakeAuthority makes a certificate authority on a PKI mount, below that of a PostgreSQL server of devstack's, which
// therefore trusts whom it signs. It becomes the mount's default issuer.
func (v *Vault) MakeAuthority(ctx context.Context, server *Postgres, mount string) error {
	wanted := map[string]any{"common_name": "Clients", "key_type": "ec"}
	made, err := v.Do(ctx, http.MethodPost, mount+"/intermediate/generate/internal", wanted)
	if err != nil {
		return err
	}
	request, _ := made["csr"].(string)
	signed, err := server.SignAuthority(request)
	if err != nil {
		return err
	}
	set, err := v.Do(ctx, http.MethodPost, mount+"/intermediate/set-signed", map[string]any{"certificate": signed + server.CAPEM()})
	if err != nil {
		return err
	}
	imported, _ := set["imported_issuers"].([]any)
	if len(imported) == 0 {
		return fmt.Errorf("mount %s imported no issuer", mount)
	}
	_, err = v.Do(ctx, http.MethodPost, mount+"/root/replace", map[string]any{"default": imported[0]})
	return err
}

// ApplicationsRole is the role that [Vault.MakeApplicationsRole] makes.
const ApplicationsRole = "applications"

// MakeApplicationsRole makes a role on a PKI mount that issues the names of the quickstart's applications, which end in "-app",
// and no others: not the server's, not the pooler's.
func (v *Vault) MakeApplicationsRole(ctx context.Context, mount string) error {
	_, err := v.Do(ctx, http.MethodPost, mount+"/roles/"+ApplicationsRole, map[string]any{
		"allowed_domains": []string{"*-app"}, "allow_glob_domains": true, "allow_wildcard_certificates": false,
		"allow_ip_sans": false, "allow_localhost": false, "cn_validations": []string{"hostname"}, "enforce_hostnames": false,
		"use_csr_sans": false, "use_csr_common_name": false, "server_flag": false, "key_type": "ec", "max_ttl": "720h",
	})
	return err
}

// Stop ends the server and removes everything of it. An existing one is left alone. It may be called again.
func (v *Vault) Stop(ctx context.Context) error {
	if v.process == nil {
		return nil
	}
	return v.process.stop(ctx)
}
