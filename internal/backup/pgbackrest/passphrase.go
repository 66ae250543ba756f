package pgbackrest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/object"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// maxPassphraseBytes is far above what any has, encrypted for whoever may read it.
const maxPassphraseBytes = 1 << 20

// passphrases is where those of a cluster's part of the repository are, encrypted by age.
func passphrases(schedule, stanza string) string {
	return Prefix(schedule) + "passphrase/" + stanza + "/"
}

// Passphrase reads the passphrase of a cluster's part of the repository. [problem.ErrNotFound] says that there is none.
func Passphrase(ctx context.Context, store *object.Store, schedule, stanza string, identities []age.Identity) (string, error) {
	stored, err := store.List(ctx, passphrases(schedule, stanza))
	if err != nil {
		return "", err
	}
	if len(stored) == 0 {
		return "", problem.New(fmt.Sprintf("there is no passphrase of cluster %s in %s", stanza, store),
			"Without it nobody reads the backups: restore it from a copy of the store").Because(problem.ErrNotFound)
	}
	var failed []error
	for _, each := range stored {
		passphrase, err := readPassphrase(ctx, store, each.Key, identities)
		if err == nil {
			return passphrase, nil
		}
		failed = append(failed, err)
	}
	return "", errors.Join(failed...)
}

func readPassphrase(ctx context.Context, store *object.Store, key string, identities []age.Identity) (string, error) {
	if len(identities) == 0 {
		return "", problem.New("the passphrase of pgBackRest's repository is encrypted, and there is no identity",
			"Name the file that holds an identity of one of the schedule's recipients with --identity: engine pgbackrest needs one also "+
				"to make backups")
	}
	stored, err := store.Read(ctx, key)
	if err != nil {
		return "", err
	}
	defer func() { _ = stored.Close() }()
	decrypted, err := age.Decrypt(io.LimitReader(stored, maxPassphraseBytes), identities...)
	var text []byte
	if err == nil {
		text, err = io.ReadAll(decrypted)
	}
	if err != nil {
		return "", problem.New(fmt.Sprintf("%s in %s cannot be decrypted: %s", key, store, err),
			"Name the file that holds an identity of one of the schedule's recipients with --identity").Because(err)
	}
	return string(text), nil
}

// MakePassphrase makes one, and keeps it encrypted for the recipients beside the repository. Of two that are made at once, one is stored.
func MakePassphrase(ctx context.Context, store *object.Store, schedule, stanza string, recipients []age.Recipient) (string, error) {
	passphrase := rand.Text() + rand.Text()
	var encrypted bytes.Buffer
	w, err := age.Encrypt(&encrypted, recipients...)
	if err != nil {
		return "", err
	}
	if _, err := io.WriteString(w, passphrase); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	return passphrase, store.Put(ctx, passphrases(schedule, stanza)+"1.age", encrypted.Bytes())
}
