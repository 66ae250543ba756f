//go:build e2e

package e2e_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
)

// TestReload renews all certificates and changes settings while clients write: no client notices, and nothing is restarted.
func TestReload(t *testing.T) {
	database, api := authority(t), authority(t)
	install(t, values(t), secretsOf(t, database, api)...)
	leads := leader(t)
	pods := untouched(t, "")
	const run = "reload"
	ledger := startLedger(t, run, 30*time.Second)

	before := map[string]string{}
	for _, port := range []string{"5432 -starttls postgres", "8008"} {
		before[port] = shown(t, leads, port)
	}
	apply(t, secretsOf(t, database, api)...)
	changed := values(t)
	changed["postgresql"] = object{"parameters": object{"work_mem": "6MB"}}
	helm(t, "upgrade", release, "../postgres-ha/chart", "--values="+file(t, changed))
	// The kubelet looks at once at pods that change; else within a minute or two.
	mustKubectl(t, "annotate", "pods", "--selector=cluster-name="+release, "e2e=reload", "--overwrite")
	for port, old := range before {
		eventually(t, 2*time.Minute, func(context.Context) error {
			if shown(t, leads, port) == old {
				return fmt.Errorf("port %s shows the old certificate", port)
			}
			return nil
		})
	}
	for _, name := range append(others(leads), leads) {
		eventually(t, 2*time.Minute, func(ctx context.Context) error {
			got, err := ask(ctx, name, "postgres", "SHOW work_mem")
			if err == nil && got != "6MB" {
				err = fmt.Errorf("%s: work_mem is %s", name, got)
			}
			return err
		})
	}
	if got := ledger(t); got.Lost != 0 || len(got.Failures) != 0 {
		t.Errorf("clients failed: %+v", got)
	}
	if now := leader(t); now != leads {
		t.Errorf("the leader moved from %s to %s", leads, now)
	}
	_, _ = kubectl(t.Context(), "delete", "pod", run)
	after := untouched(t, "")
	if after != pods {
		t.Errorf("pods were replaced or restarted: %s before, %s after", pods, after)
	}
	t.Run("a setting that is no longer given", func(t *testing.T) {
		eventually(t, time.Minute, func(ctx context.Context) error {
			got, err := inMember(ctx, leads, "patronictl", "show-config")
			if err == nil && strings.Contains(got, "max_connections") {
				err = errors.New(got)
			}
			return err
		})
	})
}

// shown is the serial number of the certificate that a member shows.
func shown(t *testing.T, name, port string) string {
	t.Helper()
	output, err := inMember(t.Context(), name, "sh", "-c", "openssl s_client -cert /tls/api/tls.crt -key /tls/api/tls.key "+
		"-connect 127.0.0.1:"+port+" </dev/null 2>/dev/null | openssl x509 -noout -serial")
	if err != nil {
		t.Fatal(err)
	}
	return output
}

