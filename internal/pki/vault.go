// Package pki issues client certificates with Vault's PKI secrets engine, or one that talks like it (OpenBao), and keeps
// them in its KV store, version 2. It is the only package that knows Vault's library.
package pki

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"
)

// Config says how to reach Vault and how to log in. An empty field means that Vault's own environment variable decides:
// VAULT_ADDR, VAULT_TOKEN, VAULT_NAMESPACE, VAULT_CACERT.
type Config struct {
	Address, Token, Namespace string
	// CACert is PEM text, or the path of a PEM file, with the authorities that may sign Vault's certificate.
	CACert string
	// JWT logs in with a signed token instead, such as an HCP Terraform run's.
	JWT *JWT
	// Unknown names the attributes whose values are not known yet. Such a configuration never connects.
	Unknown []string
	// RetryWait is how long to wait before a request is sent again; zero means about a second.
	RetryWait time.Duration
	// Now is the time; nil means the clock of this machine.
	Now func() time.Time
}

// JWT is a login with Vault's auth method of that name.
type JWT struct {
	// Mount is where the method is, Role is its role, and Token is what it checks.
	Mount, Role, Token string
}

// Vault is a connection that is made at the first use.
type Vault struct {
	config Config
	open   func() (*api.Client, error)

	login sync.Mutex
	// renewAt is when the token that a login gave is renewed; zero for a token that was given.
	renewAt  time.Time
	loggedIn bool

	mu   sync.Mutex
	skew time.Duration // Vault's clock minus this machine's
	told bool          // whether Vault has told its time
	once map[string]*answer
}

// New returns a Vault. It neither connects nor reads a file.
func New(config Config) *Vault {
	if config.Now == nil {
		config.Now = time.Now
	}
	v := &Vault{config: config, once: map[string]*answer{}}
	v.open = sync.OnceValues(v.client)
	return v
}

// retries is how often a request that may be sent again is, with a pause of about a second each.
const retries = 3

func (v *Vault) client() (*api.Client, error) {
	if len(v.config.Unknown) > 0 {
		return nil, &ConfigError{v.config.Unknown[0], "is not known yet, so nothing can be asked of Vault. Apply what it comes from " +
			"first (terraform apply -target=…), or give a value that is known while planning"}
	}
	config := api.DefaultConfig()
	if config.Error != nil {
		return nil, &ConfigError{"address", fmt.Sprintf("cannot be used, because one of Vault's environment variables is wrong: %s",
			config.Error)}
	}
	if v.config.Address != "" {
		config.Address = v.config.Address
	} else if os.Getenv(api.EnvVaultAddress) == "" && os.Getenv(api.EnvVaultAgentAddr) == "" {
		return nil, &ConfigError{"address", "is missing. Set it in the provider block's vault, or by the environment variable VAULT_ADDR"}
	}
	if v.config.CACert != "" {
		authorities := &api.TLSConfig{CACert: v.config.CACert}
		if strings.Contains(v.config.CACert, "-----BEGIN ") {
			authorities = &api.TLSConfig{CACertBytes: []byte(v.config.CACert)}
		}
		if err := config.ConfigureTLS(authorities); err != nil {
			// The value is left out of the message: what was meant to be PEM but is damaged would be shown whole.
			return nil, &ConfigError{"ca_cert", "holds no certificate, neither as PEM text nor as the path of a readable PEM file"}
		}
	}
	client, err := api.NewClient(config)
	if err != nil {
		return nil, &ConfigError{"address", "cannot be used: " + err.Error()}
	}
	client.SetMaxRetries(retries)
	client.SetCheckRetry(mayRetry)
	if v.config.RetryWait > 0 {
		client.SetMinRetryWait(v.config.RetryWait)
		client.SetMaxRetryWait(v.config.RetryWait)
	}
	if v.config.Namespace != "" {
		client.SetNamespace(v.config.Namespace)
	}
	switch {
	case v.config.Token != "":
		client.SetToken(v.config.Token)
	case v.config.JWT != nil:
		client.ClearToken() // VAULT_TOKEN may be somebody else's
	case client.Token() == "":
		return nil, &ConfigError{"token", "is missing. Set it in the provider block's vault, or by the environment variable " +
			"VAULT_TOKEN, or log in with jwt"}
	}
	return client, nil
}

