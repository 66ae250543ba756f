package portforward

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// service is what matters of a Service.
type service struct {
	Spec struct {
		Ports []struct {
			Name     string
			Port     int
			Protocol string
		}
	}
}

// endpointSlices is what matters of a list of EndpointSlices.
type endpointSlices struct {
	Items []struct {
		Endpoints []struct {
			Conditions struct{ Ready *bool }
			TargetRef  *struct{ Kind, Name, UID string }
		}
		Ports []struct {
			Name     string
			Port     int
			Protocol string
		}
	}
}

// target is a pod and its port.
type target struct {
	pod, uid string
	port     int
}

// targets asks which pods are ready behind a port of the Service. A failover changes them.
func (c *cluster) targets(ctx context.Context, config Config, port int) ([]target, error) {
	var of service
	where := c.base.JoinPath("api/v1/namespaces", config.Namespace, "services", config.Service)
	if err := c.get(ctx, where, permission{"get", "", "services"}, config.Namespace, &of); err != nil {
		return nil, err
	}
	name, err := of.nameOf(config, port)
	if err != nil {
		return nil, err
	}
	var found endpointSlices
	where = c.base.JoinPath("apis/discovery.k8s.io/v1/namespaces", config.Namespace, "endpointslices")
	where.RawQuery = url.Values{"labelSelector": {"kubernetes.io/service-name=" + config.Service}}.Encode()
	err = c.get(ctx, where, permission{"list", "discovery.k8s.io", "endpointslices"}, config.Namespace, &found)
	if err != nil {
		return nil, err
	}
	targets, strangers := found.ready(name)
	switch {
	case len(targets) > 0:
		return targets, nil
	case strangers > 0:
		return nil, problem.New(fmt.Sprintf("the endpoints of Service %q in namespace %q are no pods, and only to pods can be forwarded",
			config.Service, config.Namespace), "Name a Service of pods, or connect to those servers without kubernetes")
	}
	text := fmt.Sprintf("no endpoint of Service %q in namespace %q is ready", config.Service, config.Namespace)
	return nil, passingError{problem.New(text, "Look at the pods behind it, or raise connect_timeout if a failover takes longer")}
}

// nameOf finds what the port is called in the EndpointSlices, where the number is that of the pods.
func (s service) nameOf(config Config, port int) (string, error) {
	var has []string
	for _, p := range s.Spec.Ports {
		if p.Protocol != "" && p.Protocol != "TCP" {
			continue
		}
		if p.Port == port {
			return p.Name, nil
		}
		has = append(has, strconv.Itoa(p.Port))
	}
	return "", problem.New(fmt.Sprintf("Service %q in namespace %q has no TCP port %d", config.Service, config.Namespace, port),
		"Set port to the Service's own, not to the pods': "+strings.Join(has, ", "))
}

// ready are the pods that are, and how many ready endpoints are no pods.
func (s endpointSlices) ready(port string) (targets []target, strangers int) {
	known := map[string]bool{} // IPv4 and IPv6 have a slice each
	for _, slice := range s.Items {
		for _, p := range slice.Ports {
			if p.Name != port || p.Port == 0 {
				continue
			}
			for _, e := range slice.Endpoints {
				if ready := e.Conditions.Ready; ready != nil && !*ready {
					continue
				}
				if e.TargetRef == nil || e.TargetRef.Kind != "Pod" {
					strangers++
					continue
				}
				if pod := e.TargetRef; !known[pod.UID] {
					known[pod.UID] = true
					targets = append(targets, target{pod.Name, pod.UID, p.Port})
				}
			}
		}
	}
	return targets, strangers
}
