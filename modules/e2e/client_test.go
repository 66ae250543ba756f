//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

// admitted are labels of pods that may connect; strangers are others, whom nothing keeps from trying.
var (
	admitted = object{"e2e": "client", "brownie.dev/postgres-client": "true", "brownie.dev/pooler-client": "true"}
	stranger = object{"e2e": "client"}
)

// What Pod Security "restricted" asks for.
var (
	podSecurity = object{
		"runAsNonRoot": true, "runAsUser": 10001, "fsGroup": 10001, "seccompProfile": object{"type": "RuntimeDefault"},
	}
	containerSecurity = object{
		"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": object{"drop": []string{"ALL"}},
	}
)

// direct and pooled are how the writer logs in.
func direct(service string) string { return connection(release+"-"+service, 5432, database) }

func pooled(database string) string { return connection(pooler, 6432, database) }

func connection(service string, port int, database string) string {
	return fmt.Sprintf("host=%s.%s.svc port=%d dbname=%s user=%s connect_timeout=2 sslmode=verify-full sslrootcert=/tls/ca.crt "+
		"sslcert=/tls/tls.crt sslkey=/tls/tls.key", service, namespace, port, database, writer)
}

// askUntilAnswered tries again for a while when nobody answers: a new pod's address takes a moment to get into the network's rules.
const askUntilAnswered = `
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		if answer=$(psql -XAt -c "$2" "$1" 2>&1); then break; fi
		case $answer in *'Connection refused'* | *'timeout expired'*) sleep 1 ;; *) break ;; esac
	done
	echo "$answer"`

// startClient starts a pod with a login of that Secret. The namespace denies everything, so that clients need a way out.
func startClient(t *testing.T, name, program, login string, labels object, arguments ...string) {
	t.Helper()
	i := image(t, program)
	container := object{
		"name": "client", "image": fmt.Sprintf("%s:%s", i["repository"], i["tag"]), "imagePullPolicy": "IfNotPresent",
		"args": arguments, "volumeMounts": []object{{"name": "login", "mountPath": "/tls"}},
		"securityContext": containerSecurity,
	}
	if program == "postgres" {
		container["command"] = []string{"sh", "-c", askUntilAnswered, "sh"}
	}
	egress := []object{
		{"ports": []object{{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}}},
		{"ports": []object{{"port": 5432, "protocol": "TCP"}, {"port": 6432, "protocol": "TCP"}}},
	}
	apply(t, object{
		"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": object{"name": "clients"},
		"spec": object{
			"podSelector": object{"matchLabels": stranger}, "policyTypes": []string{"Egress"}, "egress": egress,
		},
	}, object{
		"apiVersion": "v1", "kind": "Pod", "metadata": object{"name": name, "labels": labels},
		"spec": object{
			"restartPolicy": "Never", "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 0,
			"securityContext": podSecurity,
			"containers":      []object{container},
			"volumes":         []object{{"name": "login", "secret": object{"secretName": login, "defaultMode": 0o440}}},
		},
	})
	t.Cleanup(func() { _, _ = kubectl(context.Background(), "delete", "pod", name, "--wait=false") })
}

// login asks with the certificate of a Secret, from a pod, and returns what the client was told: the answer, or why there is none.
func login(t *testing.T, secret string, labels object, connection, sql string) string {
	t.Helper()
	name := fmt.Sprintf("client-%d", time.Now().UnixNano())
	startClient(t, name, "postgres", secret, labels, connection, sql)
	eventually(t, time.Minute, func(ctx context.Context) error {
		phase, err := kubectl(ctx, "get", "pod", name, "--output=jsonpath={.status.phase}")
		if err == nil && phase != "Succeeded" && phase != "Failed" {
			err = errors.New("the pod is " + phase)
		}
		return err
	})
	return mustKubectl(t, "logs", name)
}
