//go:build e2e

package e2e_test

import (
	"bufio"
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/cluster"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

const (
	writer        = "e2e-writer"
	administrator = "brownie-terraform"
)

// TestInstall installs the chart from nothing, and checks what it promises of access.
func TestInstall(t *testing.T) {
	install(t, values(t), secrets(t)...)
	first := leader(t)
	t.Run("helm test", func(t *testing.T) { helm(t, "test", release, "--timeout=1m") })
	t.Run("no password, no other login than by certificate", func(t *testing.T) {
		if n := mustAsk(t, first, "postgres", `SELECT count(*) FROM pg_authid WHERE rolpassword IS NOT NULL`); n != "0" {
			t.Errorf("%s roles have a password", n)
		}
		for _, name := range append(others(first), first) {
			got := mustAsk(t, name, "postgres", `SELECT string_agg(DISTINCT auth_method, ' ' ORDER BY auth_method) FROM pg_hba_file_rules`)
			if got != "cert peer reject" {
				t.Errorf("%s: the ways to log in are %s", name, got)
			}
		}
	})
	t.Run("replication", func(t *testing.T) {
		got := mustAsk(t, first, "postgres", `SELECT string_agg(s.usename || ' ' || l.ssl || ' ' || l.client_dn, ', ')
			FROM pg_stat_replication s JOIN pg_stat_ssl l USING (pid)`)
		if want := "replicator true /CN=replicator, replicator true /CN=replicator"; got != want {
			t.Errorf("the replicas log in as %s; want %s", got, want)
		}
		if got := mustAsk(t, first, "postgres", `SHOW synchronous_standby_names`); got == "" || strings.Contains(got, "None") {
			t.Errorf("the synchronous standbys are %q", got)
		}
	})
	t.Run("settings", func(t *testing.T) {
		for name, want := range map[string]string{
			"shared_preload_libraries": "pgaudit", "pgaudit.log": "ddl, role", "max_connections": "50", "work_mem": "5MB",
			"data_checksums": "on", "ssl_min_protocol_version": "TLSv1.3", "search_path": "pg_catalog, pg_temp",
			"wal_keep_size": "102MB", "max_wal_size": "102MB",
		} {
			if got := mustAsk(t, first, "postgres", "SHOW "+name); got != want {
				t.Errorf("%s is %s, want %s", name, got, want)
			}
		}
	})
	t.Run("the REST API", func(t *testing.T) {
		for login, admits := range map[string]bool{
			"": false,
			"--cert /tls/rewind/tls.crt --key /tls/rewind/tls.key": false, // another authority's
			"--cert /tls/api/tls.crt --key /tls/api/tls.key":       true,
		} {
			arguments := append([]string{"curl", "--silent", "--fail", "--cacert", "/tls/api/ca.crt"}, strings.Fields(login)...)
			output, err := inMember(t.Context(), others(first)[0], append(arguments, "https://"+first+"."+domain+":8008/patroni")...)
			if (err == nil) != admits || (output != "") != admits {
				t.Errorf("with %q: %s %v", login, output, err)
			}
		}
	})
	t.Run("the cluster, as brownie_cluster sees it", func(t *testing.T) {
		authorities, certificate, key := pems(t, "api")
		got, err := cluster.ReadFromPatroni(t.Context(), cluster.Patroni{
			URLs:        []string{fmt.Sprintf("https://localhost:%d", tunnel(t, others(first)[0], 8008))},
			Authorities: []byte(authorities), Certificate: []byte(certificate), Key: []byte(key),
		})
		if err != nil || got.Name != release || got.Paused || len(got.Members) != instances {
			t.Fatalf("got %+v, %v", got, err)
		}
		synchronous := 0
		for i, m := range got.Members {
			if (i == 0) != (m.Role == cluster.Leader) || (i == 0) != (*m.Name == first) || (i == 0) != (m.LagBytes == nil) || *m.Timeline < 1 {
				t.Errorf("member %d is %s, a %s of timeline %v", i, *m.Name, m.Role, m.Timeline)
			}
			if m.Synchronous {
				synchronous++
			}
		}
		if synchronous != 1 {
			t.Errorf("%d members are synchronous", synchronous)
		}
	})
	t.Run("the network", func(t *testing.T) {
		for _, way := range []string{direct("any"), pooled(database)} {
			if got := login(t, "writer", admitted, way, "SELECT session_user"); got != writer {
				t.Errorf("a pod with the label is told %q", got)
			}
			got := login(t, "writer", stranger, way, "SELECT 1")
			if !strings.Contains(got, "refused") && !strings.Contains(got, "timeout expired") {
				t.Errorf("a pod without the label is told %q", got)
			}
		}
	})
	t.Run("the service account", func(t *testing.T) {
		account := "--as=system:serviceaccount:" + namespace + ":" + release
		for _, question := range []string{
			"get secrets", "list secrets", "create pods", "delete pods", "update services", "get configmaps/other",
			"list persistentvolumeclaims", "patch persistentvolumeclaims/other", "delete persistentvolumeclaims/data-" + release + "-0",
		} {
			output, err := kubectl(t.Context(), append([]string{"auth", "can-i", account}, strings.Fields(question)...)...)
			if err == nil || !strings.HasPrefix(output, "no") {
				t.Errorf("it may %s: %s", question, output)
			}
		}
	})
}

// install makes a namespace that admits restricted pods only, with these objects, the cluster, and the pooler in front of it.
func install(t *testing.T, values object, objects ...object) {
	t.Helper()
	installBoth(t, "verify-full", values, poolerValues(t), objects...)
}

// installBoth has the pooler's values, too, and how much of the members' certificates holds at the end of a tunnel.
func installBoth(t *testing.T, sslmode string, values, pooling object, objects ...object) {
	t.Helper()
	newNamespace(t, namespace)
	apply(t, objects...)
	start := time.Now()
	helm(t, "install", release, "../postgres-ha/chart", "--values="+file(t, values), "--wait", "--timeout=4m")
	t.Logf("installed in %.1f s", time.Since(start).Seconds())
	first := leader(t)
	t.Logf("whole after %.1f s", time.Since(start).Seconds())
	migrate(t, first, sslmode)
	mustAsk(t, first, database, `CREATE ROLE pgbouncer LOGIN IN ROLE brownie_pooler;
		CREATE ROLE "`+writer+`" LOGIN IN ROLE brownie_pooled;
		CREATE TABLE public.ledger (run text, client int, n bigint, PRIMARY KEY (run, client, n));
		GRANT CONNECT ON DATABASE `+database+` TO pgbouncer, "`+writer+`";
		GRANT SELECT, INSERT ON public.ledger TO "`+writer+`"`)
	start = time.Now()
	helm(t, "install", pooler, "../pgbouncer/chart", "--values="+file(t, pooling), "--wait", "--timeout=2m")
	t.Logf("the pooler was installed in %.1f s", time.Since(start).Seconds())
}

// newNamespace admits restricted pods only.
func newNamespace(t *testing.T, name string) {
	t.Helper()
	removeNamespace(t, name)
	applyIn(t, name, object{"apiVersion": "v1", "kind": "Namespace", "metadata": object{
		"name": name, "labels": object{"pod-security.kubernetes.io/enforce": "restricted"},
	}})
}

// installOnce installs a cluster of another kind for one test: the others want the usual one.
func installOnce(t *testing.T, values object) {
	t.Helper()
	install(t, values, secrets(t)...)
	t.Cleanup(func() {
		_, _ = attempt(context.Background(), "", setting(t, "HELM"), "--namespace", namespace, "uninstall", pooler, release)
	})
}

// migrate gives the database its schema, as the role that the first start made, through a tunnel.
func migrate(t *testing.T, leader, sslmode string) {
	t.Helper()
	config := postgres.Config{
		Host: "localhost", Port: tunnel(t, leader, 5432), Database: database, Username: administrator, SSLMode: sslmode,
	}
	config.SSLRootCert, config.SSLCert, config.SSLKey = pems(t, "administrator")
	testdb.Migrate(t, config.WithDefaults())
}

// pems are what a Secret holds.
func pems(t *testing.T, secret string) (authorities, certificate, key string) {
	t.Helper()
	for file, text := range map[string]*string{"ca.crt": &authorities, "tls.crt": &certificate, "tls.key": &key} {
		encoded := mustKubectl(t, "get", "secret", secret, "--output=jsonpath={.data."+strings.ReplaceAll(file, ".", `\.`)+"}")
		decoded, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			t.Fatal(err)
		}
		*text = string(decoded)
	}
	return authorities, certificate, key
}

