//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// TestPooler checks what the pooler promises of access, and its two doors.
func TestPooler(t *testing.T) {
	installed(t)
	t.Run("one name leads to the leader, the other to a replica", func(t *testing.T) {
		for name, want := range map[string]string{database: writer + " f", database + "_ro": writer + " t"} {
			if got := login(t, "writer", admitted, pooled(name), "SELECT session_user || ' ' || pg_is_in_recovery()::text::char"); got != want {
				t.Errorf("%s answers %q, want %q", name, got, want)
			}
		}
	})
	t.Run("who may not use it", func(t *testing.T) {
		for secret, words := range map[string]string{"replication": "replicator", "pooler-client": "pgbouncer"} {
			connection := strings.Replace(pooled(database), "user="+writer, "user="+words, 1)
			if got := login(t, secret, admitted, connection, "SELECT 1"); !strings.Contains(got, "FATAL") {
				t.Errorf("%s is told %q", secret, got)
			}
		}
		if got := login(t, "writer", admitted, pooled("pgbouncer"), "SHOW VERSION"); !strings.Contains(got, "FATAL") {
			t.Errorf("the console is open: %q", got)
		}
	})
	t.Run("the service account", func(t *testing.T) {
		account := "--as=system:serviceaccount:" + namespace + ":" + pooler
		for _, question := range []string{"get secrets", "list secrets", "patch pods", "get configmaps", "update configmaps/" + release + "-leader"} {
			output, err := kubectl(t.Context(), append([]string{"auth", "can-i", account}, strings.Fields(question)...)...)
			if err == nil || !strings.HasPrefix(output, "no") {
				t.Errorf("it may %s: %s", question, output)
			}
		}
		output, err := kubectl(t.Context(), "exec", "deployment/"+pooler, "--container=pgbouncer", "--", "find", "/var/run/secrets", "/run/secrets")
		if err == nil {
			t.Errorf("PgBouncer's container has a token: %s", output)
		}
	})
	t.Run("two doors, and more poolers under load", func(t *testing.T) {
		with := poolerValues(t)
		with["autoscaling"] = object{"maximum": 3}
		with["outside"] = object{"enabled": true, "cidrs": []string{"192.0.2.0/24"}}
		// Without --wait: not every cluster has somebody who gives a load balancer its address.
		helm(t, "upgrade", pooler, "../pgbouncer/chart", "--values="+file(t, with))
		t.Cleanup(func() {
			_, _ = attempt(context.Background(), "", setting(t, "HELM"), "--namespace", namespace, "rollback", pooler)
		})
		if got := mustKubectl(t, "get", "service", pooler+"-outside", "--output=jsonpath={.spec.type} {.spec.loadBalancerSourceRanges}"); got !=
			`LoadBalancer ["192.0.2.0/24"]` {
			t.Errorf("the door outside is %s", got)
		}
		if got := mustKubectl(t, "get", "horizontalpodautoscaler", pooler, "--output=jsonpath={.spec.minReplicas} {.spec.maxReplicas}"); got != "2 3" {
			t.Errorf("from and to how many poolers: %s", got)
		}
	})
}

// poolerDeleted ends one pooler of two.
var poolerDeleted = fault{what: "one pooler's pod deleted", tooLong: 2, inject: func(t *testing.T, _ string) {
	t.Helper()
	name := mustKubectl(t, "get", "pods", "--selector="+poolerPods, "--output=jsonpath={.items[0].metadata.name}")
	mustKubectl(t, "delete", "pod", name, "--wait=false")
}, expect: stayed}

func TestPoolerDeleted(t *testing.T) { poolerDeleted.run(t) }

// TestPoolerReload renews the pooler's certificates and changes a setting while clients write: none notices.
func TestPoolerReload(t *testing.T) {
	clients := authority(t)
	install(t, values(t), secretsOf(t, clients, authority(t))...)
	before := untouched(t, poolerPods)
	ledger := startLedger(t, "pooler-reload", 30*time.Second)
	for _, o := range secretsOf(t, clients, authority(t)) {
		if name, _ := o["metadata"].(object)["name"].(string); strings.HasPrefix(name, "pooler-") {
			apply(t, o)
		}
	}
	with := poolerValues(t)
	with["settings"] = object{"default_pool_size": 7}
	helm(t, "upgrade", pooler, "../pgbouncer/chart", "--values="+file(t, with))
	mustKubectl(t, "annotate", "pods", "--selector="+poolerPods, "e2e=reload", "--overwrite")
	eventually(t, time.Minute, func(ctx context.Context) error {
		output, err := kubectl(ctx, "exec", "deployment/"+pooler, "--container=pgbouncer", "--", "grep", "-c", "default_pool_size = 7", "/run/pgbouncer/pgbouncer.ini")
		if err == nil && output != "1" {
			err = errors.New("the setting is not there")
		}
		return err
	})
	if got := ledger(t); got.Lost != 0 || len(got.Failures) != 0 {
		t.Errorf("clients failed: %+v", got)
	}
	if after := untouched(t, poolerPods); after != before {
		t.Errorf("poolers were replaced or restarted: %s before, %s after", before, after)
	}
}
