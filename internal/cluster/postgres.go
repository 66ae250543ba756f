package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// ErrNoStatistics says that a role sees that there are replicas, and nothing else of them.
var ErrNoStatistics = problem.New("the role of this session does not see how far replicas are",
	"Let the administrator grant it: GRANT pg_read_all_stats TO the role")

// The leader as the session knows it. Statements that are sent in one batch see one moment of it.
const leaderSQL = `
	SELECT pg_catalog.current_setting('cluster_name') AS cluster, pg_catalog.host(pg_catalog.inet_server_addr()) AS host,
		('x' || pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 8))::bit(32)::int8 AS timeline`

// Those who copy a base backup, or decode the log for something else, are no members.
const replicasSQL = `
	SELECT r.application_name AS name, pg_catalog.host(r.client_addr) AS host, r.state,
		coalesce(r.sync_state IN ('sync', 'quorum'), false) AS synchronous,
		pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), r.replay_lsn)::int8 AS lag_bytes,
		CASE WHEN r.replay_lsn = pg_catalog.pg_current_wal_lsn() THEN 0 ELSE extract(epoch FROM r.replay_lag)::float8 END AS lag_seconds
	FROM pg_catalog.pg_stat_replication r
	WHERE r.state IS DISTINCT FROM 'backup' AND r.application_name NOT IN ('pg_basebackup', 'pg_receivewal')
		AND NOT EXISTS (SELECT FROM pg_catalog.pg_replication_slots s WHERE s.active_pid = r.pid AND s.slot_type = 'logical')`

// ReadFromPostgreSQL asks the server that accepts writes. Of replicas that do not stream it knows nothing. With ErrNoStatistics the
// cluster is told, too, as far as it is known.
func ReadFromPostgreSQL(ctx context.Context, db *postgres.DB) (Cluster, error) {
	var c Cluster
	err := db.Borrow(ctx, nil, func(conn *pgx.Conn) error {
		var batch pgx.Batch
		batch.Queue(leaderSQL)
		batch.Queue(replicasSQL)
		results := conn.SendBatch(ctx, &batch)
		defer func() { _ = results.Close() }()
		leader := Member{Role: Leader, State: new("running")}
		rows, err := results.Query()
		if err != nil {
			return err
		}
		type leaderRow struct {
			Cluster  string
			Host     *string
			Timeline int64
		}
		self, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[leaderRow])
		if err != nil {
			return err
		}
		c.Name, leader.Host, leader.Timeline = self.Cluster, self.Host, &self.Timeline
		if encrypted, ok := conn.PgConn().Conn().(*tls.Conn); ok {
			leader.shows(encrypted.ConnectionState().PeerCertificates)
		}
		if rows, err = results.Query(); err != nil {
			return err
		}
		type replicaRow struct {
			Name, Host, State *string
			Synchronous       bool
			LagBytes          *int64
			LagSeconds        *float64
		}
		replicas, err := pgx.CollectRows(rows, pgx.RowToStructByName[replicaRow])
		c.Members = []Member{leader}
		for _, r := range replicas {
			c.Members = append(c.Members, Member{
				Name: r.Name, Host: r.Host, Role: Replica, State: r.State, Synchronous: r.Synchronous,
				LagBytes: r.LagBytes, LagSeconds: r.LagSeconds,
			})
		}
		return err
	})
	if err != nil {
		return Cluster{}, db.Explain(err)
	}
	sort(c.Members)
	for _, m := range c.Members {
		if m.State == nil {
			return c, ErrNoStatistics
		}
	}
	return c, nil
}

// shows takes the certificate that a member showed.
func (m *Member) shows(chain []*x509.Certificate) {
	if len(chain) > 0 {
		m.CertificateNotAfter = &chain[0].NotAfter
	}
}