// again marks a context whose request does the same when it is done twice.
type again struct{}

func mayRetry(ctx context.Context, resp *http.Response, err error) (bool, error) {
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	harmless := ctx.Value(again{}) != nil
	if err != nil {
		return harmless || notSent(err), nil
	}
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusPreconditionFailed:
		return true, nil // Vault has done nothing.
	case http.StatusServiceUnavailable:
		return harmless || isVaults(resp), nil
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusGatewayTimeout:
		return harmless, nil
	}
	return false, nil
}

// isVaults tells Vault's own refusal, before which it has done nothing, from that of a proxy, which may have lost Vault's answer.
func isVaults(resp *http.Response) bool {
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	_ = resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(text))
	var answer struct {
		Errors []string `json:"errors"`
	}
	return err == nil && json.Unmarshal(text, &answer) == nil && len(answer.Errors) > 0
}

// Now is the time by Vault's clock, as far as it is known: this machine's may be wrong.
func (v *Vault) Now() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.config.Now().Add(v.skew)
}

// Skew is how far Vault's clock is ahead of this machine's, as far as it is known.
func (v *Vault) Skew() time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.skew
}

// noteTime learns Vault's clock from an answer, to the second.
func (v *Vault) noteTime(header http.Header) {
	date, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.told = true
	// The header has no fractions of a second, and the answer took a moment.
	if v.skew = date.Sub(v.config.Now()); v.skew.Abs() < 5*time.Second {
		v.skew = 0
	}
}

// askTime has Vault tell its time, unless an answer has told it. Without one this machine's clock decides.
func (v *Vault) askTime(ctx context.Context) {
	v.mu.Lock()
	told := v.told
	v.mu.Unlock()
	if !told {
		_ = v.do(ctx, request{verb: reads, path: "sys/seal-status", doing: "tell its time", twice: true}, nil)
	}
}

// verb is what a request does, by the name of the capability that a policy grants for it.
type verb string

const (
	reads   verb = "read"
	lists   verb = "list"
	writes  verb = "update"
	deletes verb = "delete"
)

var methods = map[verb]string{
	reads: http.MethodGet, lists: "LIST", writes: http.MethodPut, deletes: http.MethodDelete,
}

// request is one call of Vault's API.
type request struct {
	verb  verb
	path  string
	body  map[string]any
	doing string // for errors: "sign a certificate with role app of mount pki"
	twice bool   // whether it does the same when it is done twice
}

// do sends a request and reads the data of its answer into result, which may be nil.
func (v *Vault) do(ctx context.Context, r request, result any) error {
	client, err := v.open()
	if err != nil {
		return err
	}
	if err := v.logIn(ctx, client); err != nil {
		return err
	}
	return v.send(ctx, client, r, &struct {
		Data any `json:"data"`
	}{result})
}