// tunnel leads from a port of this machine to one of a pod, until the test ends.
func tunnel(t *testing.T, pod string, to int) (port int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	forward := exec.CommandContext(ctx, "kubectl", "--namespace", namespace, "port-forward", "pod/"+pod, fmt.Sprintf(":%d", to))
	output, err := forward.StdoutPipe()
	if err == nil {
		err = forward.Start()
	}
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = forward.Wait()
	})
	line, err := bufio.NewReader(output).ReadString('\n')
	if err == nil {
		_, err = fmt.Sscanf(line, "Forwarding from 127.0.0.1:%d ", &port)
	}
	if err != nil {
		t.Fatalf("no tunnel to %s: %q %s", pod, line, err)
	}
	return port
}

// removeNamespace removes what another test left, without waiting for pods to end politely.
func removeNamespace(t *testing.T, name string) {
	t.Helper()
	ctx := context.Background()
	// Nobody shall make new ones.
	_, _ = attempt(ctx, "", "kubectl", "--namespace", name, "delete", "statefulsets,deployments,jobs", "--all", "--cascade=orphan")
	_, _ = attempt(ctx, "", "kubectl", "--namespace", name, "delete", "pods", "--all", "--force")
	if _, err := attempt(ctx, "", "kubectl", "delete", "namespace", name, "--ignore-not-found", "--timeout=90s"); err != nil {
		t.Fatal(err)
	}
}

