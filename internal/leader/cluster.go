// Package leader follows the leader of a Patroni cluster in Kubernetes, and points a PgBouncer to it.
package leader

import (
	"cmp"
	"encoding/json"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// full is the annotation by which a member says since when it refuses writes.
const full = "brownie.dev/full"

// Targets are the members to which a pooler's databases lead.
type Targets struct {
	// Leader writes.
	Leader string
	// Replica is for reads that may be a moment behind. It is the leader where no replica is near enough.
	Replica string
}

// member is what Patroni writes of one into the annotation "status" of its pod. Nobody corrects that when Patroni is gone.
type member struct {
	Role     string `json:"role"`
	State    string `json:"state"`
	Received uint64 `json:"xlog_location"`
	// Replayed is what readers see. Older versions of Patroni do not write it.
	Replayed uint64 `json:"replay_lsn"`
	// low is since when the member refuses writes, because a volume of its own is almost full.
	low string
	// ready is what Kubernetes says, which asks the member.
	ready bool
}

// position is up to where a reader sees the log.
func (m member) position() uint64 { return cmp.Or(m.Replayed, m.Received) }

// cluster is what is known of one, and where its clients are sent.
type cluster struct {
	// name begins those of its members.
	name   string
	maxLag uint64
	// self spreads poolers over replicas.
	self   string
	leader string
	// former led before.
	former   string
	position uint64
	members  map[string]member
	targets  Targets
}

// led takes what Patroni keeps of the leader in its ConfigMap. Without one, the last is kept.
func (c *cluster) led(all objects) {
	for _, o := range all {
		if leader := o.Metadata.Annotations["leader"]; c.has(leader) && leader != c.leader {
			c.leader, c.former = leader, c.leader
		}
		if position, err := strconv.ParseUint(o.Metadata.Annotations["optime"], 10, 64); err == nil {
			c.position = position
		}
	}
}

// has tells whether a name is one of the StatefulSet's. Others have no business in the pooler's configuration.
func (c *cluster) has(name string) bool {
	number, found := strings.CutPrefix(name, c.name+"-")
	_, err := strconv.ParseUint(number, 10, 16)
	return found && err == nil
}

// joined takes the members' pods.
func (c *cluster) joined(pods objects) {
	c.members = map[string]member{}
	for name, pod := range pods {
		m := member{low: pod.Metadata.Annotations[full]}
		m.ready = pod.Metadata.DeletionTimestamp == "" && slices.Contains(pod.Status.Conditions, condition{"Ready", "True"})
		if err := json.Unmarshal([]byte(pod.Metadata.Annotations["status"]), &m); err == nil && c.has(name) {
			c.members[name] = m
		}
	}
}

// choose says where clients go now. A replica that lags is left, and taken again at half the lag, so that it does not come and go.
func (c *cluster) choose() Targets {
	replica, best := "", uint64(0)
	for _, name := range slices.Sorted(maps.Keys(c.members)) {
		m, bound := c.members[name], c.maxLag
		if name != c.targets.Replica {
			bound /= 2
		}
		if name == c.leader || !m.ready || m.Role != "replica" || m.State != "running" || m.position()+bound < c.position {
			continue
		}
		// The highest of the hashes: when a replica goes, its poolers alone move.
		if weight := weigh(c.self, name); replica == "" || weight > best {
			replica, best = name, weight
		}
	}
	if replica == "" {
		replica = c.leader
	}
	c.targets = Targets{c.leader, replica}
	return c.targets
}

// low tells whether the leader refuses writes, or the one before, which may have told clients so before anybody knew of it.
func (c *cluster) low() string {
	return c.members[c.leader].low + "/" + c.members[c.former].low
}

func weigh(pooler, name string) uint64 {
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(pooler + "/" + name))
	return sum.Sum64()
}
