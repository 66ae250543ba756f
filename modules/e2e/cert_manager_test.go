//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testvault"
)

// TestMain stops the Vault that a test may have started.
func TestMain(m *testing.M) { testvault.Main(m) }

// TestCertManager has cert-manager take all certificates from a Vault: they are renewed while clients write, no client notices, and
// nothing is restarted.
func TestCertManager(t *testing.T) {
	if _, err := kubectl(t.Context(), "get", "customresourcedefinition", "issuers.cert-manager.io"); err != nil {
		t.Skip("NOT RUN: the cluster has no cert-manager")
	}
	t.Run("Secrets", func(t *testing.T) {
		v := newAuthorities(t, true)
		members, poolers := v.values(t, object{})
		installBoth(t, unnamed, members, poolers, v.objects(t)...)
		helm(t, "test", release, "--timeout=1m")
		v.renews(t, func() {
			// cert-manager makes anew what is to be different.
			upgrade(t, members, poolers, "duration", "700h")
		})
	})
	t.Run("csi-driver", func(t *testing.T) {
		if _, err := kubectl(t.Context(), "get", "csidriver", "csi.cert-manager.io"); err != nil {
			t.Skip("NOT RUN: the cluster has no csi-driver of cert-manager")
		}
		v := newAuthorities(t, false)
		// The driver renews by itself, every other minute.
		members, poolers := v.values(t, object{"csi": true, "duration": "5m", "renewBefore": "3m"})
		installBoth(t, unnamed, members, poolers, append(v.objects(t), bundle(v.trusted))...)
		helm(t, "test", release, "--timeout=1m")
		t.Run("keys", testKeys)
		v.renews(t, func() {})
		t.Run("authorities", func(t *testing.T) {
			ledger := startLedger(t, "named", 2*time.Minute)
			upgrade(t, members, poolers, "authorities", object{"configMap": "authorities"})
			got := ledger(t)
			t.Log(got)
			if err := got.kept(); err != nil {
				t.Error(err)
			}
			helm(t, "test", release, "--timeout=1m")
			conninfo := mustAsk(t, others(leader(t))[0], "postgres", "SHOW primary_conninfo")
			if !strings.Contains(conninfo, "sslrootcert=/tls/authorities/") {
				t.Errorf("replicas trust another file: %s", conninfo)
			}
			next := authority(t)
			guest := secret(t, "guest", next, writer, nil, usedByClient)
			guest["stringData"].(object)["ca.crt"] = v.trusted
			apply(t, guest)
			tells := func(way, words string) {
				t.Helper()
				eventually(t, 2*time.Minute, func(context.Context) error {
					if got := login(t, "guest", admitted, way, "SELECT session_user"); !strings.Contains(got, words) {
						return fmt.Errorf("%s tells %q", way, got)
					}
					return nil
				})
			}
			ways := []string{direct("any"), pooled(database)}
			for _, way := range ways {
				tells(way, "unknown ca")
			}
			apply(t, bundle(v.trusted+next.PEM()))
			mustKubectl(t, "annotate", "pods", "--all", "e2e=bundle", "--overwrite")
			for _, way := range ways {
				tells(way, writer)
			}
		})
		t.Run("replicas follow another leader, with certificates of later", func(t *testing.T) {
			first := leader(t)
			switchover(t, first)
			if now := leader(t); now == first {
				t.Errorf("%s still leads", now)
			}
		})
	})
}

// unnamed: the chart asks for no certificate that names the end of a tunnel.
const unnamed = "verify-ca"

// upgrade changes one value of all certificates.
func upgrade(t *testing.T, members, poolers object, name string, value any) {
	t.Helper()
	members["certificates"].(object)[name], poolers["certificates"].(object)[name] = value, value
	helm(t, "upgrade", release, "../postgres-ha/chart", "--values="+file(t, members), "--wait", "--timeout=5m")
	helm(t, "upgrade", pooler, "../pgbouncer/chart", "--values="+file(t, poolers), "--wait", "--timeout=2m")
}

// authorities are two on a Vault, that of PostgreSQL and that of Patroni's REST API.
type authorities struct {
	clients, api *testvault.Mounts
	// trusted is the first one's certificate.
	trusted string
}

