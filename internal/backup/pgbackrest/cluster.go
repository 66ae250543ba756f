// Package pgbackrest is the engine pgbackrest: copies of a cluster's files, and its write-ahead log, which pgBackRest keeps in a
// repository of its own. Every point in time since a backup can be restored.
package pgbackrest

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/artifact"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// Cluster is a server as pgBackRest has to know it, whose files it reads.
type Cluster struct {
	// Name and SystemIdentifier tell clusters apart: one that was made anew, or restored elsewhere, archives to a place of its own.
	Name             string `db:"name"`
	SystemIdentifier string `db:"system_identifier"`
	Server           string `db:"server"`
	Major            int32  `db:"major"`
	DataDirectory    string `db:"data_directory"`
	SocketDirectory  string `db:"socket_directory"`
	Port             int32  `db:"port"`
	Superuser        string `db:"superuser"`
	WALSegmentBytes  int64  `db:"wal_segment_bytes"`
	CommitTimestamps bool   `db:"commit_timestamps"`
	ArchiveMode      string `db:"archive_mode"`
	ArchiveTimeout   int32  `db:"archive_timeout"` // seconds
	Primary          bool   `db:"is_primary"`
	SchemaVersion    int64  `db:"schema_version"`
	DatabaseName     string `db:"database"`
	MayBackUp        bool   `db:"may_back_up"`
	Username         string `db:"username"`
}

const clusterSQL = `
	SELECT pg_catalog.current_setting('cluster_name') AS name,
		(SELECT system_identifier::text FROM pg_catalog.pg_control_system()) AS system_identifier,
		pg_catalog.current_setting('server_version') AS server, pg_catalog.current_setting('server_version_num')::int / 10000 AS major,
		coalesce(pg_catalog.max(setting) FILTER (WHERE name = 'data_directory'), '') AS data_directory,
		coalesce(pg_catalog.max(setting) FILTER (WHERE name = 'unix_socket_directories'), '') AS socket_directory,
		pg_catalog.current_setting('port')::int AS port,
		(SELECT rolname::text FROM pg_catalog.pg_roles WHERE oid = 10) AS superuser,
		pg_catalog.max(setting) FILTER (WHERE name = 'wal_segment_size')::bigint AS wal_segment_bytes,
		pg_catalog.current_setting('track_commit_timestamp') = 'on' AS commit_timestamps,
		pg_catalog.current_setting('archive_mode') AS archive_mode,
		pg_catalog.max(setting) FILTER (WHERE name = 'archive_timeout')::int AS archive_timeout,
		NOT pg_catalog.pg_is_in_recovery() AS is_primary, pg_catalog.current_database()::text AS database,
		(SELECT coalesce(max(version_id), 0) FROM brownie.goose_db_version WHERE is_applied) AS schema_version,
		session_user::text AS username,
		pg_catalog.has_function_privilege('pg_catalog.pg_backup_start(text, boolean)', 'EXECUTE')
			AND pg_catalog.has_function_privilege('pg_catalog.pg_backup_stop(boolean)', 'EXECUTE')
			AND pg_catalog.has_function_privilege('pg_catalog.pg_switch_wal()', 'EXECUTE')
			AND pg_catalog.has_function_privilege('pg_catalog.pg_create_restore_point(text)', 'EXECUTE') AS may_back_up
	FROM pg_catalog.pg_settings`

// Look asks a server what pgBackRest has to know.
func Look(ctx context.Context, db *postgres.DB) (Cluster, error) {
	return postgres.QueryOne[Cluster](ctx, db, clusterSQL)
}

// Check tells what the server lacks for backups of its files and its log.
func (c Cluster) Check() error {
	grants := fmt.Sprintf(`As a superuser in database %s: GRANT pg_read_all_settings TO "%s"; GRANT EXECUTE ON FUNCTION `+
		`pg_backup_start(text, boolean), pg_backup_stop(boolean), pg_switch_wal(), pg_create_restore_point(text) TO "%[2]s"`,
		c.DatabaseName, c.Username)
	switch {
	case !c.MayBackUp || c.DataDirectory == "":
		return problem.New(fmt.Sprintf("role %q may not back up the cluster's files", c.Username), grants)
	case c.ArchiveMode == "off":
		return problem.New("the server archives no write-ahead log (archive_mode is off), so that its files alone restore to no "+
			"consistent state", "Set archive_mode = on and archive_command = 'brownie-backup pgbackrest-push --socket … %p', and "+
			"restart it")
	case c.ArchiveTimeout < 1 || c.ArchiveTimeout > maxArchiveTimeout:
		return problem.New(fmt.Sprintf("archive_timeout is %d s: what is written in a quiet hour would be archived much later",
			c.ArchiveTimeout), fmt.Sprintf("Set it to 1 to %d s", maxArchiveTimeout))
	}
	return nil
}

// maxArchiveTimeout leaves a minute to notice within two that archiving has stopped.
const maxArchiveTimeout = 60

var notInStanza = regexp.MustCompile(`[^A-Za-z0-9_-]+`)

// Stanza is the name of the cluster's part of a repository.
func (c Cluster) Stanza() string {
	name := strings.Trim(notInStanza.ReplaceAllString(c.Name, "-"), "-")
	if name == "" {
		name = "main"
	}
	return name + "-" + c.SystemIdentifier
}

// socket is the first of the server's folders for sockets.
func (c Cluster) socket() string {
	first, _, _ := strings.Cut(c.SocketDirectory, ",")
	return strings.TrimSpace(first)
}

// describe is what the manifest says of the cluster and its database.
func (c Cluster) describe(m *artifact.Manifest) {
	m.Server, m.SystemIdentifier, m.SchemaVersion = c.Server, c.SystemIdentifier, c.SchemaVersion
	m.Database.Name = c.DatabaseName
}

// entry is what the manifest says of a backup in one repository.
func (c Cluster) entry(s Set, destination string) artifact.Cluster {
	return artifact.Cluster{
		Destination: destination, Stanza: c.Stanza(), Label: s.Label, Superuser: c.Superuser, FirstWAL: s.WAL.Start, LastWAL: s.WAL.Stop,
		WALSegmentBytes: c.WALSegmentBytes, FirstLSN: s.LSN.Start, LastLSN: s.LSN.Stop, Bytes: s.Info.Repository.Delta,
		StoppedAt: s.StoppedAt(), TrackCommitTimestamp: c.CommitTimestamps,
	}
}
