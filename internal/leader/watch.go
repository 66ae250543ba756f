package leader

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// API is a Kubernetes API server, asked with a service account's token. client-go would be 20 times this program.
type API struct {
	// URL is where it is, such as https://10.96.0.1.
	URL string
	// TokenFile holds the token, which Kubernetes renews there.
	TokenFile string
	// Client trusts the server.
	Client *http.Client
}

// InCluster is the API server as Kubernetes tells a pod of it, with a service account in the folder.
func InCluster(getenv func(string) string, folder string) (API, error) {
	host, port := getenv("KUBERNETES_SERVICE_HOST"), getenv("KUBERNETES_SERVICE_PORT")
	if host == "" || port == "" {
		return API{}, errors.New("KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: this runs in a pod only")
	}
	text, err := os.ReadFile(filepath.Join(folder, "ca.crt"))
	if err != nil {
		return API{}, fmt.Errorf("cannot read who signs the API server's certificate: %w", err)
	}
	authorities := x509.NewCertPool()
	if !authorities.AppendCertsFromPEM(text) {
		return API{}, fmt.Errorf("%s/ca.crt holds no certificate", folder)
	}
	transport := &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: authorities, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: 5 * time.Second,
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
	}
	return API{
		URL:       "https://" + net.JoinHostPort(host, port),
		TokenFile: filepath.Join(folder, "token"),
		Client:    &http.Client{Transport: transport},
	}, nil
}

// object is what matters of a ConfigMap or a pod.
type object struct {
	Metadata struct {
		Name              string            `json:"name"`
		Annotations       map[string]string `json:"annotations"`
		DeletionTimestamp string            `json:"deletionTimestamp"`
	} `json:"metadata"`
	Status struct {
		Conditions []condition `json:"conditions"`
	} `json:"status"`
}

type condition struct {
	Type   string `json:"type"`
	Status string `json:"status"`
}

// objects are those of a selection, by name.
type objects map[string]object

// silence is after how long a watch begins anew, in case that it is broken. Patroni changes the leader's ConfigMap every loop.
const silence = 15 * time.Second

var errSilence = errors.New("nothing was heard for a while")

// watch hands over the objects of a selection whenever one changes, until ctx ends. What fails is tried again, and told once.
func (a API) watch(ctx context.Context, path string, selection url.Values, changed func(objects), failed func(error)) {
	told := ""
	for {
		err := a.watchOnce(ctx, path, selection, func(all objects) {
			told = ""
			changed(all)
		})
		if ctx.Err() != nil {
			return
		}
		// The server ends each watch after some minutes, too.
		if text := err.Error(); !errors.Is(err, io.EOF) && !errors.Is(err, errSilence) && text != told {
			told = text
			failed(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
	}
}

// watchOnce lists, then follows the changes since. It ends when the server ends it, or says nothing for too long.
func (a API) watchOnce(ctx context.Context, path string, selection url.Values, changed func(objects)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	patience := time.AfterFunc(silence, func() { cancel(fmt.Errorf("the API server did not answer for %s", silence)) })
	defer func() { patience.Stop() }()

	list, err := a.get(ctx, path, selection)
	if err != nil {
		return errors.Join(err, context.Cause(ctx))
	}
	defer func() { _ = list.Close() }()
	var all struct {
		Metadata struct {
			ResourceVersion string `json:"resourceVersion"`
		} `json:"metadata"`
		Items []object `json:"items"`
	}
	if err := json.NewDecoder(list).Decode(&all); err != nil {
		return errors.Join(err, context.Cause(ctx))
	}
	now := objects{}
	for _, o := range all.Items {
		now[o.Metadata.Name] = o
	}
	changed(now)
	patience.Stop()
	patience = time.AfterFunc(silence, func() { cancel(errSilence) })

	since := url.Values{"watch": {"true"}, "resourceVersion": {all.Metadata.ResourceVersion}}
	maps.Copy(since, selection)
	stream, err := a.get(ctx, path, since)
	if err != nil {
		return errors.Join(err, context.Cause(ctx))
	}
	defer func() { _ = stream.Close() }()
	for events := json.NewDecoder(stream); ; {
		var event struct {
			Type   string          `json:"type"`
			Object json.RawMessage `json:"object"`
		}
		if err := events.Decode(&event); err != nil {
			return errors.Join(err, context.Cause(ctx))
		}
		patience.Reset(silence)
		if event.Type == "ERROR" { // such as that the list is too old
			return fmt.Errorf("the API server ends the watch: %s", event.Object)
		}
		var o object
		if err := json.Unmarshal(event.Object, &o); err != nil {
			return err
		}
		if event.Type == "DELETED" {
			delete(now, o.Metadata.Name)
		} else {
			now[o.Metadata.Name] = o
		}
		changed(now)
	}
}

// get asks for a path. The caller closes what is returned.
func (a API) get(ctx context.Context, path string, query url.Values) (io.ReadCloser, error) {
	token, err := os.ReadFile(a.TokenFile)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.URL+path+"?"+query.Encode(), http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	resp, err := a.Client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		defer func() { _ = resp.Body.Close() }()
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		return nil, fmt.Errorf("the API server answers %s to GET %s: %s", resp.Status, path, text)
	}
	return resp.Body, nil
}