// TestAuthority replaces both authorities, and all that they signed, while clients write: no client notices, and nothing is restarted.
func TestAuthority(t *testing.T) {
	old, oldAPI, next, nextAPI := authority(t), authority(t), authority(t), authority(t)
	// signed are all Secrets and the list of authorities, by whom and with whom they trust.
	signed := func(clients, api *devstack.Authority, trusted ...*devstack.Authority) []object {
		bundle, forAPI := "", api.PEM()
		for _, one := range trusted {
			bundle += one.PEM()
		}
		if len(trusted) > 1 {
			forAPI = oldAPI.PEM() + nextAPI.PEM()
		}
		objects := secretsOf(t, clients, api)
		for _, o := range objects {
			o["stringData"].(object)["ca.crt"] = bundle
			if o["metadata"].(object)["name"] == "api" {
				o["stringData"].(object)["ca.crt"] = forAPI
			}
		}
		return append(objects, object{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": object{"name": "authorities"}, "data": object{"ca.crt": bundle},
		})
	}
	with := values(t)
	with["certificates"].(object)["authorities"] = object{"configMap": "authorities"}
	former := secret(t, "former", old, writer, nil, usedByClient)
	install(t, with, append(signed(old, oldAPI, old), former)...)
	before := leads(t)
	const releases = "app.kubernetes.io/instance"
	all, ledger := untouched(t, releases), startLedger(t, "authority", 2*time.Minute)
	for i, step := range [][]object{
		signed(old, oldAPI, old, next), signed(next, nextAPI, old, next), signed(next, nextAPI, next),
	} {
		apply(t, step...)
		mustKubectl(t, "annotate", "pods", "--all", fmt.Sprintf("e2e=%d", i), "--overwrite")
		trusts(t, step)
	}
	got := ledger(t)
	t.Log(got)
	if err := got.kept(); err != nil || len(got.Failures) != 0 {
		t.Errorf("clients failed: %v", err)
	}
	if err := stayed(before, leads(t)); err != nil {
		t.Error(err)
	}
	mustKubectl(t, "delete", "pod", "authority")
	if after := untouched(t, releases); after != all {
		t.Errorf("pods were replaced or restarted: %s before, %s after", all, after)
	}
	for _, way := range []string{direct("any"), pooled(database)} {
		// Whom the client trusts is not the question.
		way = strings.Replace(way, "sslmode=verify-full sslrootcert=/tls/ca.crt", "sslmode=require", 1)
		if got := login(t, "former", admitted, way, "SELECT 1"); !strings.Contains(got, "unknown ca") {
			t.Errorf("who was signed by the former authority is told %q", got)
		}
	}
}

// TestExpired lets the certificates of Patroni's API expire, all at once: nobody is restarted or taken out of a Service, and clients go
// on, but members cannot be told what to do until there are new ones.
func TestExpired(t *testing.T) {
	clients, api := authority(t), authority(t)
	install(t, values(t), secretsOf(t, clients, api)...)
	before := leads(t)
	issue := func(until time.Time) object {
		return secretUntil(t, "api", api, "api", []string{"*." + domain}, append(slices.Clone(usedByClient), usedByServer...), until)
	}
	all, until := untouched(t, "cluster-name="+release), time.Now().Add(40*time.Second)
	short := issue(until)
	apply(t, short)
	mustKubectl(t, "annotate", "pods", "--selector=cluster-name="+release, "e2e=short", "--overwrite")
	trusts(t, []object{short})
	time.Sleep(time.Until(until))
	ledger := startLedger(t, "expired", 30*time.Second)
	if _, err := inMember(t.Context(), before.Member, "sh", "/etc/patroni/api", "GET", "liveness"); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("the certificate is good: %v", err)
	}
	time.Sleep(10 * time.Second)
	ready := mustKubectl(t, "get", "pods", "--selector=cluster-name="+release, `--output=jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}`)
	if ready != "True True True" {
		t.Errorf("members that are ready: %s", ready)
	}
	got := ledger(t)
	t.Log(got)
	if err := got.kept(); err != nil || len(got.Failures) != 0 {
		t.Errorf("clients failed: %v", err)
	}
	apply(t, issue(time.Time{}))
	mustKubectl(t, "annotate", "pods", "--selector=cluster-name="+release, "e2e=long", "--overwrite")
	eventually(t, 2*time.Minute, func(ctx context.Context) error {
		_, err := inMember(ctx, before.Member, "sh", "/etc/patroni/api", "GET", "liveness")
		return err
	})
	if after := untouched(t, "cluster-name="+release); after != all {
		t.Errorf("members were replaced or restarted: %s before, %s after", all, after)
	}
	if err := stayed(before, leads(t)); err != nil {
		t.Error(err)
	}
}

