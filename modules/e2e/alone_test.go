//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestAlone leaves the leader without a replica: reads go on, and no write is acknowledged by one member alone.
func TestAlone(t *testing.T) {
	const first = release + "-0"
	installed(t)
	// The StatefulSet takes the members with the highest numbers away.
	for now := leader(t); now != first; now = leader(t) {
		if _, err := inMember(t.Context(), now, "patronictl", "switchover", release, "--leader", now, "--force"); err != nil {
			t.Fatal(err)
		}
	}
	mustKubectl(t, "scale", "statefulset", release, "--replicas=1")
	for _, name := range others(first) {
		mustKubectl(t, "wait", "--for=delete", "pod/"+name, "--timeout=2m")
	}
	// An interrupt has psql cancel the commit, of which the server then tells that it waited.
	insert := func(run string) (string, error) {
		return inMember(t.Context(), first, "sh", "-c", fmt.Sprintf(`timeout --signal=INT 5 psql -XAtq -h /run/postgresql -U postgres `+
			`-d brownie_metadata -c "INSERT INTO public.ledger VALUES ('%s', 0, %d)" 2>&1`, run, time.Now().UnixNano()))
	}
	eventually(t, time.Minute, func(context.Context) error {
		output, err := insert("alone")
		if !strings.Contains(output, "canceling wait for synchronous replication") {
			return fmt.Errorf("a write did not wait for a replica: %s %v", output, err) //nolint:errorlint // Both may be empty.
		}
		return nil
	})
	if got := mustAsk(t, first, database, "SELECT count(*) >= 0 FROM public.ledger"); got != "t" {
		t.Errorf("a read is answered with %q", got)
	}
	mustKubectl(t, "scale", "statefulset", release, fmt.Sprintf("--replicas=%d", instances))
	leader(t)
	if output, err := insert("together"); err != nil || output != "" {
		t.Errorf("a write is answered with %q: %v", output, err)
	}
}