// newAuthorities sign names with a wildcard or not: a Secret is all members', while the csi-driver asks for each by its own name.
func newAuthorities(t *testing.T, wildcards bool) authorities {
	t.Helper()
	v := authorities{clients: testvault.New(t), api: testvault.New(t)}
	v.trusted, _ = v.clients.Must(http.MethodGet, v.clients.PKI+"/cert/ca", nil)["certificate"].(string)
	v.trusted = strings.TrimSpace(v.trusted) + "\n"
	for name, common := range v.users() {
		v.role(v.clients, name, object{"client_flag": true, "allowed_domains": []string{common}})
	}
	services := []string{domain}
	for _, service := range []string{"primary", "replicas", "any"} {
		services = append(services, fmt.Sprintf("%s-%s.%s.svc", release, service, namespace))
	}
	v.role(v.clients, "server", object{
		"server_flag": true, "allowed_domains": services, "allow_subdomains": true, "allow_wildcard_certificates": wildcards,
	})
	v.role(v.clients, "pooler-server", object{"server_flag": true, "allowed_domains": []string{pooler + "." + namespace + ".svc"}})
	v.role(v.api, "api", object{
		"server_flag": true, "client_flag": true, "allowed_domains": []string{release + "-api", domain}, "allow_subdomains": true,
		"allow_wildcard_certificates": wildcards,
	})
	return v
}

// users are clients of PostgreSQL: the role on Vault, and the common name.
func (authorities) users() map[string]string {
	return map[string]string{
		"replication": "replicator", "rewind": "rewind", "pooler-client": "pgbouncer", "writer": writer, "administrator": administrator,
	}
}

// role lets Vault sign nothing but these names, as the roles of the module vault-pki do.
func (authorities) role(m *testvault.Mounts, name string, settings object) {
	all := object{
		"key_type": "ec", "key_bits": 256, "key_usage": []string{"DigitalSignature"}, "client_flag": false, "server_flag": false,
		"allow_bare_domains": true, "allow_subdomains": false, "allow_wildcard_certificates": false, "cn_validations": []string{"hostname"},
		"enforce_hostnames": false, "use_csr_common_name": false, "use_csr_sans": false, "max_ttl": "720h",
	}
	maps.Copy(all, settings)
	m.Must(http.MethodPost, m.PKI+"/roles/"+name, all)
}

// values have the issuers sign what the tests else give in Secrets.
func (authorities) values(t *testing.T, certificates object) (members, poolers object) {
	t.Helper()
	members, poolers = values(t), poolerValues(t)
	for kind := range members["certificates"].(object) {
		members["certificates"].(object)[kind] = object{"issuer": kind}
	}
	for kind := range poolers["certificates"].(object) {
		poolers["certificates"].(object)[kind] = object{"issuer": "pooler-" + kind}
	}
	for _, with := range []object{members, poolers} {
		maps.Copy(with["certificates"].(object), certificates)
	}
	return members, poolers
}

// objects are the issuers, what they log in to Vault with, and the clients' certificates.
func (v authorities) objects(t *testing.T) []object {
	t.Helper()
	token := v.clients.TokenWith(fmt.Sprintf(
		`path "%s/sign/*" { capabilities = ["update"] } path "%s/sign/*" { capabilities = ["update"] }`, v.clients.PKI, v.api.PKI))
	all := []object{{
		"apiVersion": "v1", "kind": "Secret", "metadata": object{"name": "vault"}, "stringData": object{"token": token},
	}}
	server := v.url(t)
	issuer := func(name string, m *testvault.Mounts) object {
		return object{
			"apiVersion": "cert-manager.io/v1", "kind": "Issuer", "metadata": object{"name": name},
			"spec": object{"vault": object{
				"server": server, "path": m.PKI + "/sign/" + name, "auth": object{"tokenSecretRef": object{"name": "vault", "key": "token"}},
			}},
		}
	}
	for _, name := range []string{"server", "replication", "rewind", "pooler-server", "pooler-client"} {
		all = append(all, issuer(name, v.clients))
	}
	all = append(all, issuer("api", v.api))
	for _, name := range own {
		got := v.clients.Must(http.MethodPost, v.clients.PKI+"/issue/"+name, object{"common_name": v.users()[name]})
		all = append(all, object{
			"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": object{"name": name},
			"stringData": object{"tls.crt": got["certificate"], "tls.key": got["private_key"], "ca.crt": v.trusted},
		})
	}
	return all
}

// own are the tests' clients, who have Secrets.
var own = []string{"writer", "administrator"}