// trusts waits until every pod has its new files, and then until they are read.
func trusts(t *testing.T, objects []object) {
	t.Helper()
	wanted := map[string]object{}
	for _, o := range objects {
		if data, ok := o["stringData"].(object); ok {
			wanted[o["metadata"].(object)["name"].(string)] = data
		}
	}
	files := map[string]string{"/tls/server/": "server", "/tls/api/": "api", "/tls/replicator/": "replication"}
	pods := map[string]map[string]string{}
	for _, name := range others("") {
		pods[name] = files
	}
	for name := range strings.FieldsSeq(mustKubectl(t, "get", "pods", "--selector="+poolerPods, "--output=jsonpath={.items[*].metadata.name}")) {
		pods[name] = map[string]string{"/tls/server/": "pooler-server", "/tls/client/": "pooler-client"}
	}
	for pod, files := range pods {
		for folder, secret := range files {
			if wanted[secret] == nil {
				continue
			}
			for _, file := range []string{"ca.crt", "tls.crt"} {
				eventually(t, 2*time.Minute, func(ctx context.Context) error {
					got, err := kubectl(ctx, "exec", pod, "--", "cat", folder+file)
					if err == nil && got != strings.TrimSpace(wanted[secret][file].(string)) {
						err = fmt.Errorf("%s of %s is still the old one", folder+file, pod)
					}
					return err
				})
			}
		}
	}
	time.Sleep(8 * time.Second)
}

// TestRevocation has the members refuse a certificate of which they learn by a list.
func TestRevocation(t *testing.T) {
	database, revoked := authority(t), big.NewInt(0)
	objects := secretsOf(t, database, authority(t))
	for _, o := range objects {
		if o["metadata"].(object)["name"] == "writer" {
			revoked = serial(t, o)
		}
	}
	list := func(serials ...*big.Int) object {
		now := time.Now()
		text, err := database.RevocationList(now.Add(-time.Minute), now.Add(48*time.Hour), serials...)
		if err != nil {
			t.Fatal(err)
		}
		return object{"apiVersion": "v1", "kind": "ConfigMap", "metadata": object{"name": "lists"}, "data": object{"list.pem": text}}
	}
	with := values(t)
	with["crl"] = object{
		"enabled": true, "image": image(t, "brownie-crl"), "interval": "2s", "lists": []string{"http://lists." + namespace + ".svc:8000/list.pem"},
	}
	with["networkPolicy"] = object{"egress": []object{{"to": object{"podLabels": object{"e2e": "lists"}}, "ports": []int{8000}}}}
	install(t, with, append(append(objects, list()), listServer(t)...)...)
	leader(t)
	if got := login(t, "writer", admitted, direct("any"), "SELECT 1"); got != "1" {
		t.Fatalf("a good certificate is refused: %s", got)
	}
	apply(t, list(revoked))
	mustKubectl(t, "annotate", "pod", "lists", "e2e=revoked", "--overwrite")
	eventually(t, time.Minute, func(context.Context) error {
		if got := login(t, "writer", admitted, direct("any"), "SELECT 1"); !strings.Contains(got, "revoked") {
			return fmt.Errorf("the client is told %q", got)
		}
		return nil
	})
	// Those of the members are good still.
	helm(t, "test", release, "--timeout=1m")
}

// serial is the number of a Secret's certificate.
func serial(t *testing.T, secret object) *big.Int {
	t.Helper()
	text, _ := secret["stringData"].(object)["tls.crt"].(string)
	block, _ := pem.Decode([]byte(text))
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return certificate.SerialNumber
}

// listServer is what an authority's web server is elsewhere.
func listServer(t *testing.T) []object {
	t.Helper()
	i := image(t, "postgres")
	return []object{
		{
			"apiVersion": "v1", "kind": "Service", "metadata": object{"name": "lists"},
			"spec": object{"selector": object{"e2e": "lists"}, "ports": []object{{"port": 8000}}},
		},
		{
			"apiVersion": "v1", "kind": "Pod", "metadata": object{"name": "lists", "labels": object{"e2e": "lists"}},
			"spec": object{
				"automountServiceAccountToken": false, "terminationGracePeriodSeconds": 0, "securityContext": podSecurity,
				"containers": []object{{
					"name": "lists", "image": fmt.Sprintf("%s:%s", i["repository"], i["tag"]), "imagePullPolicy": "IfNotPresent",
					"command":         []string{"python3", "-m", "http.server", "8000", "--directory", "/lists"},
					"securityContext": containerSecurity, "volumeMounts": []object{{"name": "lists", "mountPath": "/lists"}},
				}},
				"volumes": []object{{"name": "lists", "configMap": object{"name": "lists"}}},
			},
		},
	}
}
