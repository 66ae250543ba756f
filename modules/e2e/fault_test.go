//go:build e2e

package e2e_test

import (
	"cmp"
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
	Split        int
	Unread       []float64
	Failures     map[string]int
}

func (r report) worst() float64 { return slices.Max(r.Gaps) }

func (r report) String() string {
	return fmt.Sprintf("gap %.2f s, acknowledged %d, lost %d, extra %d, by two leaders %d, unread %.2f s, failures %v",
		r.worst(), r.Acknowledged, r.Lost, r.Extra, r.Split, r.Unread, r.Failures)
}

// kept judges that nothing is lost, and that a former leader acknowledged nothing.
func (r report) kept() error {
	if r.Lost != 0 || r.Split != 0 || r.Acknowledged == 0 {
		return errors.New("rows are lost, or two members wrote: " + r.String())
	}
	return nil
}

// runs is how often a fault is repeated.
func runs(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv("RUNS"))
	if err != nil {
		return 1
	}
	return n
}

// fault is something that happens while clients write.
type fault struct {
	// what it is, for the table of results.
	what string
	// tooLong is which gap fails the test, in seconds.
	tooLong float64
	// readable: reads go on.
	readable bool
	// lasts is how long clients write. Default: 15 s.
	lasts  time.Duration
	inject func(t *testing.T, leader string)
	// expect judges who leads before and afterwards. Default: it does not matter.
	expect func(before, after member) error
}

var switchedOver = fault{what: "planned switchover, strict", tooLong: 5, inject: switchover, expect: moved}

func TestSwitchover(t *testing.T) { switchedOver.run(t) }

// TestSwitchoverNotStrict moves a leader that may acknowledge alone.
func TestSwitchoverNotStrict(t *testing.T) {
	with := values(t)
	with["synchronous"] = object{"strict": false}
	installOnce(t, with)
	fault{what: "planned switchover, not strict", tooLong: 3, inject: switchover, expect: moved}.run(t)
}

func switchover(t *testing.T, leader string) {
	t.Helper()
	if _, err := inMember(t.Context(), leader, "patronictl", "switchover", release, "--leader", leader, "--force"); err != nil {
		t.Fatal(err)
	}
}

var killed = fault{what: "PostgreSQL of the leader killed (kill -9)", tooLong: 3, inject: kill, expect: moved}

func TestKill(t *testing.T) { killed.run(t) }

// killedTwice kills the new leader, too.
var killedTwice = fault{what: "the leader killed, and the new one 1.5 s after it was made", tooLong: 5, inject: func(t *testing.T, leader string) {
	t.Helper()
	kill(t, leader)
	next := nextLeader(t, leader)
	time.Sleep(1500 * time.Millisecond)
	kill(t, next)
}}

// holder has the leader's lock.
func holder(ctx context.Context) (string, error) { return holderIn(ctx, namespace) }

func holderIn(ctx context.Context, namespace string) (string, error) {
	return attempt(ctx, "", "kubectl", "--namespace", namespace, "get", "configmap", release+"-leader",
		"--output=jsonpath={.metadata.annotations.leader}")
}

// nextLeader waits for another one.
func nextLeader(t *testing.T, leader string) string {
	t.Helper()
	next := ""
	eventually(t, 45*time.Second, func(ctx context.Context) error {
		var err error
		if next, err = holder(ctx); err == nil && (next == leader || next == "") {
			err = errors.New("nobody else leads")
		}
		return err
	})
	return next
}

func TestDoubleKill(t *testing.T) { killedTwice.run(t) }

// TestQuorum kills a leader for whose writes any replica's word is enough, and whose log has a volume of its own.
func TestQuorum(t *testing.T) {
	with := values(t)
	with["synchronous"] = object{"mode": "quorum"}
	with["wal"] = object{"enabled": true, "size": "1Gi"}
	installOnce(t, with)
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
	for _, f := range []fault{killed, forceDeleted, killedTwice} {
		f.what += ", with mode quorum"
		f.run(t)
	}
}

func kill(t *testing.T, leader string) {
	t.Helper()
	if _, err := inMember(t.Context(), leader, "sh", "-c", "kill -9 $(head -n 1 $PGDATA/postmaster.pid)"); err != nil {
		t.Fatal(err)
	}
}

var deleted = fault{what: "leader's pod deleted", tooLong: 4, inject: func(t *testing.T, leader string) {
	t.Helper()
	mustKubectl(t, "delete", "pod", leader, "--wait=false")
}, expect: moved}

