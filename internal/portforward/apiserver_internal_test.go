package portforward

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/gorilla/websocket"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
)

const token = "kubernetes-token-of-the-test"

// apiServer is an API server and a node, as far as a port-forward needs them, which fail as the test wants.
type apiServer struct {
	*httptest.Server

	mu sync.Mutex
	// answers are those to GET, by path.
	answers map[string]func() (int, string)
	// spdyOnly refuses websockets.
	spdyOnly bool
	// refuses says with which answer a pod is not reached.
	refuses map[string]int
	// ports are where those of the pods are in truth.
	ports map[string]string
	// fault is what the node says when it does not get to one of them.
	fault string
	// tunnels are the connections that were opened, by pod.
	tunnels map[string][]net.Conn
}

const (
	servicePath = "/api/v1/namespaces/db/services/pg-primary"
	slicesPath  = "/apis/discovery.k8s.io/v1/namespaces/db/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3Dpg-primary"
)

func newAPIServer(t *testing.T) *apiServer {
	t.Helper()
	s := &apiServer{refuses: map[string]int{}, ports: map[string]string{}, tunnels: map[string][]net.Conn{}}
	s.fault = "error forwarding port: connect: connection refused"
	s.answers = map[string]func() (int, string){
		servicePath: always(`{"spec": {"ports": [{"name": "api", "port": 8008}, {"name": "postgresql", "port": 5432, "targetPort": "pg"}]}}`),
		slicesPath:  always(endpoints("pg-0", "uid-0", true)),
	}
	s.Server = httptest.NewTLSServer(s)
	t.Cleanup(func() {
		s.breakTunnels()
		s.Close()
	})
	return s
}

func always(text string) func() (int, string) {
	return func() (int, string) { return http.StatusOK, text }
}

// endpoints is a list of one EndpointSlice with these pods: name, UID and whether it is ready, each.
func endpoints(pods ...any) string {
	var list []string
	for i := 0; i < len(pods); i += 3 {
		list = append(list, fmt.Sprintf(`{"conditions": {"ready": %v}, "targetRef": {"kind": "Pod", "name": %q, "uid": %q}}`,
			pods[i+2], pods[i], pods[i+1]))
	}
	return `{"items": [{"ports": [{"name": "api", "port": 8008}, {"name": "postgresql", "port": 15432, "protocol": "TCP"}],
		"endpoints": [` + strings.Join(list, ",") + `]}]}`
}

// forwarder is a client of the server.
func (s *apiServer) forwarder() *Forwarder {
	return New(Config{
		Namespace: "db", Service: "pg-primary", Host: s.URL, Token: token,
		CACertificate: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})),
	})
}

func (s *apiServer) answer(path string, give func() (int, string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[path] = give
}

func (s *apiServer) opened(pod string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.tunnels[pod])
}

// breakTunnels is what a restart of the API server does.
func (s *apiServer) breakTunnels() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, tunnels := range s.tunnels {
		for _, t := range tunnels {
			_ = t.Close()
		}
	}
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer "+token {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if pod, ok := strings.CutPrefix(r.URL.Path, "/api/v1/namespaces/db/pods/"); ok {
		s.forward(w, r, strings.TrimSuffix(pod, "/portforward"))
		return
	}
	s.mu.Lock()
	give := s.answers[r.URL.RequestURI()]
	s.mu.Unlock()
	code, text := http.StatusNotFound, `{"message": "not found"}`
	if give != nil {
		code, text = give()
	}
	w.WriteHeader(code)
	_, _ = io.WriteString(w, text)
}

func (s *apiServer) forward(w http.ResponseWriter, r *http.Request, pod string) {
	s.mu.Lock()
	spdyOnly, refuses := s.spdyOnly, s.refuses[pod]
	s.mu.Unlock()
	switch {
	case refuses != 0:
		w.WriteHeader(refuses)
		_ = json.NewEncoder(w).Encode(map[string]string{"message": "pods " + pod + " is refused"})
	case r.Method == http.MethodGet && spdyOnly:
		w.WriteHeader(http.StatusBadRequest)
	case r.Method == http.MethodGet:
		upgrader := websocket.Upgrader{Subprotocols: []string{overWebsocket}}
		if socket, err := upgrader.Upgrade(w, r, nil); err == nil {
			s.serve(pod, &carrier{Conn: socket})
		}
	default:
		if _, err := httpstream.Handshake(r, w, []string{protocol}); err != nil {
			return
		}
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", spdy.HeaderSpdy31)
		w.WriteHeader(http.StatusSwitchingProtocols)
		if raw, early, err := http.NewResponseController(w).Hijack(); err == nil {
			s.serve(pod, hijacked{raw, early})
		}
	}
}

// hijacked is a connection of which something has been read already.
type hijacked struct {
	net.Conn
	early io.Reader
}

func (h hijacked) Read(p []byte) (int, error) { return h.early.Read(p) }

// serve is the node's side of a tunnel.
func (s *apiServer) serve(pod string, raw net.Conn) {
	s.mu.Lock()
	s.tunnels[pod] = append(s.tunnels[pod], raw)
	s.mu.Unlock()
	faults := sync.Map{}
	_, _ = spdy.NewServerConnection(raw, func(stream httpstream.Stream, _ <-chan struct{}) error {
		id := stream.Headers().Get("requestID")
		if stream.Headers().Get("streamType") == "error" {
			faults.Store(id, stream)
			return nil
		}
		fault, _ := faults.Load(id)
		go s.connect(stream, fault.(httpstream.Stream))
		return nil
	})
}

func (s *apiServer) connect(data, fault httpstream.Stream) {
	defer func() { _, _ = data.Close(), fault.Close() }()
	s.mu.Lock()
	address, text := s.ports[data.Headers().Get("port")], s.fault
	s.mu.Unlock()
	server, err := net.Dial("tcp", address)
	if address == "" || err != nil {
		_, _ = io.WriteString(fault, text)
		return
	}
	go func() {
		_, _ = io.Copy(server, data)
		_ = server.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(data, server)
	_ = server.Close()
}

// leadsTo says where the server of the pods is in truth.
func (s *apiServer) leadsTo(address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ports["15432"] = address
}

// pod has a server on the port that the EndpointSlices name.
func (s *apiServer) pod(t *testing.T, serve func(net.Conn)) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	s.leadsTo(listener.Addr().String())
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
}
