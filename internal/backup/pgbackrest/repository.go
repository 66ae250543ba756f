package pgbackrest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/artifact"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/dump"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/object"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// Repository is where pgBackRest keeps the backups of a schedule and the log of one cluster.
type Repository struct {
	// Tools has pgBackRest among PostgreSQL's client programs, or on PATH.
	Tools       dump.Tools
	Destination backup.Destination
	Schedule    string
	Stanza      string
	// Passphrase encrypts everything in it.
	Passphrase string
	// Jobs is how many processes work at the same time.
	Jobs int
}

// Prefix is what the keys of a schedule's repository begin with. No schedule has such a name.
func Prefix(schedule string) string { return "_pgbackrest/" + schedule + "/" }

// run runs a command of pgBackRest.
func (r Repository) run(ctx context.Context, extra []string, arguments ...string) (string, error) {
	env, err := r.environment(ctx)
	if err != nil {
		return "", err
	}
	if err := makePrivate(filepath.Dir(lockPath(r.Schedule))); err != nil {
		return "", err
	}
	if err := makePrivate(lockPath(r.Schedule)); err != nil {
		return "", err
	}
	var out bytes.Buffer
	err = r.Tools.Run(ctx, "pgbackrest", append(env, extra...), &out, arguments...)
	return out.String(), r.explain(err)
}

// of is how pgBackRest finds the server.
func of(c Cluster, username, database string) []string {
	return []string{
		"PGBACKREST_PG1_PATH=" + c.DataDirectory, "PGBACKREST_PG1_SOCKET_PATH=" + c.socket(),
		fmt.Sprintf("PGBACKREST_PG1_PORT=%d", c.Port), "PGBACKREST_PG1_USER=" + username, "PGBACKREST_PG1_DATABASE=" + database,
	}
}

// Create makes the cluster's part of the repository. It is idempotent.
func (r Repository) Create(ctx context.Context, c Cluster) error {
	_, err := r.run(ctx, of(c, c.Username, c.DatabaseName), "stanza-create")
	return err
}

// Push archives a segment of the log. The same one again is no error; another one of that name is.
func (r Repository) Push(ctx context.Context, c Cluster, segment string) error {
	_, err := r.run(ctx, []string{"PGBACKREST_PG1_PATH=" + c.DataDirectory}, "archive-push",
		filepath.Join(c.DataDirectory, "pg_wal", segment))
	if failed, ok := errors.AsType[*RepositoryError](err); ok && failed.Code == codeArchiveDuplicate {
		return problem.New(fmt.Sprintf("segment %s of cluster %s, system identifier %s, is in the archive already with other contents",
			segment, c.Name, c.SystemIdentifier), "Another server with this system identifier, a copy of this one, archives to "+
			r.Destination.String()+" under the same name, too: give one of them another cluster_name").Because(err)
	}
	return err
}

// Backup makes a backup of a type, which carries our ID, and adds to the manifest what it is.
func (r Repository) Backup(ctx context.Context, c Cluster, kind, id string, m *artifact.Manifest) error {
	version, err := r.run(ctx, nil, "version")
	if err != nil {
		return err
	}
	set, err := r.backup(ctx, c, kind, id)
	if err != nil {
		return err
	}
	c.describe(m)
	m.Tool = strings.TrimSpace(version)
	entry := c.entry(set, r.Destination.String())
	if m.SnapshotAt.Before(set.StoppedAt()) {
		m.SnapshotAt = set.StoppedAt()
	}
	sets, err := r.Sets(ctx)
	if err != nil {
		return err
	}
	entry.Parents = parents(set, sets)
	m.Clusters = append(m.Clusters, entry)
	for _, parent := range entry.Parents {
		if !slices.Contains(m.Parents, parent) {
			m.Parents = append(m.Parents, parent)
		}
	}
	return nil
}

// parents are the backups with which this one would be removed: it builds upon them, or upon others that do.
func parents(of Set, sets []Set) (ids []string) {
	wanted := map[string]bool{of.Prior: true}
	for _, label := range of.Reference {
		wanted[label] = true
	}
	for _, s := range slices.Backward(sets) { // What builds upon another is newer than that.
		if !wanted[s.Label] {
			continue
		}
		ids = append(ids, s.Annotation.ID)
		for _, label := range append(s.Reference, s.Prior) {
			wanted[label] = true
		}
	}
	return ids
}

func (r Repository) backup(ctx context.Context, c Cluster, kind, id string) (Set, error) {
	if _, err := r.run(ctx, of(c, c.Username, c.DatabaseName), "backup", "--type="+kind, "--annotation=id="+id); err != nil {
		return Set{}, err
	}
	sets, err := r.Sets(ctx)
	if err != nil {
		return Set{}, err
	}
	for _, s := range sets {
		if s.Annotation.ID == id {
			if s.Error {
				return s, problem.New("pages of the cluster have wrong checksums, which pgBackRest found while it copied them",
					"Look at the server's disk, and at pg_amcheck; earlier backups are whole")
			}
			return s, nil
		}
	}
	return Set{}, problem.New(fmt.Sprintf("pgBackRest made a backup, and lists none with ID %s", id), "")
}

// Set is a backup as pgBackRest lists it.
type Set struct {
	Label string `json:"label"`
	Type  string `json:"type"`
	// Reference are the labels of the backups without which this one does not restore, and Prior is the one that it was compared with.
	Reference  []string `json:"reference"`
	Prior      string   `json:"prior"`
	Annotation struct {
		ID string `json:"id"`
	} `json:"annotation"`
	// Error says that pages had wrong checksums.
	Error bool `json:"error"`
	WAL   span `json:"archive"`
	LSN   span `json:"lsn"`
	Times struct {
		Start int64 `json:"start"`
		Stop  int64 `json:"stop"`
	} `json:"timestamp"`
	Info struct {
		Repository struct {
			Delta int64 `json:"delta"`
		} `json:"repository"`
	} `json:"info"`
}

