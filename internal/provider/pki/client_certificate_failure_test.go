package pki_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testvault"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/acctest"
)

// holder is a way to Vault on which one request, and all after it, get no answer.
type holder struct {
	*httptest.Server
	reached, released chan struct{}
}

// hold makes a holder for the first change of a path, which Vault gets if after says so.
func hold(t *testing.T, m *testvault.Mounts, path string, after bool) holder {
	t.Helper()
	proxy := httputil.NewSingleHostReverseProxy(testdb.Must(url.Parse(m.Address))(t))
	h := holder{reached: make(chan struct{}), released: make(chan struct{})}
	var once sync.Once
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		holds := false
		if r.Method != http.MethodGet && r.Method != "LIST" && strings.Contains(r.URL.Path, path) {
			once.Do(func() { holds = true })
		}
		if !holds {
			proxy.ServeHTTP(w, r)
			return
		}
		if after {
			proxy.ServeHTTP(httptest.NewRecorder(), r)
		}
		close(h.reached)
		<-h.released
	}))
	t.Cleanup(func() { h.Close() })
	t.Cleanup(func() { close(h.released) })
	return h
}

// killed runs an apply through the holder, and kills the provider when Vault is at the step.
func killed(w acctest.Workspace, h holder) {
	w.T.Helper()
	apply := w.Command("apply", "-auto-approve", "-input=false")
	apply.Env = append(slices.Clone(apply.Env), "VAULT_ADDR="+h.URL)
	if err := apply.Start(); err != nil {
		w.T.Fatal(err)
	}
	select {
	case <-h.reached:
	case <-time.After(time.Minute):
		w.T.Fatal("the apply did not come to the step")
	}
	for _, pid := range acctest.Children(w.T, apply.Process.Pid) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	if apply.Wait() == nil {
		w.T.Fatal("the apply succeeded")
	}
}

// Whenever the provider is killed in a renewal, the next apply ends with exactly one valid certificate that has a key, and the one after
// it has nothing to do. One that was signed and not stored lost its key with the provider, and stays valid until it expires.
func TestAccRenewalKilled(t *testing.T) {
	for _, step := range []string{"/sign/", "/data/", "/revoke"} {
		for _, after := range []bool{false, true} {
			t.Run(map[bool]string{false: "before ", true: "after "}[after]+strings.Trim(step, "/"), func(t *testing.T) {
				t.Parallel()
				m := testvault.New(t)
				w := acctest.NewWorkspaceWith(t, m.Env(), certificate(m, `ttl = "24h"`))
				testdb.Must(w.Apply())(t)
				w.Write(certificate(m, `ttl = "12h"`))
				killed(w, hold(t, m, step, after))
				output := testdb.Must(w.Apply())(t)
				valid, revoked := m.Serials()
				lost := 0
				if step == "/sign/" && after || step == "/data/" && !after {
					lost = 1
				}
				if len(valid) != 1+lost {
					t.Errorf("%v are valid", valid)
				}
				for _, serial := range revoked {
					if told := step != "/revoke" || !after; told && !strings.Contains(output, serial) {
						t.Errorf("the apply does not tell that it revoked %s:\n%s", serial, output)
					}
				}
				w.NoChanges()
				w.MustRun("destroy", "-auto-approve", "-input=false")
				if valid, _ := m.Serials(); len(valid) != lost {
					t.Errorf("%v are valid after the destroy", valid)
				}
			})
		}
	}
}

// Whenever the provider is killed in a destroy, the next one ends it.
func TestAccDestroyKilled(t *testing.T) {
	for _, step := range []string{"/revoke", "/metadata/"} {
		for _, after := range []bool{false, true} {
			t.Run(map[bool]string{false: "before ", true: "after "}[after]+strings.Trim(step, "/"), func(t *testing.T) {
				t.Parallel()
				m := testvault.New(t)
				w := acctest.NewWorkspaceWith(t, m.Env(), certificate(m, `ttl = "24h"`))
				testdb.Must(w.Apply())(t)
				w.Write("")
				killed(w, hold(t, m, step, after))
				testdb.Must(w.Apply())(t)
				if valid, revoked := m.Serials(); len(valid) != 0 || len(revoked) == 0 {
					t.Errorf("%v are valid, %v revoked", valid, revoked)
				}
				if _, err := m.Do(t.Context(), http.MethodGet, m.KV+"/metadata/brownie/acme-app", nil); err == nil {
					t.Error("the secret is still stored")
				}
			})
		}
	}
}

var certificateID = regexp.MustCompile(`id = "([^"]+)"`)

// A first certificate whose provider is killed is issued by the next apply, or its error says how to take over what is stored.
func TestAccFirstCertificateKilled(t *testing.T) {
	for _, step := range []string{"/sign/", "/data/"} {
		for _, after := range []bool{false, true} {
			t.Run(map[bool]string{false: "before ", true: "after "}[after]+strings.Trim(step, "/"), func(t *testing.T) {
				t.Parallel()
				m := testvault.New(t)
				config := certificate(m, `ttl = "24h"`)
				w := acctest.NewWorkspaceWith(t, m.Env(), config)
				killed(w, hold(t, m, step, after))
				output, err := w.Apply()
				if stored := step == "/data/" && after; stored != (err != nil) {
					t.Fatalf("the next apply: %v\n%s", err, output)
				} else if stored {
					id := certificateID.FindStringSubmatch(output)
					if id == nil {
						t.Fatalf("no import block:\n%s", output)
					}
					w.Write(config + "import {\n  to = brownie_client_certificate.app\n  id = \"" + id[1] + "\"\n}\n")
					testdb.Must(w.Apply())(t)
				}
				w.NoChanges()
				// One that was signed and not stored is valid, but its key was lost with the provider.
				lost := 0
				if step == "/sign/" && after || step == "/data/" && !after {
					lost = 1
				}
				if valid, _ := m.Serials(); len(valid) != 1+lost {
					t.Errorf("%v are valid", valid)
				}
			})
		}
	}
}