// send reads the whole answer into result.
func (v *Vault) send(ctx context.Context, client *api.Client, r request, result any) error {
	caller := ctx
	ctx, cancel := context.WithTimeout(ctx, client.ClientTimeout())
	defer cancel()
	if r.twice {
		ctx = context.WithValue(ctx, again{}, true)
	}
	call := client.NewRequest(methods[r.verb], "/v1/"+r.path)
	if r.body != nil {
		if err := call.SetJSONBody(r.body); err != nil {
			return err
		}
	}
	//nolint:staticcheck // What is to be used instead gives no headers, or ends the context before the answer is read.
	resp, err := client.RawRequestWithContext(ctx, call)
	if resp != nil {
		defer func() { _ = resp.Body.Close() }()
		v.noteTime(resp.Header)
	}
	if r.verb == lists && nothingListed(err) {
		return nil
	}
	if err != nil {
		return v.explain(caller, client, r, err)
	}
	if resp == nil || resp.StatusCode == http.StatusNoContent {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(result); err != nil && !errors.Is(err, io.EOF) {
		return &Error{
			Class: Unexpected, Doing: r.doing, Cause: "the answer is none of Vault's", Remedy: "Check that " + client.Address() + " " +
				"is Vault's address", unsure: true, err: err,
		}
	}
	return nil
}

// nothingListed tells a list without entries: Vault answers it as it does for what is missing, but without a text, which a mount
// or path that does not exist has.
func nothingListed(err error) bool {
	var answered *api.ResponseError
	return errors.As(err, &answered) && answered.StatusCode == http.StatusNotFound && len(answered.Errors) == 0
}

// auth is the part of an answer that a login gives.
type auth struct {
	Auth struct {
		Token     string `json:"client_token"`
		Lifetime  int64  `json:"lease_duration"`
		Renewable bool   `json:"renewable"`
	} `json:"auth"`
}

// logIn gets a token, once, and keeps it alive.
func (v *Vault) logIn(ctx context.Context, client *api.Client) error {
	if v.config.JWT == nil || v.config.Token != "" {
		return nil
	}
	v.login.Lock()
	defer v.login.Unlock()
	now := v.config.Now()
	if v.loggedIn && (v.renewAt.IsZero() || now.Before(v.renewAt)) {
		return nil
	}
	var got auth
	if v.loggedIn {
		err := v.send(ctx, client, request{verb: writes, path: "auth/token/renew-self", doing: "renew the login", twice: true}, &got)
		if err == nil && v.keep(got, now) {
			return nil
		}
	}
	j := v.config.JWT
	if j.Token == "" {
		return &ConfigError{"jwt", "has no token. An HCP Terraform workspace gets one when its variable " +
			"TFC_WORKLOAD_IDENTITY_AUDIENCE is set"}
	}
	r := request{
		verb: writes, path: "auth/" + strings.Trim(j.Mount, "/") + "/login", body: map[string]any{"role": j.Role, "jwt": j.Token},
		doing: fmt.Sprintf("log in with the role %s of the JWT method %s", j.Role, j.Mount), twice: true,
	}
	// Others may still be using the old token.
	stranger, err := client.CloneWithHeaders()
	if err != nil {
		return err
	}
	stranger.ClearToken()
	got = auth{}
	if err := v.send(ctx, stranger, r, &got); err != nil {
		return err
	}
	client.SetToken(got.Auth.Token)
	v.loggedIn = true
	v.keep(got, now)
	return nil
}

// keep notes when a token must be renewed: when two thirds of its life are over. It tells whether that is in the future.
func (v *Vault) keep(got auth, now time.Time) bool {
	v.renewAt = time.Time{}
	if got.Auth.Lifetime > 0 {
		v.renewAt = now.Add(time.Duration(got.Auth.Lifetime) * time.Second * 2 / 3)
	}
	// A token near the end of its longest life is renewed for a moment only.
	return got.Auth.Lifetime == 0 || got.Auth.Lifetime > 30
}

// Close ends the login, if Vault gave one for an identity.
func (v *Vault) Close(ctx context.Context) error {
	v.login.Lock()
	defer v.login.Unlock()
	if !v.loggedIn {
		return nil
	}
	client, err := v.open()
	if err != nil {
		return err
	}
	v.loggedIn = false
	return v.send(ctx, client, request{verb: writes, path: "auth/token/revoke-self", doing: "end the login", twice: true}, nil)
}

// answer is what all requests for the same thing get.
type answer struct {
	once sync.Once
	text json.RawMessage
	err  error
}

// shared sends a request once in the life of this Vault, however many ask for it.
func (v *Vault) shared(ctx context.Context, r request, result any) error {
	v.mu.Lock()
	a := v.once[string(r.verb)+r.path]
	if a == nil {
		a = &answer{}
		v.once[string(r.verb)+r.path] = a
	}
	v.mu.Unlock()
	a.once.Do(func() {
		if a.err = v.do(ctx, r, &a.text); a.err != nil {
			v.mu.Lock()
			delete(v.once, string(r.verb)+r.path) // The next one may be luckier.
			v.mu.Unlock()
		}
	})
	if a.err != nil || a.text == nil {
		return a.err
	}
	return json.Unmarshal(a.text, result)
}
