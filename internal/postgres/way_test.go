package postgres_test

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// detour is a way to a server under an address that means nothing here.
type detour struct {
	to    string
	asked atomic.Int32 // the port
	fails error
}

func (d *detour) Find(ctx context.Context, port int) ([]string, error) {
	if _, limited := ctx.Deadline(); !limited {
		return nil, errors.New("nothing limits it")
	}
	d.asked.Store(int32(port))
	return []string{"pod-0:15432"}, d.fails
}

func (d *detour) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if address != "pod-0:15432" {
		return nil, errors.New("the address is " + address)
	}
	var dialer net.Dialer
	return dialer.DialContext(ctx, network, d.to)
}

// With a way, the host is only the name in the server's certificate. No name is resolved, and the port is the way's to translate.
func TestWay(t *testing.T) {
	t.Parallel()
	config := testdb.Config(t, testdb.Empty(t, testdb.Certificates))
	d := &detour{to: net.JoinHostPort(config.Host, strconv.Itoa(config.Port))}
	config.Way, config.Port, config.SSLMode = d, 6000, "verify-full"
	if got, err := value(t, config, "SELECT 'here' AS value"); err != nil || got != "here" || d.asked.Load() != 6000 {
		t.Errorf("got %q, %v; port %d was asked for", got, err, d.asked.Load())
	}
	config.Host = "pg-primary.db.svc"
	if _, err := value(t, config, "SELECT 'here' AS value"); err == nil || !strings.Contains(err.Error(), "not pg-primary.db.svc") {
		t.Errorf("with another name than that of the certificate: %v", err)
	}
	d.fails = problem.New("no endpoint is ready", "Look at the pods").Because(context.DeadlineExceeded)
	_, err := value(t, config, "SELECT 'here' AS value")
	if err == nil || !strings.HasSuffix(err.Error(), ": no endpoint is ready. Look at the pods") || !postgres.Unreachable(err) {
		t.Errorf("without a server: %v", err)
	}
}