func TestDelete(t *testing.T) { deleted.run(t) }

// forceDeleted takes the pod's object away at once. Its successor of the same name may take its own lock again.
var forceDeleted = fault{what: "leader's pod deleted by force", tooLong: 4, inject: func(t *testing.T, leader string) {
	t.Helper()
	mustKubectl(t, "delete", "pod", leader, "--force", "--grace-period=0", "--wait=false")
}}

func TestForceDelete(t *testing.T) { forceDeleted.run(t) }

// evicted drains the leader's node, as far as it concerns the members.
var evicted = fault{what: "leader's pod evicted, as a drain does", tooLong: 4, inject: func(t *testing.T, leader string) {
	t.Helper()
	if err := evict(t.Context(), leader); err != nil {
		t.Fatal(err)
	}
	if err := evict(t.Context(), others(leader)[0]); err == nil || !strings.Contains(err.Error(), "disruption budget") {
		t.Errorf("a second member may be evicted at the same time: %v", err)
	}
}, expect: moved}

func TestEvict(t *testing.T) { evicted.run(t) }

// frozen stops all processes of the leader but process 1, which cannot be stopped from inside.
// Most of it is the kubelet, which has to see three failures and to restart the container.
var frozen = fault{what: "all processes of the leader stopped (SIGSTOP)", tooLong: 12, lasts: 25 * time.Second, inject: func(t *testing.T, leader string) {
	t.Helper()
	// The command's own end is not seen when the shell is stopped, too.
	_, _ = kubectl(t.Context(), "exec", leader, "--container=postgres", "--", "sh", "-c", "kill -STOP -1")
}}

func TestFreeze(t *testing.T) { frozen.run(t) }

// rolledOut replaces all pods, one by one.
var rolledOut = fault{what: "rolling update of the StatefulSet", tooLong: 4, lasts: 90 * time.Second, inject: func(t *testing.T, _ string) {
	t.Helper()
	rollOut(t)
}, expect: moved}

// pods are the members' own.
func pods(t *testing.T) string {
	t.Helper()
	return mustKubectl(t, "get", "pods", "--selector=cluster-name="+release, "--output=jsonpath={.items[*].metadata.uid}")
}

// rollOut has all pods replaced.
func rollOut(t *testing.T) {
	t.Helper()
	with := values(t)
	// Another one each time.
	with["resources"].(object)["requests"].(object)["memory"] = fmt.Sprintf("%dKi", 256<<10-time.Now().Unix()%10_000)
	before := pods(t)
	helm(t, "upgrade", release, "../postgres-ha/chart", "--values="+file(t, with), "--wait", "--timeout=3m")
	for pod := range strings.FieldsSeq(pods(t)) {
		if strings.Contains(before, pod) {
			t.Errorf("a pod was not replaced")
		}
	}
}

func TestRolling(t *testing.T) { rolledOut.run(t) }

// standbyKilled kills the replica whose word writes wait for.
var standbyKilled = fault{what: "synchronous standby killed", tooLong: 5, inject: func(t *testing.T, _ string) {
	t.Helper()
	kill(t, replica(t, "sync_standby"))
}, expect: stayed}

func TestStandby(t *testing.T) { standbyKilled.run(t) }

var replicaKilled = fault{what: "other replica killed", tooLong: 2, inject: func(t *testing.T, _ string) {
	t.Helper()
	kill(t, replica(t, "replica"))
}, expect: stayed}

func TestReplica(t *testing.T) { replicaKilled.run(t) }

