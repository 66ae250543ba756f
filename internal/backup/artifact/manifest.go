// Package artifact is how a backup looks in a store: parts, which are compressed by zstd and then encrypted by age, and a manifest, which
// is written last. A backup without a manifest does not exist. docs/backup-format.md describes it for those who have none of our programs.
package artifact

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/object"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// Format is the version of what this package writes.
const Format = 1

// Manifest says what a backup consists of. It holds no row of a tenant.
type Manifest struct {
	Format   int    `json:"format"`
	ID       string `json:"id"`
	Schedule string `json:"schedule"`
	Engine   string `json:"engine"`
	Type     string `json:"type"`
	// Runner and Tool are the programs that made it, with their versions.
	Runner string `json:"runner"`
	Tool   string `json:"tool"`
	// Server is the version of PostgreSQL, and SystemIdentifier that of the cluster (PostgreSQL manual, "pg_control_system").
	Server           string   `json:"server"`
	SystemIdentifier string   `json:"system_identifier"`
	Database         Database `json:"database"`
	// SchemaVersion is that of the last migration.
	SchemaVersion int64 `json:"schema_version"`
	// LargeObjectsLeftOut are those that the role could not read, for which all were left out.
	LargeObjectsLeftOut int64     `json:"large_objects_left_out,omitempty"`
	StartedAt           time.Time `json:"started_at"`
	SnapshotAt          time.Time `json:"snapshot_at"`
	EndedAt             time.Time `json:"ended_at"`
	// Parents are the backups without which it does not restore.
	Parents []string `json:"parents,omitempty"`
	// Recipients are the public keys for which all parts are encrypted. What was made before there was this member has none.
	Recipients []string `json:"recipients,omitempty"`
	// Rotated is nil unless the backup was encrypted again since it was made.
	Rotated *Rotated `json:"rotated,omitempty"`
	Parts   []Part   `json:"parts"`
	// Clusters is where pgBackRest has the files and the log: one backup for each destination. Empty for engine pg_dump.
	Clusters []Cluster `json:"clusters,omitempty"`
}

// Cluster is a backup of a cluster's files, which pgBackRest keeps in a repository of its own.
type Cluster struct {
	// Destination is the URL of the store.
	Destination string `json:"destination"`
	// Stanza and Label are how pgBackRest names the cluster and the backup.
	Stanza string `json:"stanza"`
	Label  string `json:"label"`
	// Parents are the IDs of the backups in this repository without which this one does not restore.
	Parents []string `json:"parents,omitempty"`
	// Superuser is the role that initdb made.
	Superuser string `json:"superuser"`
	// FirstWAL to LastWAL are the segments of the log without which the files are not consistent.
	FirstWAL string `json:"first_wal"`
	LastWAL  string `json:"last_wal"`
	// WALSegmentBytes is the size of a segment.
	WALSegmentBytes int64  `json:"wal_segment_bytes"`
	FirstLSN        string `json:"first_lsn"`
	LastLSN         string `json:"last_lsn"`
	// StoppedAt is when the files were consistent, to the second.
	StoppedAt time.Time `json:"stopped_at"`
	// TrackCommitTimestamp is PostgreSQL's setting of that name, by which a server keeps or forgets them.
	TrackCommitTimestamp bool `json:"track_commit_timestamp,omitempty"`
	// Bytes is what the repository holds for this backup alone.
	Bytes int64 `json:"bytes"`
}

// Database is what a database is created with.
type Database struct {
	Name           string  `json:"name"`
	Encoding       string  `json:"encoding"`
	LocaleProvider string  `json:"locale_provider"` // builtin, icu, libc
	Collate        string  `json:"collate"`
	Ctype          string  `json:"ctype"`
	Locale         *string `json:"locale,omitempty"` // of the provider, unless that is libc
}

// Part is one stream, in one object or several, which follow each other.
type Part struct {
	Name string `json:"name"`
	// PlainBytes is its size before zstd.
	PlainBytes int64  `json:"plain_bytes"`
	Pieces     []File `json:"pieces"`
}

// File is an object and what it holds.
type File struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Bytes is the size of all parts as they are stored.
func (m Manifest) Bytes() (total int64) {
	for _, c := range m.Clusters {
		total = max(total, c.Bytes)
	}
	for _, part := range m.Parts {
		for _, piece := range part.Pieces {
			total += piece.Bytes
		}
	}
	return total
}

// Cluster returns the backup of a cluster's files in a store. A manifest without, of engine pg_dump, has none.
func (m Manifest) Cluster(store *object.Store) (*Cluster, error) {
	for _, c := range m.Clusters {
		if c.Destination == store.Destination.String() {
			return &c, nil
		}
	}
	if len(m.Clusters) == 0 {
		return nil, nil //nolint:nilnil // None is what the backup has.
	}
	return nil, problem.New(fmt.Sprintf("the manifest of backup %s does not say what pgBackRest has of it in %s", m.ID, store),
		"The store was copied: name it by the URL that the manifest has, "+m.Clusters[0].Destination).Because(problem.ErrNotFound)
}

// Part returns the part with the name.
func (m Manifest) Part(name string) (Part, bool) {
	for _, part := range m.Parts {
		if part.Name == name {
			return part, true
		}
	}
	return Part{}, false
}

// Folder is where the objects of a backup are.
func Folder(schedule, id string) string { return schedule + "/" + id + "/" }

// The name of a manifest holds its checksum, so that one that was changed is not what its name says.
const manifestPrefix, manifestSuffix = "manifest-", ".json"

// encode returns the manifest's text and its checksum.
func (m Manifest) encode() (text []byte, sum string, err error) {
	text, err = json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, "", err
	}
	text = append(text, '\n')
	return text, checksum(text), nil
}