type span struct {
	Start string `json:"start"`
	Stop  string `json:"stop"`
}

// StoppedAt is when it was whole, to the second.
func (s Set) StoppedAt() time.Time { return time.Unix(s.Times.Stop, 0).UTC() }

// Sets are the backups of the cluster, the oldest first.
func (r Repository) Sets(ctx context.Context) ([]Set, error) {
	text, err := r.run(ctx, nil, "info", "--output=json")
	if err != nil {
		return nil, err
	}
	var stanzas []struct {
		Name   string `json:"name"`
		Backup []Set  `json:"backup"`
		Repo   []struct {
			Status status `json:"status"`
		} `json:"repo"`
	}
	// What it says may hold what it could not decrypt: it is shown to nobody.
	if err := json.Unmarshal([]byte(text), &stanzas); err != nil {
		return nil, problem.New("pgBackRest says nothing that can be read of repository "+r.Destination.String(), "")
	}
	for _, s := range stanzas {
		for _, repository := range s.Repo {
			if repository.Status.Code == codeOther {
				return nil, r.unreadable()
			}
		}
		if s.Name == r.Stanza {
			return s.Backup, nil
		}
	}
	return nil, nil
}

type status struct {
	Code int `json:"code"`
}

// codeOther is what pgBackRest's info says of a repository that it cannot read.
const codeOther = 99

func (r Repository) unreadable() error {
	return problem.New(fmt.Sprintf("pgBackRest's list of backups of cluster %s in %s cannot be read", r.Stanza, r.Destination),
		"It was damaged, or encrypted by another passphrase than the one that is stored beside it")
}

// Verify reads all files of the repository again, backups and log, and names those that are not what they were. labels are those of a
// backup and of those that it builds upon: what they need is damage of that backup.
func (r Repository) Verify(ctx context.Context, c artifact.Cluster, labels []string) error {
	// It ends well also when it has found damage.
	said, err := r.run(ctx, []string{"PGBACKREST_LOG_LEVEL_CONSOLE=info"}, "verify", "--output=text")
	if err != nil || !strings.Contains(said, "status: error") {
		return err
	}
	var own, others []string
	for _, found := range invalid.FindAllStringSubmatch(said, -1) {
		label, _, _ := strings.Cut(found[1], "/")
		if slices.Contains(labels, label) || needs(c, path.Base(found[1])) {
			own = append(own, found[1])
		} else {
			others = append(others, found[1])
		}
	}
	if len(own) > 0 || len(others) == 0 {
		return r.damaged(strings.Join(own, ", "), "is not what it was")
	}
	return problem.New(fmt.Sprintf("the backup itself is whole; in the repository of cluster %s in %s this is not what it was: %s",
		r.Stanza, r.Destination, strings.Join(others, ", ")), "No moment after a damaged segment of the log can be reached until the next "+
		"backup; a damaged backup, and those that build upon it, do not restore. Make a new full one")
}

var invalid = regexp.MustCompile(`INFO: (?:invalid checksum|invalid size|invalid result|missing file|invalid [a-z]+) '?([^\s':]+)`)

// Exists tells whether the cluster's part of the repository is made.
func (r Repository) Exists(ctx context.Context, store *object.Store) (bool, error) {
	found, err := store.List(ctx, Prefix(r.Schedule)+"archive/"+r.Stanza+"/archive.info")
	return len(found) > 0, err
}

// damaged is the error of a backup that is to blame itself.
func (r Repository) damaged(what, how string) error {
	return &artifact.DamageError{Problem: problem.New(fmt.Sprintf("%s of cluster %s in %s %s", what, r.Stanza, r.Destination, how),
		"The object was damaged, changed or removed: use another backup or another moment, and make a new full backup")}
}

// Remove removes backups, and the log that is older than the oldest full one that is left. pgBackRest lets the last full one not go.
func (r Repository) Remove(ctx context.Context, unwanted func(Set) bool) error {
	sets, err := r.Sets(ctx)
	if err != nil {
		return err
	}
	full, removed := 0, false
	for _, s := range sets {
		if s.Type == "full" {
			full++
		}
	}
	for _, s := range slices.Backward(sets) { // What builds upon another is newer than that.
		if !unwanted(s) || s.Type == "full" && full == 1 {
			continue
		}
		if _, err := r.run(ctx, nil, "expire", "--set="+s.Label); err != nil {
			return err
		}
		if removed = true; s.Type == "full" {
			full--
		}
	}
	if !removed {
		return nil
	}
	_, err = r.run(ctx, []string{fmt.Sprintf("PGBACKREST_REPO1_RETENTION_FULL=%d", full)}, "expire")
	return err
}

// What pgBackRest ends with.
const (
	codeArchiveDuplicate = 45
)

// RepositoryError is what pgBackRest said.
type RepositoryError struct {
	*problem.Problem
	Code int
}

var failure = regexp.MustCompile(`(?s)ERROR: \[(\d+)\]: (.*)`)

// Retryable tells a failure that may pass by itself: all but those of the settings, and of what is in the repository already.
func (f *RepositoryError) Retryable() bool { return f.Code > 37 && f.Code != codeArchiveDuplicate }

// explain reads what pgBackRest said.
func (r Repository) explain(err error) error {
	said, ok := errors.AsType[*dump.ProgramError](err)
	if !ok {
		return err
	}
	found := failure.FindStringSubmatch(said.Text())
	if found == nil {
		return err
	}
	code, _ := strconv.Atoi(found[1]) // The pattern has digits alone.
	return &RepositoryError{problem.New("pgBackRest: "+found[2], "").Because(err), code}
}
