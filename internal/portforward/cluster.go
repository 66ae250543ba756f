package portforward

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	api "k8s.io/client-go/tools/clientcmd/api"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// cluster is an API server and a login to it.
type cluster struct {
	login  *rest.Config
	client *http.Client
	base   *url.URL
}

func newCluster(config Config) (*cluster, error) {
	login, err := config.login()
	if err != nil {
		return nil, err
	}
	login.UserAgent = config.UserAgent
	if login.ExecProvider != nil {
		login.ExecProvider.StdinUnavailable, login.ExecProvider.StdinUnavailableMessage = true, "nobody sits at Terraform's providers"
	}
	client, err := rest.HTTPClientFor(login)
	if err != nil {
		return nil, unusable(err)
	}
	base, _, err := rest.DefaultServerUrlFor(login)
	if err != nil {
		return nil, unusable(err)
	}
	return &cluster{login: login, client: client, base: base}, nil
}

func unusable(err error) error {
	return problem.New("the login to the Kubernetes cluster cannot be used: "+err.Error(), "Correct the provider argument kubernetes").
		Because(err)
}

// login puts files and values together as kubectl does with its options.
func (c Config) login() (*rest.Config, error) {
	if len(c.ConfigPaths) == 0 && c.Host == "" {
		login, err := rest.InClusterConfig()
		if err != nil {
			return nil, problem.New("no Kubernetes cluster is named, and this is no pod with a service account",
				"Set config_path or host of the provider argument kubernetes").Because(err)
		}
		return login, nil
	}
	rules := &clientcmd.ClientConfigLoadingRules{}
	for _, path := range c.ConfigPaths {
		path, err := readable(path)
		if err != nil {
			return nil, err
		}
		rules.Precedence = append(rules.Precedence, path)
	}
	login, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, c.overrides()).ClientConfig()
	if err != nil {
		return nil, unusable(err)
	}
	return login, nil
}

func (c Config) overrides() *clientcmd.ConfigOverrides {
	overrides := &clientcmd.ConfigOverrides{
		CurrentContext: c.ConfigContext,
		ClusterInfo: api.Cluster{
			Server: c.Host, InsecureSkipTLSVerify: c.Insecure, ProxyURL: c.ProxyURL, TLSServerName: c.TLSServerName,
			CertificateAuthorityData: []byte(c.CACertificate),
		},
		AuthInfo: api.AuthInfo{
			Token: c.Token, ClientCertificateData: []byte(c.ClientCertificate), ClientKeyData: []byte(c.ClientKey),
		},
	}
	if c.Exec != nil {
		exec := &api.ExecConfig{
			APIVersion: c.Exec.APIVersion, Command: c.Exec.Command, Args: c.Exec.Args, InteractiveMode: api.NeverExecInteractiveMode,
		}
		for name, value := range c.Exec.Env {
			exec.Env = append(exec.Env, api.ExecEnvVar{Name: name, Value: value})
		}
		overrides.AuthInfo.Exec = exec
	}
	return overrides
}

// readable is a file's path. What people paste in its place is not shown.
func readable(path string) (string, error) {
	if below, ok := strings.CutPrefix(path, "~/"); ok {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", problem.New("a path of the provider argument kubernetes begins with ~/, and there is no home folder",
				"Write the whole path")
		}
		path = filepath.Join(home, below)
	}
	file, err := os.Open(path)
	if err != nil {
		var cause *os.PathError
		if errors.As(err, &cause) {
			err = cause.Err
		}
		return "", problem.New("a kubeconfig file cannot be read: "+err.Error(),
			"Correct config_path or config_paths of the provider argument kubernetes")
	}
	return path, file.Close()
}

// permission is what a Role must have.
type permission struct{ verbs, group, resource string }

// get reads an object of the API.
func (c *cluster) get(ctx context.Context, where *url.URL, needs permission, namespace string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, where.String(), http.NoBody)
	if err != nil {
		return unusable(err)
	}
	request.Header.Set("Accept", "application/json")
	response, err := c.client.Do(request)
	if err != nil {
		return c.unanswered(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, 16<<20))
	if err != nil {
		return c.unanswered(err)
	}
	if response.StatusCode != http.StatusOK {
		return refusal(response.StatusCode, text, needs, namespace)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return problem.New("what answers at "+c.base.Host+" is no Kubernetes API server", "Correct the provider argument kubernetes")
	}
	return nil
}

// unanswered is the problem when a request gets no answer.
func (c *cluster) unanswered(err error) error {
	var (
		address     *url.Error
		dns         *net.DNSError
		authority   x509.UnknownAuthorityError
		hostname    x509.HostnameError
		certificate x509.CertificateInvalidError
		network     net.Error
	)
	if errors.As(err, &address) {
		err = address.Err // without the URL, which has the addresses of pods
	}
	told := problem.New(fmt.Sprintf("the Kubernetes API server %s cannot be asked: %s", c.base.Host, err),
		"Correct the provider argument kubernetes, or try again when the API server is back").Because(err)
	switch {
	case errors.As(err, &dns) && dns.IsNotFound, errors.As(err, &authority), errors.As(err, &hostname), errors.As(err, &certificate):
		return told
	case errors.As(err, &network), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, context.DeadlineExceeded):
		return passingError{told}
	}
	return told
}

// refusal words an answer of the API server that is not the wanted one.
func refusal(code int, text []byte, needs permission, namespace string) error {
	var status struct{ Message string }
	if json.Unmarshal(text, &status) != nil || status.Message == "" {
		status.Message = http.StatusText(code)
	}
	switch code {
	case http.StatusForbidden:
		return problem.New("the Kubernetes API server forbids it: "+status.Message, fmt.Sprintf(
			"Give this login a Role in namespace %q with the rule {apiGroups: [%q], resources: [%s], verbs: [%s]}",
			namespace, needs.group, needs.resource, needs.verbs))
	case http.StatusUnauthorized:
		return problem.New("the Kubernetes API server does not accept the login", "Check token, client_certificate or exec of the "+
			"provider argument kubernetes, or the user of its config_context")
	case http.StatusNotFound:
		return problem.New("the Kubernetes API server says: "+status.Message,
			"Check namespace and service of the provider argument kubernetes")
	}
	told := problem.New("the Kubernetes API server says: "+status.Message, "Try again when it can")
	if code == http.StatusTooManyRequests || code >= http.StatusInternalServerError {
		return passingError{told}
	}
	return told
}
