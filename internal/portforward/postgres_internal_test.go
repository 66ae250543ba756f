package portforward

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

func TestMain(m *testing.M) { testdb.Main(m) }

type one struct{ Value string }

// A real server at the end of a tunnel: TLS, large values both ways, a failover's end of sessions, and a statement that is cancelled,
// for which the server must be reached once more.
func TestPostgresInATunnel(t *testing.T) {
	t.Parallel()
	database := testdb.Empty(t, testdb.Certificates)
	config := testdb.Config(t, database)
	s := newAPIServer(t)
	s.leadsTo(net.JoinHostPort(config.Host, strconv.Itoa(config.Port)))
	config.Way, config.Port, config.SSLMode, config.ApplicationName = s.forwarder(), 5432, "verify-full", "in the tunnel"
	db := postgres.New(config)
	t.Cleanup(db.Close)
	large := strings.Repeat("0123456789", 1<<20)
	got, err := postgres.QueryOne[one](t.Context(), db, "SELECT $1::text AS value", large)
	if err != nil || got.Value != large {
		t.Fatalf("of %d characters %d came back: %v", len(large), len(got.Value), err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := postgres.QueryOne[one](ctx, db, "SELECT pg_sleep(60)::text AS value"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("what takes too long ends with %v", err)
	}
	const asleep = `SELECT count(*) FROM pg_stat_activity WHERE application_name = 'in the tunnel' AND query LIKE '%pg_sleep(60)%'
		AND state = 'active'`
	left := 1
	for end := time.Now().Add(10 * time.Second); left > 0 && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		left = testdb.Value[int](t, database, asleep)
	}
	if left != 0 {
		t.Error("the statement still runs on the server")
	}

	s.breakTunnels()
	_, _ = postgres.QueryOne[one](t.Context(), db, "SELECT 'broken' AS value") // which one notices
	if got, err := postgres.QueryOne[one](t.Context(), db, "SELECT 'again' AS value"); err != nil || got.Value != "again" {
		t.Errorf("after the tunnel broke: %q, %v", got.Value, err)
	}
}
