//go:build e2e

// Package e2e_test installs the charts on a real Kubernetes cluster, injects faults, and looks for every acknowledged row.
// tools/e2e.sh runs it.
package e2e_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	release  = "pg"
	pooler   = "pool"
	database = "brownie_metadata"
	// instances is how many members the tests run.
	instances = 3
	// poolerPods selects them.
	poolerPods = "app.kubernetes.io/name=pgbouncer"
)

var (
	// namespace may be another one, so that two runs share a cluster.
	namespace = cmp.Or(os.Getenv("E2E_NAMESPACE"), "brownie-e2e")
	domain    = release + "-members." + namespace + ".svc"
)

// setting is what tools/e2e.sh tells.
func setting(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf("%s is not set: run make e2e", name)
	}
	return value
}

// attempt runs a program and returns what it wrote.
func attempt(ctx context.Context, input, program string, arguments ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, arguments...)
	cmd.Stdin = strings.NewReader(input)
	var output, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &problems
	if err := cmd.Run(); err != nil {
		return output.String(), fmt.Errorf("%s %s: %w\n%s%s", program, strings.Join(arguments, " "), err, output.String(), problems.String())
	}
	return strings.TrimSpace(output.String()), nil
}

func kubectl(ctx context.Context, arguments ...string) (string, error) {
	return attempt(ctx, "", "kubectl", append([]string{"--namespace", namespace}, arguments...)...)
}

func mustKubectl(t *testing.T, arguments ...string) string {
	t.Helper()
	output, err := kubectl(t.Context(), arguments...)
	if err != nil {
		t.Fatal(err)
	}
	return output
}

// apply gives the cluster objects, in JSON.
func apply(t *testing.T, objects ...object) {
	t.Helper()
	applyIn(t, namespace, objects...)
}

func applyIn(t *testing.T, namespace string, objects ...object) {
	t.Helper()
	text, err := json.Marshal(object{"apiVersion": "v1", "kind": "List", "items": objects})
	if err == nil {
		_, err = attempt(t.Context(), string(text), "kubectl", "--namespace", namespace, "apply", "--filename=-")
	}
	if err != nil {
		t.Fatal(err)
	}
}

// object is a Kubernetes object, or a part of one.
type object map[string]any

// eventually tries until there is no error, and says what the last one was.
func eventually(t *testing.T, within time.Duration, try func(context.Context) error) {
	t.Helper()
	for start := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		err := try(t.Context())
		if err == nil {
			return
		}
		if time.Since(start) > within {
			t.Fatalf("still after %s: %s", within, err)
		}
	}
}

// inMember runs a program in the container of PostgreSQL.
func inMember(ctx context.Context, member string, arguments ...string) (string, error) {
	return kubectl(ctx, append([]string{"exec", member, "--container=postgres", "--"}, arguments...)...)
}

// untouched changes when a pod of the selection is replaced or restarted.
func untouched(t *testing.T, selector string) string {
	t.Helper()
	return mustKubectl(t, "get", "pods", "--selector="+selector,
		"--output=jsonpath={.items[*].metadata.uid} {.items[*].status.containerStatuses[*].restartCount}")
}

// ask runs SQL as the superuser, whom the unix socket lets in.
func ask(ctx context.Context, member, database string, statements ...string) (string, error) {
	return askIn(ctx, namespace, member, database, statements...)
}

func askIn(ctx context.Context, namespace, member, database string, statements ...string) (string, error) {
	arguments := []string{
		"--namespace", namespace, "exec", member, "--container=postgres", "--",
		"psql", "-XAtqv", "ON_ERROR_STOP=1", "-h", "/run/postgresql", "-U", "postgres", "-d", database,
	}
	for _, statement := range statements {
		arguments = append(arguments, "-c", statement)
	}
	return attempt(ctx, "", "kubectl", arguments...)
}

func mustAsk(t *testing.T, member, database, sql string) string {
	t.Helper()
	output, err := ask(t.Context(), member, database, sql)
	if err != nil {
		t.Fatal(err)
	}
	return output
}

// member is one as Patroni sees it. Each new leader begins a timeline (TL).
type member struct {
	Member string `json:"name"`
	Role   string `json:"role"`
	State  string `json:"state"`
	TL     int    `json:"timeline"`
	LSN    string `json:"replay_lsn"`
}

// replayed is up to where a replica has replayed the log of its timeline.
func (m member) replayed() uint64 {
	var segment, offset uint64
	_, _ = fmt.Sscanf(m.LSN, "%X/%X", &segment, &offset)
	return segment<<32 | offset
}

func members(ctx context.Context) ([]member, error) {
	var text string
	var err error
	for i := range instances {
		// What patronictl asks, too, which costs many times as much.
		text, err = inMember(ctx, fmt.Sprintf("%s-%d", release, i), "sh", "/etc/patroni/api", "GET", "cluster", "--max-time", "2")
		if err == nil {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	var found struct{ Members []member }
	err = json.Unmarshal([]byte(text), &found)
	return found.Members, err
}

// leader is the name of who leads a whole cluster.
func leader(t *testing.T) string {
	t.Helper()
	return leads(t).Member
}

// leads waits for a whole cluster: a leader that all others stream from, synchronous ones among them.
func leads(t *testing.T) member {
	t.Helper()
	var leads member
	eventually(t, 2*time.Minute, func(ctx context.Context) error {
		found, err := members(ctx)
		if err != nil {
			return err
		}
		roles := map[string]int{}
		for _, m := range found {
			switch {
			case m.Role == "leader" && m.State == "running":
				leads = m
			case m.State != "streaming":
				return fmt.Errorf("%s is %s", m.Member, m.State)
			}
			roles[m.Role]++
		}
		if len(found) != instances || roles["leader"] != 1 || roles["sync_standby"]+roles["quorum_standby"] == 0 {
			return fmt.Errorf("the members are %v", found)
		}
		return nil
	})
	return leads
}

// others are the members that do not lead.
func others(leader string) []string {
	var names []string
	for i := range instances {
		names = append(names, fmt.Sprintf("%s-%d", release, i))
	}
	return slices.DeleteFunc(names, func(name string) bool { return name == leader })
}
