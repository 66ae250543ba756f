//go:build e2e

package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// TestRandom injects fault after fault, RUNS of them, each as soon as the cluster is whole again, and sometimes a little later.
func TestRandom(t *testing.T) {
	// What takes minutes, or the cluster's own parts away, is left out.
	faults := []fault{
		switchedOver, killed, killedTwice, deleted, forceDeleted, evicted, frozen, standbyKilled, replicaKilled, allKilled, lockDeleted,
		poolerDeleted,
	}
	left := runs(t)
	for part := 1; left > 0; part++ {
		now := installed(t)
		name := fmt.Sprintf("random-%d", time.Now().UnixNano())
		// Short enough for its log, and for being told soon.
		const lasts = 5 * time.Minute
		ends := time.Now().Add(lasts)
		ledger := startLedger(t, name, lasts, "-pause=20ms")
		for left > 0 && time.Until(ends) > 30*time.Second {
			f, before := faults[rand.N(len(faults))], now
			t.Run(f.what, func(t *testing.T) { f.inject(t, before) })
			left--
			// Some are seen a moment later only.
			time.Sleep(2*time.Second + rand.N(3*time.Second))
			now = leader(t)
			t.Logf("%d left: %s -> %s", left, before, now)
		}
		got := ledger(t)
		t.Logf("part %d: %s", part, got)
		if err := got.kept(); err != nil {
			t.Error(err)
		}
		sameEverywhere(t, leader(t), name)
		if got.worst() > allKilled.tooLong {
			t.Errorf("the longest gap is %.1f s", got.worst())
		}
	}
}
