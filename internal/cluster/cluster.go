// Package cluster tells which servers replicate a database, and how far each is: from Patroni, or from PostgreSQL alone.
package cluster

import (
	"cmp"
	"slices"
	"time"
)

// Cluster is a leader and its replicas.
type Cluster struct {
	// Name is Patroni's scope, which PostgreSQL knows as cluster_name; empty if it has none.
	Name string
	// Paused tells that Patroni does nothing for now. PostgreSQL does not know.
	Paused  bool
	Members []Member
}

// The roles of members.
const (
	Leader        = "leader"
	StandbyLeader = "standby_leader"
	Replica       = "replica"
)

// Member is one server. Nil is what cannot be told.
type Member struct {
	// Name is Patroni's, or with which a replica logs in to stream (application_name).
	Name *string
	// Host is where others reach it.
	Host *string
	// Role is [Leader], [Replica], or, where a whole cluster follows another one, [StandbyLeader].
	Role string
	// State is Patroni's word, such as "running" or "streaming", or that of pg_stat_replication.
	State *string
	// Timeline counts the leaders that there have been.
	Timeline *int64
	// LagBytes is how much of the leader's write-ahead log the replica has not replayed, and LagSeconds how old its last change is then.
	LagBytes   *int64
	LagSeconds *float64
	// Synchronous tells that the leader waits for it.
	Synchronous bool
	// CertificateNotAfter is when the certificate that its PostgreSQL shows expires.
	CertificateNotAfter *time.Time
}

// sort puts the leader first, the others by their names.
func sort(members []Member) {
	slices.SortStableFunc(members, func(a, b Member) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(text(a.Name), text(b.Name)))
	})
}

func rank(m Member) int {
	if m.Role == Replica {
		return 1
	}
	return 0
}

func text(value *string) string {
	if value == nil {
		return ""
	}
	return *value
}
