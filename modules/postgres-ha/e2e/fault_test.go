//go:build e2e

package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// report is what the ledger's program tells.
type report struct {
	Gaps         []float64
	Acknowledged int
	Lost         int
	Extra        int
	Failures     map[string]int
}

func (r report) worst() float64 { return slices.Max(r.Gaps) }

// runs is how often a fault is repeated.
func runs(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv("RUNS"))
	if err != nil {
		return 1
	}
	return n
}

func TestSwitchover(t *testing.T) {
	fault(t, 5, func(t *testing.T, leader string) {
		t.Helper()
		if _, err := inMember(t.Context(), leader, "patronictl", "switchover", release, "--leader", leader, "--force"); err != nil {
			t.Fatal(err)
		}
	}, moved)
}

func TestKill(t *testing.T) { fault(t, 5, kill, moved) }

// TestQuorum kills a leader for whose writes any replica's word is enough, and whose log has a volume of its own.
func TestQuorum(t *testing.T) {
	with := values(t)
	with["synchronous"] = object{"mode": "quorum"}
	with["wal"] = object{"enabled": true, "size": "1Gi"}
	install(t, with, secrets(t)...)
	t.Cleanup(func() {
		_, _ = attempt(context.Background(), "", setting(t, "HELM"), "--namespace", namespace, "uninstall", release)
	}) // Others want the usual one.
	first := leader(t)
	for _, name := range append(others(first), first) {
		got, err := inMember(t.Context(), name, "readlink", "/var/lib/postgresql/data/pg_wal")
		if err != nil || got != "/var/lib/postgresql-wal/pg_wal" {
			t.Errorf("%s: the log is in %q: %v", name, got, err)
		}
	}
	if got := mustAsk(t, first, "postgres", "SHOW synchronous_standby_names"); !strings.HasPrefix(got, "ANY 1 (") {
		t.Errorf("the synchronous standbys are %q", got)
	}
	fault(t, 5, kill, moved)
}

func kill(t *testing.T, leader string) {
	t.Helper()
	if _, err := inMember(t.Context(), leader, "sh", "-c", "kill -9 $(head -n 1 $PGDATA/postmaster.pid)"); err != nil {
		t.Fatal(err)
	}
}

func TestDelete(t *testing.T) {
	fault(t, 6, func(t *testing.T, leader string) {
		t.Helper()
		mustKubectl(t, "delete", "pod", leader, "--wait=false")
	}, moved)
}

// TestEvict drains the leader's node, as far as it concerns the members.
func TestEvict(t *testing.T) {
	fault(t, 6, func(t *testing.T, leader string) {
		t.Helper()
		if err := evict(t.Context(), leader); err != nil {
			t.Fatal(err)
		}
		if err := evict(t.Context(), others(leader)[0]); err == nil || !strings.Contains(err.Error(), "disruption budget") {
			t.Errorf("a second member may be evicted at the same time: %v", err)
		}
	}, moved)
}

// TestFreeze stops all processes of the leader but process 1, which cannot be stopped from inside.
func TestFreeze(t *testing.T) {
	// Most of it is the kubelet, which has to see three failures and to restart the container.
	fault(t, 15, func(t *testing.T, leader string) {
		t.Helper()
		// The command's own end is not seen when the shell is stopped, too.
		_, _ = kubectl(t.Context(), "exec", leader, "--container=postgres", "--", "sh", "-c", "kill -STOP -1")
	}, func(string, string) error { return nil })
}

func evict(ctx context.Context, pod string) error {
	text, err := json.Marshal(object{
		"apiVersion": "policy/v1", "kind": "Eviction", "metadata": object{"name": pod, "namespace": namespace},
	})
	if err == nil {
		_, err = attempt(ctx, string(text), "kubectl", "create", "--raw",
			"/api/v1/namespaces/"+namespace+"/pods/"+pod+"/eviction", "--filename=-")
	}
	return err
}

// moved says that another member leads.
func moved(before, after string) error {
	if before == after {
		return fmt.Errorf("%s leads still", after)
	}
	return nil
}

// fault injects one while clients write, and compares their longest gap with what is too long, in seconds.
func fault(t *testing.T, tooLong float64, inject func(t *testing.T, leader string), expect func(before, after string) error) {
	t.Helper()
	var gaps []float64
	for i := range runs(t) {
		before := installed(t)
		name := fmt.Sprintf("ledger-%d", time.Now().UnixNano())
		ledger := startLedger(t, name, 15*time.Second)
		inject(t, before)
		got := ledger(t)
		after := leader(t)
		t.Logf("run %d: %s -> %s, gap %.2f s, acknowledged %d, lost %d, extra %d, failures %v",
			i+1, before, after, got.worst(), got.Acknowledged, got.Lost, got.Extra, got.Failures)
		if got.Lost != 0 || got.Acknowledged == 0 {
			t.Errorf("%d of %d acknowledged rows are lost", got.Lost, got.Acknowledged)
		}
		if err := expect(before, after); err != nil {
			t.Error(err)
		}
		sameEverywhere(t, after, name)
		gaps = append(gaps, got.worst())
	}
	slices.Sort(gaps)
	t.Logf("%s: n %d, median %.2f s, worst %.2f s", t.Name(), len(gaps), gaps[len(gaps)/2], gaps[len(gaps)-1])
	if worst := gaps[len(gaps)-1]; worst > tooLong {
		t.Errorf("the longest gap is %.2f s; at most %.1f s are promised", worst, tooLong)
	}
}

// sameEverywhere compares what the members have of a run.
func sameEverywhere(t *testing.T, leader, run string) {
	t.Helper()
	sum := fmt.Sprintf(`SELECT count(*) || ' ' || coalesce(sum(hashtext(l::text)::bigint), 0) FROM public.ledger l WHERE run = '%s'`, run)
	want := mustAsk(t, leader, "brownie_metadata", sum)
	for _, name := range others(leader) {
		eventually(t, 20*time.Second, func(ctx context.Context) error {
			got, err := ask(ctx, name, "brownie_metadata", sum)
			if err == nil && got != want {
				err = fmt.Errorf("%s has %s, the leader %s", name, got, want)
			}
			return err
		})
	}
}

// startLedger returns when clients write. What it returns waits for their report.
func startLedger(t *testing.T, name string, lasts time.Duration) func(*testing.T) report {
	t.Helper()
	arguments := []string{"-run=" + name, "-for=" + lasts.String(), "-connection=" + connection("primary")}
	startClient(t, name, "ledger", "writer", admitted, arguments...)
	eventually(t, time.Minute, func(ctx context.Context) error {
		output, err := kubectl(ctx, "logs", name)
		if err == nil && !strings.HasPrefix(output, "ready") {
			err = errors.New("the clients do not write yet")
		}
		return err
	})
	return func(t *testing.T) report {
		t.Helper()
		var got report
		eventually(t, 2*time.Minute, func(ctx context.Context) error {
			output, err := kubectl(ctx, "logs", name)
			if err != nil {
				return err
			}
			_, line, _ := strings.Cut(output, "\n")
			return json.Unmarshal([]byte(line), &got)
		})
		return got
	}
}