func helm(t *testing.T, arguments ...string) string {
	t.Helper()
	return helmIn(t, namespace, arguments...)
}

func helmIn(t *testing.T, namespace string, arguments ...string) string {
	t.Helper()
	output, err := attempt(t.Context(), "", setting(t, "HELM"), append([]string{"--namespace", namespace}, arguments...)...)
	if err != nil {
		t.Fatal(err)
	}
	return output
}

func values(t *testing.T) object {
	t.Helper()
	certificates := object{}
	for _, kind := range []string{"server", "replication", "rewind", "api"} {
		certificates[kind] = object{"secret": kind}
	}
	return object{
		"image":         image(t, "postgres"),
		"instances":     instances,
		"certificates":  certificates,
		"storage":       object{"size": "1Gi"},
		"resources":     object{"requests": object{"cpu": "50m", "memory": "256Mi"}, "limits": object{"memory": "768Mi"}},
		"postgresql":    object{"parameters": object{"max_connections": 50, "work_mem": "5MB"}},
		"networkPolicy": object{"denyNamespace": true},
	}
}

func poolerValues(t *testing.T) object {
	t.Helper()
	return object{
		"cluster": object{"name": release}, "image": image(t, "pgbouncer"), "leader": object{"image": image(t, "brownie-leader")},
		"certificates": object{"server": object{"secret": "pooler-server"}, "client": object{"secret": "pooler-client"}},
		"resources":    object{"requests": object{"cpu": "50m", "memory": "32Mi"}},
	}
}

// image is one of those that tools/e2e.sh has made.
func image(t *testing.T, name string) object {
	t.Helper()
	return object{"repository": setting(t, "E2E_IMAGES") + "/" + name, "tag": setting(t, "E2E_TAG")}
}

// file holds values for Helm.
func file(t *testing.T, values object) string {
	t.Helper()
	text, err := json.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	// A folder of a subtest may have a comma, which Helm takes for the end of the name.
	file, err := os.CreateTemp("", "values-*.json") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(file.Name()) })
	if _, err := file.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Name()
}

// secrets are certificates of two authorities: one for PostgreSQL, and one for Patroni's REST API.
func secrets(t *testing.T) []object {
	t.Helper()
	return secretsOf(t, authority(t), authority(t))
}

func secretsOf(t *testing.T, clients, api *devstack.Authority) []object {
	t.Helper()
	return append(memberSecrets(t, namespace, clients, api),
		secret(t, "writer", clients, writer, nil, usedByClient),
		secret(t, "administrator", clients, administrator, nil, usedByClient),
		secret(t, "pooler-server", clients, pooler, []string{pooler + "." + namespace + ".svc"}, usedByServer),
		secret(t, "pooler-client", clients, "pgbouncer", nil, usedByClient),
	)
}

var (
	usedByServer = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	usedByClient = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
)

// memberSecrets are what members in that namespace need.
func memberSecrets(t *testing.T, namespace string, clients, api *devstack.Authority) []object {
	t.Helper()
	members := fmt.Sprintf("*.%s-members.%s.svc", release, namespace)
	names := []string{members, "localhost"} // the end of a tunnel
	for _, service := range []string{"primary", "replicas", "any"} {
		names = append(names, fmt.Sprintf("%s-%s.%s.svc", release, service, namespace))
	}
	return []object{
		secret(t, "server", clients, release, names, usedByServer),
		secret(t, "replication", clients, "replicator", nil, usedByClient),
		secret(t, "rewind", clients, "rewind", nil, usedByClient),
		secret(t, "api", api, "api", []string{members, "localhost"}, append(slices.Clone(usedByClient), usedByServer...)),
	}
}

func authority(t *testing.T) *devstack.Authority {
	t.Helper()
	a, err := devstack.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func secret(t *testing.T, name string, by *devstack.Authority, common string, names []string, usages []x509.ExtKeyUsage) object {
	t.Helper()
	return secretUntil(t, name, by, common, names, usages, time.Time{})
}

// secretUntil holds a certificate that expires then, or in a month.
func secretUntil(
	t *testing.T, name string, by *devstack.Authority, common string, names []string, usages []x509.ExtKeyUsage, until time.Time,
) object {
	t.Helper()
	certificate, key, err := by.Issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: common}, DNSNames: names, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: usages, NotAfter: until,
	})
	if err != nil {
		t.Fatal(err)
	}
	return object{
		"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": object{"name": name},
		"stringData": object{"tls.crt": certificate, "tls.key": key, "ca.crt": by.PEM()},
	}
}

// installed makes sure that there is a whole cluster, and returns its leader.
func installed(t *testing.T) string {
	t.Helper()
	// The pooler comes last.
	if _, err := attempt(context.Background(), "", setting(t, "HELM"), "--namespace", namespace, "status", pooler); err != nil {
		install(t, values(t), secrets(t)...)
	}
	return leader(t)
}
