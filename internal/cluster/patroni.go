package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// Patroni is where its REST API is, on one member or more.
type Patroni struct {
	// URLs are asked in this order until one answers, such as https://pg-0.pg-members.databases.svc:8008.
	URLs []string
	// Authorities may sign the members' certificates of that API, in PEM.
	Authorities []byte
	// Certificate and Key are what it is asked with, in PEM. Whoever has them may also give orders.
	Certificate, Key []byte
}

// status is what Patroni says of a cluster (GET /cluster).
type status struct {
	Scope   string         `json:"scope"`
	Pause   bool           `json:"pause"`
	Members []patroniState `json:"members"`
}

type patroniState struct {
	Name     string `json:"name"`
	Role     string `json:"role"`
	State    string `json:"state"`
	API      string `json:"api_url"`
	Host     string `json:"host"`
	Port     int    `json:"port"`
	Timeline *int64 `json:"timeline"`
	// ReplayLag is a number, or "unknown". Before Patroni 4.1 it was Lag.
	ReplayLag any `json:"replay_lag"`
	Lag       any `json:"lag"`
}

// ReadFromPatroni asks for the cluster, and then each member for what it alone knows.
func ReadFromPatroni(ctx context.Context, p Patroni) (Cluster, error) {
	client, err := p.client()
	if err != nil {
		return Cluster{}, err
	}
	defer client.CloseIdleConnections()
	told, err := p.status(ctx, client)
	if err != nil {
		return Cluster{}, err
	}
	c := Cluster{Name: told.Scope, Paused: told.Pause, Members: make([]Member, len(told.Members))}
	// One that does not answer holds up nobody.
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var all sync.WaitGroup
	for i, s := range told.Members {
		all.Go(func() { c.Members[i] = s.member(ctx, client) })
	}
	all.Wait()
	sort(c.Members)
	return c, nil
}

// patience is how long one member may take to answer.
const patience = 5 * time.Second

// status is the first answer.
func (p Patroni) status(ctx context.Context, client *http.Client) (status, error) {
	var problems []string
	for _, address := range p.URLs {
		var told status
		err := get(ctx, client, strings.TrimSuffix(address, "/")+"/cluster", &told)
		if err == nil {
			return told, nil
		}
		problems = append(problems, err.Error())
	}
	return status{}, problem.New("Patroni does not answer: "+strings.Join(problems, "; "),
		"Name its REST API on each member, and a certificate that its authority signed").On("patroni")
}

// member is what Patroni says of one, and what that one alone knows.
func (s patroniState) member(ctx context.Context, client *http.Client) Member {
	m := Member{Name: &s.Name, Host: &s.Host, Role: s.Role, State: &s.State, Timeline: s.Timeline}
	m.CertificateNotAfter = expiry(ctx, net.JoinHostPort(s.Host, strconv.Itoa(s.Port)))
	if s.Role == Leader || s.Role == StandbyLeader {
		return m
	}
	m.Role, m.Synchronous = Replica, s.Role == "sync_standby" || s.Role == "quorum_standby"
	if m.LagBytes = bytes(s.ReplayLag, s.Lag); m.LagBytes != nil {
		m.LagSeconds = age(ctx, client, s.API, *m.LagBytes)
	}
	return m
}

// client trusts the API's authority, and shows the certificate.
func (p Patroni) client() (*http.Client, error) {
	pair, err := tls.X509KeyPair(p.Certificate, p.Key)
	if err != nil {
		// The error never contains the key, only what is wrong with it.
		return nil, problem.New("the certificate and the key are no usable pair: "+strings.TrimPrefix(err.Error(), "tls: "), "").
			On("patroni")
	}
	authorities := x509.NewCertPool()
	if !authorities.AppendCertsFromPEM(p.Authorities) {
		return nil, problem.New("the authorities hold no PEM certificate", "").On("patroni")
	}
	return &http.Client{
		Timeout: patience,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{
			RootCAs: authorities, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12,
		}},
		// The certificate is for the API, and for nobody whom it names.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

func get(ctx context.Context, client *http.Client, address string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		if failed, ok := errors.AsType[*url.Error](err); ok {
			err = fmt.Errorf("%s: %w", failed.URL, failed.Err)
		}
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: it answers %s", address, resp.Status)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(into); err != nil {
		return fmt.Errorf("%s: the answer is not Patroni's: %w", address, err)
	}
	return nil
}

// bytes is the first of them that is a number.
func bytes(lags ...any) *int64 {
	for _, lag := range lags {
		if n, ok := lag.(float64); ok {
			return new(int64(n))
		}
	}
	return nil
}

// age is how old the last change is that a replica has replayed, or none when nothing is missing.
func age(ctx context.Context, client *http.Client, api string, lag int64) *float64 {
	if lag == 0 {
		return new(0.0)
	}
	var told struct {
		XLog struct {
			Replayed string `json:"replayed_timestamp"`
		} `json:"xlog"`
	}
	if err := get(ctx, client, api, &told); err != nil {
		return nil
	}
	at, err := time.Parse("2006-01-02 15:04:05.999999-07:00", told.XLog.Replayed)
	if err != nil {
		return nil
	}
	return new(max(0, time.Since(at).Seconds()))
}

// expiry is when the certificate expires that PostgreSQL shows there, before anybody logs in. Nil: it does not answer.
func expiry(ctx context.Context, address string) *time.Time {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil
	}
	defer func() { _ = conn.Close() }()
	if end, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(end)
	}
	// SSLRequest (PostgreSQL manual, section 54.7). The answer S goes on with TLS.
	answer := make([]byte, 1)
	if _, err := conn.Write([]byte{0, 0, 0, 8, 4, 210, 22, 47}); err != nil {
		return nil
	}
	if _, err := io.ReadFull(conn, answer); err != nil || answer[0] != 'S' {
		return nil
	}
	encrypted := tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // Only a date is read, of an expired one, too.
	if err := encrypted.HandshakeContext(ctx); err != nil {
		return nil
	}
	var m Member
	m.shows(encrypted.ConnectionState().PeerCertificates)
	return m.CertificateNotAfter
}
