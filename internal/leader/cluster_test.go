package leader

import (
	"fmt"
	"testing"
)

// pods are members' as Patroni marks them, by name; each text is the annotation "status".
func pods(status map[string]string) objects {
	all := objects{}
	for name, text := range status {
		var o object
		o.Metadata.Name, o.Metadata.Annotations = name, map[string]string{"status": text}
		o.Status.Conditions = []condition{{"PodScheduled", "True"}, {"Ready", "True"}}
		all[name] = o
	}
	return all
}

func running(position int) string {
	return fmt.Sprintf(`{"role":"replica","state":"running","xlog_location":%d}`, position)
}

// leads is the ConfigMap of a leader; an empty name is none.
func leads(name string, position int) objects {
	var o object
	o.Metadata.Annotations = map[string]string{"leader": name, "optime": fmt.Sprint(position)}
	return objects{"pg-leader": o}
}

func TestChoose(t *testing.T) {
	t.Parallel()
	c := &cluster{name: "pg", maxLag: 100, self: "pooler"}
	steps := []struct {
		what    string
		leader  objects
		members map[string]string
		want    Targets
	}{
		{"nothing is known yet", nil, nil, Targets{}},
		{"no replica", leads("pg-0", 1000), map[string]string{"pg-0": running(1000)}, Targets{"pg-0", "pg-0"}},
		{"a replica is near", nil, map[string]string{"pg-0": running(1000), "pg-1": running(960)}, Targets{"pg-0", "pg-1"}},
		{"it lags, not too much for who has it", leads("pg-0", 1050), nil, Targets{"pg-0", "pg-1"}},
		{"it lags too much", leads("pg-0", 1061), nil, Targets{"pg-0", "pg-0"}},
		{"it lags less, not little enough for who has left it", leads("pg-0", 1050), nil, Targets{"pg-0", "pg-0"}},
		{"it lags little", leads("pg-0", 1010), nil, Targets{"pg-0", "pg-1"}},
		{"it leads", leads("pg-1", 1010), map[string]string{"pg-0": `{"state":"starting"}`, "pg-1": running(1010)}, Targets{"pg-1", "pg-1"}},
		{"nobody leads", leads("", 1010), nil, Targets{"pg-1", "pg-1"}},
		{"the ConfigMap is gone", objects{}, nil, Targets{"pg-1", "pg-1"}},
		{"what is marked cannot be read", nil, map[string]string{"pg-0": `{`, "pg-1": running(1010)}, Targets{"pg-1", "pg-1"}},
		{"a replica is ahead of what the leader said last", nil, map[string]string{"pg-0": running(2000)}, Targets{"pg-1", "pg-0"}},
		{"it has received what it does not replay", nil, map[string]string{
			"pg-0": `{"role":"replica","state":"running","xlog_location":2000,"replay_lsn":900}`,
		}, Targets{"pg-1", "pg-1"}},
		{"a leader that is gone, of which nobody corrects what it last said", nil, map[string]string{
			"pg-0": `{"role":"primary","state":"running","xlog_location":2000}`,
		}, Targets{"pg-1", "pg-1"}},
		{"who is no member", leads("pg-0.pg-members.ns.svc user=postgres", 1010), map[string]string{"mine": running(2000)}, Targets{"pg-1", "pg-1"}},
		{"a name with more lines", leads("pg-0\n[pgbouncer]\nadmin_users=me", 1010), nil, Targets{"pg-1", "pg-1"}},
	}
	for _, step := range steps {
		if step.leader != nil {
			c.led(step.leader)
		}
		if step.members != nil {
			c.joined(pods(step.members))
		}
		if got := c.choose(); got != step.want {
			t.Errorf("%s: got %+v, want %+v", step.what, got, step.want)
		}
	}
	for what, spoil := range map[string]func(*object){
		"ends":         func(o *object) { o.Metadata.DeletionTimestamp = "2026-01-01T00:00:00Z" },
		"is not ready": func(o *object) { o.Status.Conditions[1].Status = "False" },
		"is silent":    func(o *object) { o.Status.Conditions = nil },
	} {
		all := pods(map[string]string{"pg-0": running(1010)})
		o := all["pg-0"]
		spoil(&o)
		all["pg-0"] = o
		c.joined(all)
		if got := c.choose(); got.Replica != "pg-1" {
			t.Errorf("a replica whose pod %s is used: %+v", what, got)
		}
	}
}

// TestSpread: poolers share the replicas, and only those of a replica that goes move.
func TestSpread(t *testing.T) {
	t.Parallel()
	all := map[string]string{"pg-0": running(0), "pg-1": running(0), "pg-2": running(0)}
	less := map[string]string{"pg-0": running(0), "pg-1": running(0)}
	users := map[string]int{}
	for i := range 100 {
		c := &cluster{name: "pg", self: fmt.Sprintf("pooler-%d", i)}
		c.led(leads("pg-0", 0))
		c.joined(pods(all))
		before := c.choose().Replica
		users[before]++
		c.joined(pods(less))
		if after := c.choose().Replica; before == "pg-1" && after != before {
			t.Errorf("pooler %d moves although its replica stays", i)
		}
	}
	if len(users) != 2 || users["pg-1"] < 30 || users["pg-2"] < 30 {
		t.Errorf("100 poolers read from %v", users)
	}
}
