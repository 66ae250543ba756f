//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

// TestStandbyCluster has a cluster in another namespace follow the first, and then the first follow it.
func TestStandbyCluster(t *testing.T) {
	there := namespace + "-standby"
	database, api := authority(t), authority(t)
	opens := func(other string) object {
		members := object{"podLabels": object{"app.kubernetes.io/name": "postgres-ha"}, "namespaceLabels": object{"kubernetes.io/metadata.name": other}}
		return object{
			"denyNamespace": true, "clients": []object{{"podLabels": object{"brownie.dev/postgres-client": "true"}}, members},
			"egress": []object{{"to": members, "ports": []int{5432}}},
		}
	}
	follows := func(here, other string) object {
		with := values(t)
		with["networkPolicy"] = opens(other)
		if here != "" {
			with["standby"] = object{"host": fmt.Sprintf("%s-primary.%s.svc", release, other)}
		}
		return with
	}
	install(t, follows("", there), secretsOf(t, database, api)...)
	first := leader(t)
	mustAsk(t, first, "brownie_metadata", "INSERT INTO public.ledger VALUES ('standby', 0, 1)")

	newNamespace(t, there)
	t.Cleanup(func() { removeNamespace(t, there) })
	applyIn(t, there, memberSecrets(t, there, database, api)...)
	helmIn(t, there, "install", release, "../postgres-ha/chart", "--values="+file(t, follows(there, namespace)), "--wait", "--timeout=3m")
	helmIn(t, there, "test", release, "--timeout=1m")
	hasRows(t, there, "t", 1)

	// First the one goes, then the other comes: nobody is in doubt who leads.
	start := time.Now()
	helm(t, "upgrade", release, "../postgres-ha/chart", "--values="+file(t, follows(namespace, there)), "--timeout=3m")
	hasRows(t, namespace, "t", 1)
	helmIn(t, there, "upgrade", release, "../postgres-ha/chart", "--values="+file(t, follows("", namespace)), "--timeout=3m")
	hasRows(t, there, "f", 1)
	t.Logf("the leader was in the other namespace after %.1f s", time.Since(start).Seconds())
	eventually(t, time.Minute, func(ctx context.Context) error {
		_, err := primary(ctx, there, "INSERT INTO public.ledger VALUES ('standby', 0, 2)")
		return err
	})
	hasRows(t, namespace, "t", 2)
}

// hasRows waits until the first member of a cluster is in recovery or not, and has so many rows of the test.
func hasRows(t *testing.T, namespace, recovers string, rows int) {
	t.Helper()
	want := fmt.Sprintf("%s %d", recovers, rows)
	eventually(t, 2*time.Minute, func(ctx context.Context) error {
		got, err := primary(ctx, namespace, "SELECT pg_is_in_recovery()::text::char || ' ' || count(*) FROM public.ledger WHERE run = 'standby'")
		if err == nil && got != want {
			err = fmt.Errorf("%s: %q, want %q", namespace, got, want)
		}
		return err
	})
}

// primary asks who leads a cluster, if only others that follow another one.
func primary(ctx context.Context, namespace, sql string) (string, error) {
	name, err := holderIn(ctx, namespace)
	if err == nil && name == "" {
		err = errors.New("nobody leads")
	}
	if err != nil {
		return "", err
	}
	return askIn(ctx, namespace, name, database, sql)
}
