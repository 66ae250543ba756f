//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// forbidden has the API server refuse the members and the poolers for half a minute.
var forbidden = fault{what: "API server answers 403 for 30 s", tooLong: 3, lasts: 45 * time.Second, inject: func(t *testing.T, _ string) {
	t.Helper()
	bindings := mustKubectl(t, "get", "rolebinding", release, pooler, "--output=json")
	mustKubectl(t, "delete", "rolebinding", release, pooler)
	outage(t, 30*time.Second)
	if _, err := attempt(context.Background(), bindings, "kubectl", "--namespace", namespace, "create", "--filename=-"); err != nil {
		t.Error(err)
	}
}, expect: stayed}

func TestForbidden(t *testing.T) { forbidden.run(t) }

// TestNoNames takes the cluster's DNS away for half a minute.
func TestNoNames(t *testing.T) {
	scale := func(ctx context.Context, replicas int) {
		if _, err := attempt(ctx, "", "kubectl", "--namespace=kube-system", "scale", "deployment/coredns", fmt.Sprintf("--replicas=%d", replicas)); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(func() { scale(context.Background(), 1) })
	fault{what: "DNS gone for 30 s", tooLong: 3, lasts: 45 * time.Second, inject: func(t *testing.T, _ string) {
		t.Helper()
		scale(t.Context(), 0)
		time.Sleep(30 * time.Second)
		scale(t.Context(), 1)
	}, expect: stayed}.run(t)
}

// tooManyRequests has the API server turn away (429) whoever uses a service account of the namespace.
var tooManyRequests = fault{what: "API server answers 429 for 30 s", tooLong: 3, lasts: 45 * time.Second, inject: func(t *testing.T, _ string) {
	t.Helper()
	everything := []string{"*"}
	before := turnedAway(t)
	end := refused(t,
		object{
			"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "PriorityLevelConfiguration", "metadata": object{"name": namespace},
			"spec": object{"type": "Limited", "limited": object{
				"nominalConcurrencyShares": 0, "borrowingLimitPercent": 0, "limitResponse": object{"type": "Reject"},
			}},
		},
		object{
			"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema", "metadata": object{"name": namespace},
			"spec": object{
				"matchingPrecedence": 10, "priorityLevelConfiguration": object{"name": namespace},
				"rules": []object{{
					"subjects": []object{{"kind": "ServiceAccount", "serviceAccount": object{"namespace": namespace, "name": "*"}}},
					"resourceRules": []object{{
						"verbs": everything, "apiGroups": everything, "resources": everything, "namespaces": everything, "clusterScope": true,
					}},
				}},
			},
		})
	time.Sleep(30 * time.Second)
	// One request at a time still passes, and so the lock may be renewed: nothing less can be asked for.
	if turnedAway(t) == before {
		t.Error("the API server turned nothing away")
	}
	end()
}, expect: stayed}

// turnedAway counts the requests that the API server has answered so.
func turnedAway(t *testing.T) (counted string) {
	t.Helper()
	for line := range strings.Lines(mustKubectl(t, "get", "--raw", "/metrics")) {
		if strings.HasPrefix(line, `apiserver_flowcontrol_rejected_requests_total{flow_schema="`+namespace+`"`) {
			counted += line
		}
	}
	return counted
}

func TestTooManyRequests(t *testing.T) { tooManyRequests.run(t) }

// brokenServer has the API server answer 500 to what changes members' objects: it asks somebody who is not there.
var brokenServer = fault{what: "API server answers 500 for 30 s", tooLong: 3, lasts: 45 * time.Second, inject: func(t *testing.T, _ string) {
	t.Helper()
	refuse(t, object{
		"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration", "metadata": object{"name": namespace},
		"webhooks": []object{{
			"name": "nobody.brownie.dev", "clientConfig": object{"url": "https://127.0.0.1:1/"}, "failurePolicy": "Fail",
			"admissionReviewVersions": []string{"v1"}, "sideEffects": "None", "timeoutSeconds": 1,
			"namespaceSelector": object{"matchLabels": object{"kubernetes.io/metadata.name": namespace}},
			"rules": []object{{
				"apiGroups": []string{""}, "apiVersions": []string{"v1"}, "resources": []string{"configmaps", "pods"},
				"operations": []string{"CREATE", "UPDATE"},
			}},
		}},
	})
}, expect: stayed}

func TestBrokenServer(t *testing.T) { brokenServer.run(t) }

// refuse has objects of the cluster take effect for half a minute.
func refuse(t *testing.T, objects ...object) {
	t.Helper()
	end := refused(t, objects...)
	outage(t, 30*time.Second)
	end()
}

// refused has objects of the cluster take effect, until what it returns is called.
func refused(t *testing.T, objects ...object) (end func()) {
	t.Helper()
	remove := func() {
		for _, o := range objects {
			_, _ = kubectl(context.Background(), "delete", o["kind"].(string), namespace, "--ignore-not-found")
		}
	}
	t.Cleanup(remove)
	apply(t, objects...)
	return remove
}

// outage waits, and makes sure that the leader really cannot renew its lock meanwhile.
func outage(t *testing.T, lasts time.Duration) {
	t.Helper()
	ends := time.After(lasts)
	renewed := func() string {
		return mustKubectl(t, "get", "configmap", release+"-leader", "--output=jsonpath={.metadata.annotations.renewTime}")
	}
	time.Sleep(5 * time.Second)
	before := renewed()
	<-ends
	if after := renewed(); after != before {
		t.Errorf("there was no outage: the leader renewed its lock at %s and at %s", before, after)
	}
}

// TestUnreachable takes the API server away from all pods, for OUTAGE, such as 10m. Default: 1m.
func TestUnreachable(t *testing.T) {
	needsNode(t)
	lasts, err := time.ParseDuration(os.Getenv("OUTAGE"))
	if err != nil {
		lasts = time.Minute
	}
	fault{what: fmt.Sprintf("API server out of reach for %s", lasts), tooLong: 3, lasts: lasts + 20*time.Second, inject: func(t *testing.T, _ string) {
		t.Helper()
		var rules []string
		for ip := range strings.FieldsSeq(mustKubectl(t, "get", "pods", "--output=jsonpath={.items[*].status.podIP}")) {
			for _, chain := range []string{"INPUT", "FORWARD"} {
				rules = append(rules, chain+" --source "+ip+" --protocol tcp --match multiport --destination-ports 443,6443 --jump REJECT")
			}
		}
		heal := filter(t, rules...)
		outage(t, lasts)
		heal()
	}, expect: stayed}.run(t)
}

// cutOff takes the network away from the leader. Nobody can reach it, so that it cannot be asked over the network either.
var cutOff = fault{what: "leader cut off the network", tooLong: 30, lasts: 75 * time.Second, inject: func(t *testing.T, leader string) {
	t.Helper()
	ip := mustKubectl(t, "get", "pod", leader, "--output=jsonpath={.status.podIP}")
	var rules []string
	// Before the rules of network policies, which are put first again from time to time.
	for _, chain := range []string{"PREROUTING --table raw", "OUTPUT --table raw"} {
		rules = append(rules, chain+" --source "+ip+" --jump DROP", chain+" --destination "+ip+" --jump DROP")
	}
	heals := time.After(40 * time.Second)
	heal := filter(t, rules...)
	nextLeader(t, leader)
	if got, err := ask(t.Context(), leader, "postgres", "SELECT pg_is_in_recovery()"); err == nil && got != "t" {
		t.Errorf("two members write")
	}
	<-heals
	heal()
}, expect: moved}

func TestCutOff(t *testing.T) {
	needsNode(t)
	cutOff.run(t)
}

// filter puts rules before those of the node's packet filter, until what it returns is called.
func filter(t *testing.T, rules ...string) (heal func()) {
	t.Helper()
	heal = func() {
		for _, rule := range rules {
			_ = onNode(context.Background(), "iptables --delete "+rule+" 2>/dev/null || true")
		}
	}
	t.Cleanup(heal)
	for _, rule := range rules {
		if err := onNode(t.Context(), "iptables --insert "+rule); err != nil {
			t.Fatal(err)
		}
	}
	return heal
}

// needsNode skips a test where nobody said how to run a program as root on the node.
func needsNode(t *testing.T) {
	t.Helper()
	if os.Getenv("E2E_NODE") == "" {
		t.Skip("NOT RUN: E2E_NODE does not say how to run a program on the node")
	}
}

// onNode runs a shell command there.
func onNode(ctx context.Context, command string) error {
	by := append(strings.Fields(os.Getenv("E2E_NODE")), command)
	_, err := attempt(ctx, "", by[0], by[1:]...)
	return err
}
