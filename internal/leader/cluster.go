// Package leader follows the leader of a Patroni cluster in Kubernetes, and points a PgBouncer to it.
package leader

import (
	"encoding/json"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
)

// Targets are the members to which a pooler's databases lead.
type Targets struct {
	// Leader writes.
	Leader string
	// Replica is for reads that may be a moment behind. It is the leader where no replica is near enough.
	Replica string
}

// member is what Patroni writes of one into the annotation "status" of its pod.
type member struct {
	State    string `json:"state"`
	Position uint64 `json:"xlog_location"`
	// ending is true from when its pod is to end.
	ending bool
}

// cluster is what is known of one, and where its clients are sent.
type cluster struct {
	maxLag uint64
	// self spreads poolers over replicas.
	self     string
	leader   string
	position uint64
	members  map[string]member
	targets  Targets
}

// led takes what Patroni keeps of the leader in its ConfigMap. Without one, the last is kept.
func (c *cluster) led(all objects) {
	for _, o := range all {
		if leader := o.Metadata.Annotations["leader"]; leader != "" {
			c.leader = leader
		}
		if position, err := strconv.ParseUint(o.Metadata.Annotations["optime"], 10, 64); err == nil {
			c.position = position
		}
	}
}

// joined takes the members' pods.
func (c *cluster) joined(pods objects) {
	c.members = map[string]member{}
	for name, pod := range pods {
		m := member{ending: pod.Metadata.DeletionTimestamp != ""}
		if err := json.Unmarshal([]byte(pod.Metadata.Annotations["status"]), &m); err == nil {
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
		if name == c.leader || m.State != "running" || m.ending || m.Position+bound < c.position {
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

func weigh(pooler, name string) uint64 {
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(pooler + "/" + name))
	return sum.Sum64()
}
