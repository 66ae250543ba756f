//go:build e2e

package e2e_test

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestUpgrade goes from PostgreSQL 17 to 18 while clients write, back, forward again, and confirms.
// UPGRADE_MIB is how much data there are.
func TestUpgrade(t *testing.T) {
	with := values(t)
	with["image"] = image(t, "postgres-upgrade")
	with["storage"] = object{"size": "5Gi"}
	installOnce(t, inState(with, "prepared"))
	mib := cmp.Or(os.Getenv("UPGRADE_MIB"), "64")
	writeMiB(t, mib)
	t.Run("prepared", func(t *testing.T) {
		upgradeTo(t, inState(with, "prepared"), "17")
	})
	t.Run("refused by the check", func(t *testing.T) {
		mustAsk(t, leader(t), database, "CREATE TABLE public.refused (f regproc)")
		before := pods(t)
		upgradeFails(t, inState(with, "upgraded"), "pg_upgrade")
		if after := pods(t); after != before {
			t.Errorf("members ended: %s before, %s after", before, after)
		}
		mustAsk(t, leader(t), database, "DROP TABLE public.refused")
	})
	t.Run("failed when all had ended", func(t *testing.T) {
		before, now := checksum(t), leader(t)
		if _, err := inMember(t.Context(), now, "mkdir", "/var/lib/postgresql/data.17"); err != nil {
			t.Fatal(err)
		}
		upgradeFails(t, inState(with, "upgraded"), "data.17 is there already")
		runVersion(t, "17")
		if got := checksum(t); got != before {
			t.Errorf("the data are %s, and were %s", got, before)
		}
		if _, err := inMember(t.Context(), now, "rmdir", "/var/lib/postgresql/data.17"); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("upgraded while clients write", func(t *testing.T) {
		before := checksum(t)
		ledger := startLedger(t, "upgrade", 3*time.Minute)
		upgradeTo(t, inState(with, "upgraded"), "18")
		if got := checksum(t); got != before {
			t.Errorf("the data are %s, and were %s", got, before)
		}
		got := ledger(t)
		t.Log(got)
		// The new cluster begins with timeline 1, as if a former leader wrote: that does not count here.
		if got.Lost != 0 || got.Acknowledged == 0 {
			t.Errorf("rows are lost: %s", got)
		}
		if path := os.Getenv("RECORD"); path != "" {
			record(t, path, "upgrade of the major version, 17 to 18, with "+mib+" MiB", fmt.Sprintf("| 1 | %[1]s | %[1]s | %[2]d |",
				fmt.Sprintf("%.1f s", got.worst()), got.Lost))
		}
		sameEverywhere(t, leader(t), "upgrade")
		keptData(t, "data.17")
	})
	t.Run("back", func(t *testing.T) {
		before := checksum(t)
		mustAsk(t, leader(t), database, "CREATE TABLE public.made_on_18 ()")
		upgradeTo(t, inState(with, "prepared"), "17")
		if got := mustAsk(t, leader(t), database, "SELECT to_regclass('public.made_on_18') IS NULL"); got != "t" {
			t.Error("what was made on the new version is in the old data")
		}
		if got := checksum(t); got != before {
			t.Errorf("the data are %s, and were %s", got, before)
		}
		keptData(t, "data.undone")
	})
	t.Run("forward again, and confirmed", func(t *testing.T) {
		before := checksum(t)
		upgradeTo(t, inState(with, "upgraded"), "18")
		upgradeTo(t, inState(with, "confirmed"), "18")
		if got := checksum(t); got != before {
			t.Errorf("the data are %s, and were %s", got, before)
		}
		keptData(t)
	})
}

// inState are values with a wish for the upgrade.
func inState(values object, state string) object {
	values["upgrade"] = object{"from": "17", "state": state, "timeout": 600}
	return values
}

// upgradeTo has the release upgraded, and expects that all members then run that version.
func upgradeTo(t *testing.T, values object, version string) {
	t.Helper()
	start := time.Now()
	helm(t, "upgrade", release, "../postgres-ha/chart", "--values="+file(t, values), "--timeout=10m")
	t.Logf("done in %.1f s", time.Since(start).Seconds())
	runVersion(t, version)
}

// upgradeFails has the release upgraded, and expects words of why that is not done.
func upgradeFails(t *testing.T, values object, words string) {
	t.Helper()
	_, err := attempt(t.Context(), "", setting(t, "HELM"), "--namespace", namespace, "upgrade", release, "../postgres-ha/chart",
		"--values="+file(t, values), "--timeout=10m")
	message := mustKubectl(t, "get", "configmap", release+"-upgrade", "--output=jsonpath={.data.message}")
	if err == nil || !strings.Contains(message, words) {
		t.Errorf("want %q, got %q and %v", words, message, err)
	}
}

// runVersion expects that of all members.
func runVersion(t *testing.T, version string) {
	t.Helper()
	now := leader(t)
	for _, name := range append(others(now), now) {
		if got := mustAsk(t, name, "postgres", "SHOW server_version_num"); !strings.HasPrefix(got, version) {
			t.Errorf("%s runs %s, not %s", name, got, version)
		}
	}
}

// writeMiB makes a table of about that size.
func writeMiB(t *testing.T, mib string) {
	t.Helper()
	mustAsk(t, leader(t), database, `CREATE TABLE public.ballast AS SELECT i, md5(i::text) || repeat(md5((i * 7)::text), 30) AS filler
		FROM generate_series(1, 1024 * `+mib+`) i; ALTER TABLE public.ballast ALTER COLUMN filler SET STORAGE EXTERNAL;
		ALTER TABLE public.ballast ADD PRIMARY KEY (i)`)
	t.Log(mustAsk(t, leader(t), database, `SELECT pg_size_pretty(pg_database_size(current_database()))`))
}

func checksum(t *testing.T) string {
	t.Helper()
	return mustAsk(t, leader(t), database, `SET max_parallel_workers_per_gather = 0;
		SELECT count(*) || ' ' || sum(hashtext(filler)::bigint) FILTER (WHERE i % 64 = 0) FROM public.ballast`)
}

// keptData are the directories that each member has besides its data.
func keptData(t *testing.T, want ...string) {
	t.Helper()
	for _, name := range others("") {
		got, err := inMember(t.Context(), name, "sh", "-c", "cd /var/lib/postgresql && ls -d data.* || true")
		if err != nil || !slices.Equal(strings.Fields(got), want) {
			t.Errorf("%s keeps %q, want %q: %v", name, got, want, err)
		}
	}
}