func checksum(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// isManifest tells whether a key is that of a manifest, and which checksum it names.
func isManifest(key string) (sum string, is bool) {
	name := path.Base(key)
	if !strings.HasPrefix(name, manifestPrefix) || !strings.HasSuffix(name, manifestSuffix) {
		return "", false
	}
	return strings.TrimSuffix(strings.TrimPrefix(name, manifestPrefix), manifestSuffix), true
}

// maxManifestBytes is far above what any manifest has: a part's piece takes 150 bytes.
const maxManifestBytes = 16 << 20

// ReadManifest reads the manifest of a backup, and its checksum: the one with the wanted checksum, or, without, the only one that there is.
// Of those that an interrupted rotation has left, that is the newest. A backup that has none is [problem.ErrNotFound].
func ReadManifest(ctx context.Context, store *object.Store, schedule, id, want string) (m Manifest, sum string, err error) {
	listed, err := store.List(ctx, Folder(schedule, id)+manifestPrefix)
	if err != nil {
		return m, "", err
	}
	var sums []string
	for _, each := range listed {
		if sum, is := isManifest(each.Key); is && (want == "" || sum == want) {
			sums = append(sums, sum)
		}
	}
	switch {
	case len(sums) == 0 && want != "" && len(listed) > 0:
		return m, "", problem.New(fmt.Sprintf("backup %s in %s has another manifest than the one on record (SHA-256 %s)", id, store, want),
			"Somebody has changed it, or this database's record is older than the last `rotate-keys`: use the copy of another "+
				"destination, another backup, or, if you trust the store, `--from` with its URL")
	case len(sums) == 0:
		return m, "", problem.New(fmt.Sprintf("backup %s in %s has no manifest, so that it is none", id, store),
			"Its run did not end, or somebody has removed it; use another backup").Because(problem.ErrNotFound)
	case len(sums) > 1:
		return readNewest(ctx, store, schedule, id, sums)
	}
	m, err = readOne(ctx, store, schedule, id, sums[0])
	return m, sums[0], err
}

// readOne reads the manifest with the checksum.
func readOne(ctx context.Context, store *object.Store, schedule, id, sum string) (m Manifest, err error) {
	key := Folder(schedule, id) + manifestPrefix + sum + manifestSuffix
	r, err := store.Read(ctx, key)
	if err != nil {
		return m, err
	}
	defer func() { _ = r.Close() }()
	text, err := io.ReadAll(io.LimitReader(r, maxManifestBytes))
	if err != nil {
		return m, err
	}
	if checksum(text) != sum {
		return m, damaged(key, store, "is not what its name says")
	}
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&m); err != nil {
		return m, damaged(key, store, "cannot be read: "+err.Error())
	}
	if m.Format != Format {
		return m, problem.New(fmt.Sprintf("backup %s has format %d, and this program knows format %d", id, m.Format, Format),
			"Use the version of brownie-backup that made it: "+m.Runner)
	}
	if m.ID != id || m.Schedule != schedule {
		return m, damaged(key, store, fmt.Sprintf("is that of backup %s of schedule %s", m.ID, m.Schedule))
	}
	return m, nil
}

func damaged(key string, store *object.Store, what string) error {
	return &DamageError{problem.New(fmt.Sprintf("%s in %s %s", key, store, what),
		"The object was damaged or changed: use the copy of another destination, or another backup")}
}

// DamageError says which object is not what it was.
type DamageError struct{ *problem.Problem }

// Found is a backup in a store.
type Found struct {
	ID string
	// Keys are those of all its objects.
	Keys []string
	// Whole means that it has a manifest.
	Whole bool
	// ModifiedAt is when its last object was written.
	ModifiedAt time.Time
}

// List returns the backups of a schedule that are in a store, also what is left of runs that did not end.
func List(ctx context.Context, store *object.Store, schedule string) ([]Found, error) {
	return list(ctx, store, schedule, schedule+"/")
}

// Find returns what there is of one backup in a store, which may be nothing.
func Find(ctx context.Context, store *object.Store, schedule, id string) (Found, error) {
	found, err := list(ctx, store, schedule, Folder(schedule, id))
	if err != nil || len(found) == 0 {
		return Found{ID: id}, err
	}
	return found[0], nil
}

func list(ctx context.Context, store *object.Store, schedule, prefix string) (found []Found, err error) {
	objects, err := store.List(ctx, prefix)
	if err != nil {
		return nil, err
	}
	for _, o := range objects {
		id, _, ok := strings.Cut(strings.TrimPrefix(o.Key, schedule+"/"), "/")
		if !ok || id == ledgerFolder {
			continue // It is in no backup's folder.
		}
		if n := len(found); n == 0 || found[n-1].ID != id {
			found = append(found, Found{ID: id})
		}
		f := &found[len(found)-1]
		f.Keys = append(f.Keys, o.Key)
		if _, is := isManifest(o.Key); is {
			f.Whole = true
		}
		if o.ModifiedAt.After(f.ModifiedAt) {
			f.ModifiedAt = o.ModifiedAt
		}
	}
	return found, nil
}

// Remove deletes a backup: its manifest first, so that what is left after an interruption is none.
func (f Found) Remove(ctx context.Context, store *object.Store) error {
	var parts []string
	var failed []error
	for _, key := range f.Keys {
		if _, is := isManifest(key); !is {
			parts = append(parts, key)
		} else if err := store.Delete(ctx, key); err != nil {
			return err
		}
	}
	for _, key := range parts {
		failed = append(failed, store.Delete(ctx, key))
	}
	return errors.Join(failed...)
}
