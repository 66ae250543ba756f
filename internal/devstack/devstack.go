// Package devstack starts real, throw-away servers for the demo, tests and benchmarks, and leaves nothing of them behind.
//
// PostgreSQL is the server that BROWNIE_POSTGRES_URL names, a container, or the programs of an npm package. PgBouncer is the
// machine's own. Vault is the server that VAULT_ADDR names, the machine's own, or one that is built once from its source. So is the
// object store.
package devstack

import (
	"context"
	"os"
)

// Options change how a server is started.
type Options struct {
	// Log receives progress. Nil means silence.
	Log func(format string, args ...any)
	// HBA are lines to put in front of pg_hba.conf (PostgreSQL manual, section 20.1). An existing server cannot take
	// them, so that BROWNIE_POSTGRES_URL is not used then.
	HBA []string
	// Settings win over those that servers and poolers are started with, such as "max_connections=20". BROWNIE_POSTGRES_URL is not
	// used then.
	Settings []string
	// PoolSize is how many connections a pooler keeps per role and database. Zero means the usual 20.
	PoolSize int
	// Major is the major version of PostgreSQL: "16", "17" or "18". Empty means that of BROWNIE_PG_VERSION. BROWNIE_POSTGRES_URL is
	// not used when it is set.
	Major string
}

func (o Options) log(format string, args ...any) {
	if o.Log != nil {
		o.Log(format, args...)
	}
}

// Fetch makes sure that what [StartVault], [StartObjectStore], [StartPostgres] and [Postgres.StartPooler] start is on this machine.
func Fetch(ctx context.Context, o Options) error {
	if os.Getenv("BROWNIE_POSTGRES_URL") == "" {
		if _, err := findSource(ctx, o); err != nil {
			return err
		}
		if _, err := poolerProgram(); err != nil {
			return err
		}
	}
	if os.Getenv("VAULT_ADDR") == "" {
		if _, err := vaultProgram(ctx, o); err != nil {
			return err
		}
	}
	_, err := builtObjectStore.path(ctx, o)
	return err
}
