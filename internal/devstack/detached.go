package devstack

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
)

// recordedProcess is what another process needs to know of a server's process.
type recordedProcess struct {
	Dir       string `json:"dir,omitempty"`
	Port      int    `json:"port,omitempty"`
	Container string `json:"container,omitempty"`
}

func (p *process) recorded() recordedProcess {
	return recordedProcess{Dir: p.dir, Port: p.port, Container: p.container}
}

func (r recordedProcess) process() *process {
	return &process{dir: r.Dir, port: r.Port, container: r.Container}
}

// recorded is what another process needs to know of a detached server.
type recorded struct {
	recordedProcess
	Poolers []recordedProcess `json:"poolers,omitempty"`
	// URL and Databases are an existing server's.
	URL       string   `json:"url,omitempty"`
	Databases []string `json:"databases,omitempty"`
}

// detach makes a server outlive this process if that is wanted. It is recorded first, so that it can always be found.
func (p *Postgres) detach(o Options) error {
	if !o.Detached {
		return nil
	}
	dir := o.Dir
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "brownie-devstack-"); err != nil {
			return err
		}
	}
	p.record = recordFile(dir)
	if err := p.save(); err != nil || p.process == nil {
		return err
	}
	if err := p.ca.save(filepath.Join(p.process.dir, authorityFile)); err != nil {
		return err
	}
	return p.process.detach()
}

func recordFile(dir string) string { return filepath.Join(dir, "devstack.json") }

// save writes the record. A URL may hold a password, so only the calling user can read it.
func (p *Postgres) save() error {
	r := recorded{URL: p.admin.String(), Databases: p.databases}
	if p.process != nil {
		r = recorded{recordedProcess: p.process.recorded()}
		for _, pooler := range p.poolers {
			r.Poolers = append(r.Poolers, pooler.process.recorded())
		}
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(p.record), 0o755); err != nil { //nolint:gosec // The record itself is not readable by others.
		return err
	}
	return writePrivate(p.record, string(text)+"\n")
}

// Attach finds the detached server that is recorded in a folder. It returns [os.ErrNotExist] when none is.
func Attach(dir string) (*Postgres, error) {
	text, err := os.ReadFile(recordFile(dir))
	if err != nil {
		return nil, err
	}
	var r recorded
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, err
	}
	if r.URL != "" {
		p, err := existingServer(r.URL)
		if err != nil {
			return nil, err
		}
		p.databases, p.record = r.Databases, recordFile(dir)
		return p, nil
	}
	p := &Postgres{process: r.process(), record: recordFile(dir)}
	for _, pooler := range r.Poolers {
		p.poolers = append(p.poolers, &Pooler{server: p, process: pooler.process()})
	}
	p.host, p.port, p.user, p.admin = "127.0.0.1", r.Port, administrator, &url.URL{}
	if p.ca, err = loadAuthority(filepath.Join(r.Dir, authorityFile)); err != nil {
		// The server's folder may be gone, for example after a restart of the machine; Stop works all the same.
		p.ca = nil
		return p, nil //nolint:nilerr // See above.
	}
	err = p.loginAsAdministrator()
	return p, err
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:6])
}