func replica(t *testing.T, role string) string {
	t.Helper()
	found, err := members(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n := slices.IndexFunc(found, func(m member) bool { return m.Role == role })
	if n < 0 {
		t.Fatalf("nobody is %s: %v", role, found)
	}
	return found[n].Member
}

// allKilled ends every member at once.
var allKilled = fault{what: "all members killed at once", tooLong: 60, lasts: 75 * time.Second, inject: func(t *testing.T, leader string) {
	t.Helper()
	mustKubectl(t, append([]string{"delete", "pod", "--force", "--grace-period=0", "--wait=false", leader}, others(leader)...)...)
}}

func TestAllKilled(t *testing.T) { allKilled.run(t) }

// lockDeleted deletes what says who leads.
var lockDeleted = fault{what: "leader's ConfigMap deleted", tooLong: 3, inject: func(t *testing.T, _ string) {
	t.Helper()
	mustKubectl(t, "delete", "configmap", release+"-leader")
}}

func TestLock(t *testing.T) { lockDeleted.run(t) }

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

// moved says that another member leads, and that there was no third in between.
func moved(before, after member) error {
	if before.Member == after.Member || after.TL != before.TL+1 {
		return fmt.Errorf("the leader did not move once: from %s (timeline %d) to %s (timeline %d)", before.Member, before.TL, after.Member, after.TL)
	}
	return nil
}

// stayed says that the same member leads, and did all the time.
func stayed(before, after member) error {
	if before.Member != after.Member || after.TL != before.TL {
		return fmt.Errorf("the leader moved from %s (timeline %d) to %s (timeline %d)", before.Member, before.TL, after.Member, after.TL)
	}
	return nil
}

// run injects the fault while clients write, as often as is wished, and judges their longest gap.
func (f fault) run(t *testing.T) {
	t.Helper()
	var gaps []float64
	lost := 0
	for i := range runs(t) {
		installed(t)
		before := leads(t)
		name := fmt.Sprintf("ledger-%d", time.Now().UnixNano())
		ledger := startLedger(t, name, cmp.Or(f.lasts, 15*time.Second))
		f.inject(t, before.Member)
		got := ledger(t)
		after := leads(t)
		t.Logf("run %d: %s -> %s, %s", i+1, before.Member, after.Member, got)
		if err := got.kept(); err != nil {
			t.Error(err)
		}
		if f.readable && slices.Max(got.Unread) > 5 && os.Getenv("E2E_ANY_GAP") == "" {
			t.Errorf("for %.2f s nobody could read", got.Unread)
		}
		if f.expect != nil {
			if err := f.expect(before, after); err != nil {
				t.Error(err)
			}
		}
		sameEverywhere(t, after.Member, name)
		gaps, lost = append(gaps, got.worst()), lost+got.Lost
	}
	slices.Sort(gaps)
	median, worst := gaps[len(gaps)/2], gaps[len(gaps)-1]
	t.Logf("%s: n %d, median %.2f s, worst %.2f s", t.Name(), len(gaps), median, worst)
	if worst > f.tooLong && os.Getenv("E2E_ANY_GAP") == "" {
		t.Errorf("the longest gap is %.2f s; at most %.1f s are promised", worst, f.tooLong)
	}
	if path := os.Getenv("RECORD"); path != "" {
		record(t, path, f.what, fmt.Sprintf("| %d | %.1f s | %.1f s | %d |", len(gaps), median, worst, lost))
	}
}

// record puts a line into the table of results, in the place of an older one of that fault.
func record(t *testing.T, path, what, figures string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	lines = slices.DeleteFunc(lines, func(line string) bool { return strings.HasPrefix(line, "| "+what+" |") })
	lines = append(lines, "| "+what+" "+figures, "")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
}

// sameEverywhere compares what the members have of a run.
func sameEverywhere(t *testing.T, leader, run string) {
	t.Helper()
	sum := fmt.Sprintf(`SELECT count(*) || ' ' || coalesce(sum(hashtext(l::text)::bigint), 0) FROM public.ledger l WHERE run = '%s'`, run)
	want := mustAsk(t, leader, database, sum)
	for _, name := range others(leader) {
		eventually(t, 20*time.Second, func(ctx context.Context) error {
			got, err := ask(ctx, name, database, sum)
			if err == nil && got != want {
				err = fmt.Errorf("%s has %s, the leader %s", name, got, want)
			}
			return err
		})
	}
}

// startLedger returns when clients write. What it returns waits for their report.
func startLedger(t *testing.T, name string, lasts time.Duration, more ...string) func(*testing.T) report {
	t.Helper()
	var hosts []string
	for _, member := range others("") {
		hosts = append(hosts, member+"."+release+"-members")
	}
	arguments := []string{
		"-run=" + name, "-for=" + lasts.String(), "-connection=" + pooled(database),
		"-members=" + strings.Join(hosts, ","), "-member=" + connection("%s", 5432, database),
		"-read=" + pooled(database), "-read=" + pooled(database+"_ro"),
	}
	startClient(t, name, "ledger", "writer", admitted, append(arguments, more...)...)
	eventually(t, 3*time.Minute, func(ctx context.Context) error {
		output, err := kubectl(ctx, "logs", name)
		if err == nil && !strings.HasPrefix(output, "ready") {
			err = errors.New("the clients do not write yet")
		}
		return err
	})
	return func(t *testing.T) report {
		t.Helper()
		var got report
		eventually(t, lasts+2*time.Minute, func(ctx context.Context) error {
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
