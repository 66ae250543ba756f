//go:build e2e

package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestAutoscaling has the autoscaler add poolers when they are busy. Where the cluster has no metrics, objects of the same API that the
// test writes stand in for them; the autoscaler itself is the cluster's.
func TestAutoscaling(t *testing.T) {
	if output, err := kubectl(t.Context(), "get", "--raw", "/apis/metrics.k8s.io/v1beta1/nodes"); err == nil && strings.Contains(output, "NodeMetrics") {
		t.Skip("NOT RUN: the cluster has metrics of its own")
	}
	installed(t)
	with := poolerValues(t)
	with["autoscaling"] = object{"maximum": 3}
	helm(t, "upgrade", pooler, "../pgbouncer/chart", "--values="+file(t, with))
	t.Cleanup(func() {
		ctx := context.Background()
		_, _ = kubectl(ctx, "delete", "customresourcedefinition", "pods.metrics.k8s.io", "--ignore-not-found")
		_, _ = attempt(ctx, "", setting(t, "HELM"), "--namespace", namespace, "upgrade", pooler, "../pgbouncer/chart", "--values="+file(t, poolerValues(t)))
	})
	apply(t, metricsAPI())
	mustKubectl(t, "wait", "--for=condition=Established", "customresourcedefinition/pods.metrics.k8s.io", "--timeout=30s")
	poolers := func(ctx context.Context) (string, error) {
		return kubectl(ctx, "get", "deployment", pooler, "--output=jsonpath={.spec.replicas}")
	}
	// Half of what is asked for is no reason for a third one.
	use(t, 0.5)
	eventually(t, 2*time.Minute, func(ctx context.Context) error {
		status, err := kubectl(ctx, "get", "horizontalpodautoscaler", pooler, `--output=jsonpath={.status.currentMetrics[0].resource.current.averageUtilization} `+
			`{.status.conditions[?(@.type=="ScalingActive")].message}`)
		if err == nil && !strings.HasPrefix(status, "50 ") {
			err = fmt.Errorf("the autoscaler sees %q", status)
		}
		return err
	})
	if n, err := poolers(t.Context()); err != nil || n != "2" {
		t.Errorf("there are %s poolers: %v", n, err)
	}
	use(t, 1)
	eventually(t, 2*time.Minute, func(ctx context.Context) error {
		n, err := poolers(ctx)
		if err == nil && n != "3" {
			err = fmt.Errorf("there are %s poolers", n)
		}
		return err
	})
	mustKubectl(t, "rollout", "status", "deployment/"+pooler, "--timeout=1m")
}

// use says of every pooler that it takes that share of the processor time that its containers ask for.
func use(t *testing.T, share float64) {
	t.Helper()
	var pods struct {
		Items []struct {
			Metadata struct {
				Name   string
				Labels map[string]string
			}
			Spec struct{ Containers, InitContainers []container }
		}
	}
	if err := json.Unmarshal([]byte(mustKubectl(t, "get", "pods", "--selector="+poolerPods, "--output=json")), &pods); err != nil {
		t.Fatal(err)
	}
	var all []object
	for _, pod := range pods.Items {
		var containers []object
		for _, c := range append(pod.Spec.Containers, pod.Spec.InitContainers...) {
			var milli int
			if n, err := fmt.Sscanf(c.Resources.Requests.CPU, "%dm", &milli); n != 1 {
				t.Fatalf("%s asks for %q of processors: %v", c.Name, c.Resources.Requests.CPU, err)
			}
			containers = append(containers, object{"name": c.Name, "usage": object{"cpu": fmt.Sprintf("%.0fu", float64(milli)*1000*share), "memory": "9Mi"}})
		}
		all = append(all, object{
			"apiVersion": "metrics.k8s.io/v1beta1", "kind": "PodMetrics",
			"metadata":  object{"name": pod.Metadata.Name, "labels": pod.Metadata.Labels},
			"timestamp": time.Now().UTC().Format(time.RFC3339), "window": "1s", "containers": containers,
		})
	}
	apply(t, all...)
}

type container struct {
	Name      string
	Resources struct{ Requests struct{ CPU string } }
}

// metricsAPI defines the objects of the metrics API, which are those of pods.
func metricsAPI() object {
	return object{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": object{"name": "pods.metrics.k8s.io", "annotations": object{"api-approved.kubernetes.io": "unapproved, a stand-in of a test"}},
		"spec": object{
			"group": "metrics.k8s.io", "scope": "Namespaced",
			"names": object{"plural": "pods", "kind": "PodMetrics", "listKind": "PodMetricsList"},
			"versions": []object{{
				"name": "v1beta1", "served": true, "storage": true,
				"schema": object{"openAPIV3Schema": object{"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
			}},
		},
	}
}