// url is where pods reach Vault.
func (v authorities) url(t *testing.T) string {
	t.Helper()
	if !v.clients.OnThisHost() {
		return v.clients.Address
	}
	// A server of ours listens where nobody else reaches it. No packet is sent.
	node := mustKubectl(t, "get", "nodes", `--output=jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}`)
	way, err := net.Dial("udp", net.JoinHostPort(node, "9"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = way.Close() }()
	host, _, _ := net.SplitHostPort(way.LocalAddr().String())
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	target, err := url.Parse(v.clients.Address)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: httputil.NewSingleHostReverseProxy(target), ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return "http://" + listener.Addr().String()
}

// bundle holds those who sign clients and servers.
func bundle(text string) object {
	return object{"apiVersion": "v1", "kind": "ConfigMap", "metadata": object{"name": "authorities"}, "data": object{"ca.crt": text}}
}

// renews waits until all servers show another certificate than now, while clients write.
func (v authorities) renews(t *testing.T, renew func()) {
	t.Helper()
	// Jobs come and go.
	const pods = "app.kubernetes.io/instance,app.kubernetes.io/component!=rollout"
	all, leading := untouched(t, pods), leads(t)
	// It sees the poolers, and keeps a session meanwhile.
	startClient(t, "watcher", "postgres", "writer", admitted, pooled(database), "SELECT pg_catalog.pg_sleep(600)")
	mustKubectl(t, "wait", "--for=condition=Ready", "pod/watcher", "--timeout=30s")
	before := map[string]string{}
	for _, place := range v.places(t) {
		before[place] = v.shown(t, place)
	}
	ledger := startLedger(t, "cert-manager", 150*time.Second)
	start := time.Now()
	renew()
	eventually(t, 140*time.Second, func(context.Context) error {
		mustKubectl(t, "annotate", "pods", "--all", fmt.Sprintf("e2e=%d", time.Now().Unix()), "--overwrite")
		for place, old := range before {
			if now := v.shown(t, place); now == "" || now == old {
				time.Sleep(3 * time.Second) // Looking costs as much as serving.
				return fmt.Errorf("%s shows the old certificate", place)
			}
			delete(before, place)
		}
		return nil
	})
	t.Logf("all servers show a new certificate after %.0f s", time.Since(start).Seconds())
	got := ledger(t)
	t.Log(got)
	if err := got.kept(); err != nil || len(got.Failures) != 0 {
		t.Errorf("clients failed: %v %v", err, got.Failures)
	}
	if phase := mustKubectl(t, "get", "pod", "watcher", "--output=jsonpath={.status.phase}"); phase != "Running" {
		t.Errorf("a session ended: %s", mustKubectl(t, "logs", "watcher"))
	}
	mustKubectl(t, "delete", "pod", "watcher", "--wait=false")
	if err := stayed(leading, leads(t)); err != nil {
		t.Error(err)
	}
	if now := untouched(t, pods); now != all {
		t.Errorf("pods were replaced or restarted: %s before, %s after", all, now)
	}
}

// places are where servers show a certificate: a member and its port, or the address of a pooler.
func (authorities) places(t *testing.T) []string {
	t.Helper()
	all := strings.Fields(mustKubectl(t, "get", "pods", "--selector="+poolerPods, "--output=jsonpath={.items[*].status.podIP}"))
	for _, name := range others("") {
		all = append(all, name+" 5432 -starttls postgres", name+" 8008")
	}
	return all
}

// shown is the serial number of the certificate there.
func (authorities) shown(t *testing.T, place string) string {
	t.Helper()
	if name, port, member := strings.Cut(place, " "); member {
		return shown(t, name, port)
	}
	return mustKubectl(t, "exec", "watcher", "--", "sh", "-c", "openssl s_client -starttls postgres -connect "+
		net.JoinHostPort(place, "6432")+" </dev/null 2>/dev/null | openssl x509 -noout -serial")
}

// testKeys looks for keys where none should be.
func testKeys(t *testing.T) {
	all := strings.Fields(mustKubectl(t, "get", "secrets", `--output=jsonpath={range .items[?(@.data.tls\.key)]}{.metadata.name}{"\n"}{end}`))
	if all = slices.DeleteFunc(all, func(name string) bool { return slices.Contains(own, name) }); len(all) != 0 {
		t.Errorf("Secrets with a key: %s", all)
	}
	for name := range strings.FieldsSeq(mustKubectl(t, "get", "certificates.cert-manager.io", "--output=name")) {
		t.Errorf("cert-manager keeps %s", name)
	}
	for _, name := range others("") {
		got, err := inMember(t.Context(), name, "sh", "-c",
			"stat -Lc '%a %u:%g' /tls/server/tls.key && openssl x509 -in /tls/server/tls.crt -noout -ext subjectAltName")
		if err != nil || !strings.HasPrefix(got, "440 0:10001\n") ||
			strings.Contains(got, "*") || !strings.Contains(got, "DNS:"+name+"."+domain) {
			t.Errorf("%s has %s: %v", name, got, err)
		}
	}
}
