package artifact

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/object"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// Ledger is a whole copy of a ledger as it is kept beside the backups. It holds no row of a tenant but IDs and slugs.
type Ledger struct {
	Format           int       `json:"format"`
	Schedule         string    `json:"schedule"`
	Runner           string    `json:"runner"`
	SystemIdentifier string    `json:"system_identifier"`
	Database         string    `json:"database"`
	MadeAt           time.Time `json:"made_at"`
	// Supersedes are copies in the same place all of whose entries are in this one, too.
	Supersedes []string             `json:"supersedes"`
	Entries    []backup.LedgerEntry `json:"entries"`
}

// ledgerFolder is no backup's: their IDs begin with a time.
const ledgerFolder = "ledger"

// LedgerPrefix is what the keys of all copies of a schedule's ledger begin with.
func LedgerPrefix(schedule string) string { return schedule + "/" + ledgerFolder + "/" }

// Write encrypts the ledger and writes it into a store. The object's name holds its checksum, as that of a manifest does.
func (l Ledger) Write(ctx context.Context, recipients []age.Recipient, store *object.Store) (key string, err error) {
	l.Format = Format
	text, err := json.MarshalIndent(l, "", " ")
	if err != nil {
		return "", err
	}
	var content bytes.Buffer
	encrypted, err := age.Encrypt(&content, recipients...)
	if err != nil {
		return "", err
	}
	if _, err := encrypted.Write(append(text, '\n')); err != nil {
		return "", err
	}
	if err := encrypted.Close(); err != nil {
		return "", err
	}
	key = LedgerPrefix(l.Schedule) + l.MadeAt.UTC().Format("20060102T150405.000Z") + "-" + checksum(content.Bytes()) + ".age"
	return key, store.Put(ctx, key, content.Bytes())
}

// ReadLedgers reads all copies of a schedule's ledger in a store but those that are known, or superseded, and returns their entries and how
// many copies there are. One that cannot be read is an error, with which the entries of the others are returned all the same.
func ReadLedgers(ctx context.Context, store *object.Store, schedule string, identities []age.Identity, known map[string]bool) (
	entries []backup.LedgerEntry, copies int, err error,
) {
	listed, err := store.List(ctx, LedgerPrefix(schedule))
	if err != nil {
		return nil, 0, err
	}
	superseded := map[string]bool{}
	var failed []error
	for _, each := range slices.Backward(listed) {
		if known[each.Key] || superseded[each.Key] {
			continue
		}
		l, err := readLedger(ctx, store, schedule, each.Key, identities)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		entries = append(entries, l.Entries...)
		for _, key := range l.Supersedes {
			superseded[key] = true
		}
	}
	return entries, len(listed), errors.Join(failed...)
}

func readLedger(ctx context.Context, store *object.Store, schedule, key string, identities []age.Identity) (l Ledger, err error) {
	r, err := store.Read(ctx, key)
	if err != nil {
		return l, err
	}
	content, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		return l, err
	}
	if !strings.HasSuffix(path.Base(key), "-"+checksum(content)+".age") {
		return l, damagedLedger(key, store, "is not what its name says")
	}
	decrypted, err := age.Decrypt(bytes.NewReader(content), identities...)
	var noMatch *age.NoIdentityMatchError
	if errors.As(err, &noMatch) {
		return l, problem.New(fmt.Sprintf("%s in %s is not encrypted for any of the identities at hand", key, store),
			"Name the file that holds an identity of one of the schedule's recipients at that time, too").Because(err)
	}
	if err != nil {
		return l, damagedLedger(key, store, "cannot be decrypted: "+err.Error())
	}
	text, err := io.ReadAll(decrypted)
	if err != nil {
		return l, damagedLedger(key, store, "cannot be decrypted: "+err.Error())
	}
	if err := json.Unmarshal(text, &l); err != nil {
		return l, damagedLedger(key, store, "cannot be read: "+err.Error())
	}
	switch {
	case l.Format != Format:
		return l, problem.New(fmt.Sprintf("%s in %s has format %d, and this program knows format %d", key, store, l.Format, Format),
			"Use the version of brownie-backup that wrote it: "+l.Runner)
	case l.Schedule != schedule:
		return l, damagedLedger(key, store, "is that of schedule "+l.Schedule)
	}
	return l, nil
}

func damagedLedger(key string, store *object.Store, what string) error {
	return &DamageError{problem.New(fmt.Sprintf("%s in %s %s", key, store, what),
		"The object was damaged or changed: remove it if another destination has a whole one")}
}
