package move

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/access"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// transaction is one that may write rows of the organization, or has done so.
type transaction struct {
	// ID is its virtual one, or what a prepared transaction is called.
	ID   string `db:"id"`
	Role string `db:"role"`
	// Session tells people which one it is.
	Session string `db:"session"`
	// Own means that the role is the organization's.
	Own bool `db:"own"`
}

// Each transaction has a lock on its virtual ID, and gets it before it sees anything: one that is not in this list sees that the
// organization is closed. Roles of other organizations have nothing to do with its rows; those that read, only if they have written.
const transactionsSQL = `
	WITH open AS (
		SELECT l.virtualxid AS id, a.usename AS role, format('process %s of role %I', a.pid, a.usename) AS session
		FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
		WHERE l.locktype = 'virtualxid' AND l.virtualxid = l.virtualtransaction AND a.datname = current_database()
			AND a.usesysid IS NOT NULL AND a.pid <> pg_backend_pid()
			AND coalesce(a.backend_type, '') NOT IN ('walsender', 'parallel worker')
		UNION ALL SELECT gid, owner, format('transaction %L, which role %I has prepared', gid, owner)
		FROM pg_prepared_xacts WHERE database = current_database()
	)
	SELECT open.id, open.role::text AS role, open.session, coalesce(b.organization_id = $1, false) AS own
	FROM open LEFT JOIN brownie.role_bindings b ON b.role_name = open.role
	WHERE (b.organization_id IS NULL OR b.organization_id = $1)
		AND (b.access IS NULL OR b.access NOT IN ('reader', 'monitor', 'backup', 'pooler') OR EXISTS (
			SELECT FROM pg_locks w WHERE w.virtualtransaction = open.id AND w.locktype = 'relation' AND w.mode = 'RowExclusiveLock'))
	ORDER BY open.session`

// awaitWriters waits for the end of the transactions that may not have seen that the organization is closed. It ends those of the
// organization's own roles that take longer. Others belong to everybody: they refuse the move.
func (m *Mover) awaitWriters(ctx context.Context, r record) error {
	m.Log.Info("Open transactions are waited for", "organization", r.Slug, "move", r.ID)
	open, err := postgres.Query[transaction](ctx, m.Source, transactionsSQL, r.Organization)
	if err != nil {
		return err
	}
	deadline, ended := time.Now().Add(m.Wait), false
	for len(open) > 0 {
		now := time.Now()
		if others := slices.IndexFunc(open, func(t transaction) bool { return !t.Own }); now.After(deadline) && (ended || others >= 0) {
			var sessions []string
			for _, t := range open {
				if !t.Own || ended {
					sessions = append(sessions, t.Session)
				}
			}
			return problem.New("these transactions were open before the organization became read-only, and are not over: "+
				strings.Join(sessions, ", "), "Wait for their end or end them, or let the move wait longer with --wait")
		}
		if now.After(deadline) {
			if err := m.endTransactions(ctx, open); err != nil {
				return err
			}
			deadline, ended = now.Add(5*time.Second), true
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
		still, err := postgres.Query[transaction](ctx, m.Source, transactionsSQL, r.Organization)
		if err != nil {
			return err
		}
		open = slices.DeleteFunc(open, func(t transaction) bool {
			return !slices.ContainsFunc(still, func(s transaction) bool { return s.ID == t.ID })
		})
	}
	return nil
}

func (m *Mover) endTransactions(ctx context.Context, open []transaction) error {
	store, byRole := access.New(m.Source), map[string][]string{}
	for _, t := range open {
		byRole[t.Role] = append(byRole[t.Role], t.ID)
	}
	for name, ids := range byRole {
		m.Log.Warn("Sessions are ended that are in a transaction for too long", "role", name, "sessions", len(ids))
		role, err := store.Role(ctx, name)
		if err == nil {
			err = store.EndTransactions(ctx, role, ids)
		}
		if err != nil {
			return fmt.Errorf("sessions of role %q: %w", name, err)
		}
	}
	return nil
}
