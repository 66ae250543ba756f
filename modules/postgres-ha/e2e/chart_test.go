//go:build e2e

package e2e_test

import (
	"strings"
	"testing"
)

// TestChart renders the chart with values of each kind; it needs no cluster.
func TestChart(t *testing.T) {
	for set, words := range map[string]string{
		"instances=5":                       "",
		"postgresql.parameters.work_mem=5M": "",
		"wal.enabled=true,spread.host=required,spread.zone=none":     "",
		"crl.enabled=true,crl.lists={http://lists.example/ca.crl}":   "",
		"certificates.issuer.name=vault,certificates.server.secret=": "",
		"networkPolicy.clients[0].cidr=10.0.0.0/8":                   "",
		"colour=red":                                          "additional properties 'colour' not allowed",
		"storage.colour=red":                                  "additional properties 'colour' not allowed",
		"synchronous.mode=maybe":                              "value must be one of 'on', 'quorum', 'off'",
		"instances=1":                                         "synchronous.replicas must be less than instances",
		"patroni.retryTimeout=10":                             "patroni.ttl must be at least",
		"postgresql.parameters.fsync=off":                     "invalid propertyName 'fsync'",
		"crl.enabled=true":                                    "/crl",
		"image.digest=sha1:0":                                 "/image/digest",
		"certificates.api.secret=":                            "certificates.api: name a Secret, or an issuer",
		"networkPolicy.clients[0].podLabels=x":                "/networkPolicy/clients/0/podLabels",
		"fullnameOverride=" + strings.Repeat("a", 41):         "/fullnameOverride",
		"postgresql.parameters.ssl_ca_file=/etc/passwd":       "invalid propertyName 'ssl_ca_file'",
		"bootstrap.administrator=postgres":                    "/bootstrap/administrator",
		"certificates.authorities.configMap=cm,instances=two": "/instances",
	} {
		output, err := attempt(t.Context(), "", setting(t, "HELM"), "template", release, "../chart", "--kube-version=1.33.0",
			"--values="+file(t, values(t)), "--set="+set)
		switch {
		case words == "" && (err != nil || !strings.Contains(output, "kind: StatefulSet")):
			t.Errorf("%s: %v", set, err)
		case words != "" && (err == nil || !strings.Contains(err.Error(), words)):
			t.Errorf("%s: want %q, got %v", set, words, err)
		}
	}
}
