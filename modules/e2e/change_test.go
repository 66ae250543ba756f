//go:build e2e

package e2e_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestScale adds two members and takes them away again, and then changes a setting and a pod's template, while clients write.
func TestScale(t *testing.T) {
	installed(t)
	ledger := startLedger(t, "scale", 3*time.Minute)
	for _, n := range []int{instances + 2, instances} {
		with := values(t)
		with["instances"] = n
		helm(t, "upgrade", release, "../postgres-ha/chart", "--values="+file(t, with), "--timeout=3m")
		eventually(t, 2*time.Minute, func(ctx context.Context) error {
			found, err := members(ctx)
			if err == nil && (len(found) != n || slices.ContainsFunc(found, func(m member) bool { return m.Role != "leader" && m.State != "streaming" })) {
				err = fmt.Errorf("the members are %v", found)
			}
			return err
		})
	}
	rollOut(t)
	got := ledger(t)
	t.Log(got)
	if err := got.kept(); err != nil {
		t.Error(err)
	}
	failed := 0
	for state, n := range got.Failures {
		failed += n
		if !slices.ContainsFunc([]string{"08", "57", "25006", "deadline", "connection"}, func(class string) bool { return strings.HasPrefix(state, class) }) {
			t.Errorf("a client was told %s, which it cannot take for a reason to try again", state)
		}
	}
	if failed*1000 > got.Acknowledged {
		t.Errorf("%d of %d transactions failed, which is more than 0.1 %%", failed, got.Acknowledged)
	}
	sameEverywhere(t, leader(t), "scale")
}

// TestEvictEach drains one member after the other: the leader moves when it is its turn, and only then.
func TestEvictEach(t *testing.T) {
	installed(t)
	ledger := startLedger(t, "evict-each", 90*time.Second)
	names := others("")
	rand.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	for _, name := range names {
		before := leads(t)
		pod := mustKubectl(t, "get", "pod", name, "--output=jsonpath={.metadata.uid}")
		if err := evict(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		eventually(t, time.Minute, func(ctx context.Context) error {
			if now, err := kubectl(ctx, "get", "pod", name, "--output=jsonpath={.metadata.uid}"); err != nil || now == pod {
				return errors.Join(errors.New("the pod was not replaced"), err)
			}
			return nil
		})
		expect := stayed
		if name == before.Member {
			expect = moved
		}
		if err := expect(before, leads(t)); err != nil {
			t.Errorf("%s was evicted: %s", name, err)
		}
	}
	got := ledger(t)
	t.Log(got)
	if err := got.kept(); err != nil {
		t.Error(err)
	}
}

// TestVolumeLost deletes the data of a leader that was just made. Patroni then does not know who has all that it acknowledged, and waits
// for a person, who finds the member that is furthest and makes it the leader, as the guide says.
func TestVolumeLost(t *testing.T) {
	fault{what: "new leader killed, and its volume lost at once", tooLong: 60, lasts: 45 * time.Second, inject: func(t *testing.T, leader string) {
		t.Helper()
		kill(t, leader)
		next := nextLeader(t, leader)
		_, err := inMember(t.Context(), next, "sh", "-c", "kill -9 $(head -n 1 $PGDATA/postmaster.pid); find $PGDATA -mindepth 1 -delete")
		if err != nil {
			t.Error(err)
		}
		time.Sleep(10 * time.Second)
		found, err := members(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(found, func(m member) bool { return m.Role == "leader" && m.State == "running" }) {
			return
		}
		furthest := slices.MaxFunc(found, func(a, b member) int { return cmp.Or(cmp.Compare(a.TL, b.TL), cmp.Compare(a.replayed(), b.replayed())) })
		t.Logf("%s of timeline %d is made the leader by hand: %v", furthest.Member, furthest.TL, found)
		if _, err := inMember(t.Context(), leader, "patronictl", "failover", release, "--candidate", furthest.Member, "--force"); err != nil {
			t.Error(err)
		}
	}}.run(t)
}

// TestStarved takes the processor away for a minute, from the whole node or from its pods alone, whose kubelet then is the faster one to
// see that probes are late. Nobody is restarted.
func TestStarved(t *testing.T) {
	needsNode(t)
	const pods = `cd /sys/fs/cgroup/cpu/kubepods 2>/dev/null || cd /sys/fs/cgroup/kubepods* || exit 1
		give() { if [ -e cpu.max ]; then echo "$1 100000" | sed 's/^-1 /max /' >cpu.max; else echo "$1" >cpu.cfs_quota_us; fi; }
		`
	t.Cleanup(func() { _ = onNode(context.Background(), pods+"give -1") })
	for what, starve := range map[string]string{
		"processor taken away for a minute":               "for _ in $(seq $(($(nproc) * 8))); do nice -n -10 timeout 60 sh -c 'while :; do :; done' & done; wait; true",
		"processor taken away from the pods for a minute": pods + `for share in 40000 30000 20000 30000 40000 20000; do give $share; sleep 10; done; give -1`,
	} {
		t.Run(what, func(t *testing.T) {
			fault{what: what, tooLong: 60, lasts: 80 * time.Second, inject: func(t *testing.T, _ string) {
				t.Helper()
				const all = "app.kubernetes.io/instance in (" + release + "," + pooler + ")"
				before := untouched(t, all)
				if err := onNode(t.Context(), starve); err != nil {
					t.Error(err)
				}
				if after := untouched(t, all); after != before {
					t.Errorf("members or poolers were restarted: %s before, %s after", before, after)
				}
			}, expect: stayed}.run(t)
		})
	}
}

// TestLockedRole: who may no longer log in is out within five seconds, through the pooler, too.
func TestLockedRole(t *testing.T) {
	now := installed(t)
	ledger := startLedger(t, "locked", 20*time.Second)
	locked := time.Now()
	// What brownie_role does for `locked`: sessions end when nobody can begin another one.
	mustAsk(t, now, "postgres", fmt.Sprintf(`ALTER ROLE %q NOLOGIN`, writer))
	mustAsk(t, now, "postgres", fmt.Sprintf(`SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = '%s'`, writer))
	t.Cleanup(func() {
		_, _ = ask(context.Background(), now, "postgres", fmt.Sprintf(`ALTER ROLE %q LOGIN`, writer))
	})
	rows := func() string {
		return mustAsk(t, now, database, "SELECT count(*) FROM public.ledger WHERE run = 'locked'")
	}
	time.Sleep(5*time.Second - time.Since(locked))
	before := rows()
	time.Sleep(2 * time.Second)
	if after := rows(); after != before {
		t.Errorf("a locked role writes: %s rows, then %s", before, after)
	}
	mustAsk(t, now, "postgres", fmt.Sprintf(`ALTER ROLE %q LOGIN`, writer))
	if got := ledger(t); len(got.Failures) == 0 {
		t.Errorf("nobody was refused: %s", got)
	}
}
