package pki

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// Store is where a certificate and its key are kept: a path of a KV store, version 2.
type Store struct{ Mount, Path string }

func (s Store) String() string { return s.Mount + "/" + s.Path }

// The fields of a stored certificate, as in a Kubernetes secret of type kubernetes.io/tls.
const (
	keyField       = "tls.key"
	certField      = "tls.crt"
	authorityField = "ca.crt"
)

// version is one of a secret's, and when it was stored, to the second.
type version struct {
	Number   int64
	StoredAt time.Time
}

// publish stores a certificate with its key as the version after known, and returns the new version. A version that
// somebody else has written is a conflict.
func (v *Vault) publish(ctx context.Context, s Store, known int64, c Certificate, key Key) (version, error) {
	text, err := key.PEM()
	if err != nil {
		return version{}, err
	}
	var stored struct {
		Version int64     `json:"version"`
		At      time.Time `json:"created_time"`
	}
	err = v.do(ctx, request{
		verb: writes, path: s.Mount + "/data/" + s.Path, doing: fmt.Sprintf("store certificate %s at %s", c.Serial,
			s), body: map[string]any{
			"options": map[string]any{"cas": known},
			"data":    map[string]string{keyField: text, certField: c.bundle(), authorityField: c.authority()},
		},
	}, &stored)
	if err == nil && stored.Version == 0 {
		// A store of version 1 takes everything for a secret, and has no check-and-set.
		err = &Error{
			Class: Refused, Doing: "store a certificate at " + s.String(), Cause: s.Mount + " is no KV store of version 2",
			Remedy: "Name one that is",
		}
		after, cancel := afterwards(ctx)
		defer cancel()
		err = errors.Join(err, v.do(after, request{
			verb: deletes, path: s.Mount + "/data/" + s.Path, doing: "delete " + s.String(),
			twice: true,
		}, nil))
	}
	return version{stored.Version, stored.At.UTC().Truncate(time.Second)}, err
}

// published is what is stored, without the secret itself. Version is 0 when nothing is there, or was deleted.
type published struct {
	Version int64
	// Latest is the number that check-and-set needs, also of a version that was deleted.
	Latest int64
	// StoredAt is when the latest version was stored, to the second.
	StoredAt time.Time
}

// replacedSince tells whether a secret of the same version number is another one.
func (p published) replacedSince(i Issued) bool {
	return !i.StoredAt.IsZero() && !p.StoredAt.Equal(i.StoredAt)
}

func (v *Vault) published(ctx context.Context, s Store) (published, error) {
	var read struct {
		Version  int64 `json:"current_version"`
		Versions map[string]struct {
			Created   time.Time `json:"created_time"`
			Deleted   string    `json:"deletion_time"`
			Destroyed bool      `json:"destroyed"`
		} `json:"versions"`
	}
	err := v.do(ctx, request{
		verb: reads, path: s.Mount + "/metadata/" + s.Path, doing: "read the metadata of " + s.String(),
		twice: true,
	}, &read)
	if errors.Is(err, problem.ErrNotFound) {
		return published{}, nil
	}
	if err != nil {
		return published{}, err
	}
	p := published{Version: read.Version, Latest: read.Version}
	current := read.Versions[strconv.FormatInt(read.Version, 10)]
	p.StoredAt = current.Created.UTC().Truncate(time.Second)
	// The time may be one in the future (delete_version_after).
	if deleted, err := time.Parse(time.RFC3339, current.Deleted); current.Destroyed || err == nil && !deleted.After(v.Now()) {
		p.Version = 0
	}
	return p, nil
}

// pair is a certificate that is stored, and whether the key beside it is its own. The key itself is dropped.
type pair struct {
	Certificate
	keyFits bool
}

// storedPair reads what is stored. It returns [problem.ErrNotFound] when it is no certificate.
func (v *Vault) storedPair(ctx context.Context, s Store) (pair, error) {
	var read struct {
		Data map[string]any `json:"data"`
	}
	if err := v.do(ctx, request{verb: reads, path: s.Mount + "/data/" + s.Path, doing: "read " + s.String(), twice: true},
		&read); err != nil {
		return pair{}, err
	}
	// A root is in the chain of one field and in the other.
	var all []Certificate
	for _, field := range []string{certField, authorityField} {
		text, _ := read.Data[field].(string)
		some, err := parseCertificates(text)
		if err != nil {
			return pair{}, err
		}
		all = append(all, some...)
	}
	if len(all) == 0 {
		return pair{}, problem.ErrNotFound
	}
	c := all[0]
	for _, issuer := range all[1:] {
		if !slices.Contains(c.Chain, issuer.PEM) {
			c.Chain = append(c.Chain, issuer.PEM)
		}
	}
	key, _ := read.Data[keyField].(string)
	_, err := tls.X509KeyPair([]byte(c.PEM), []byte(key))
	return pair{c, err == nil}, nil
}

// remove deletes all versions of what is stored.
func (v *Vault) remove(ctx context.Context, s Store) error {
	err := v.do(ctx, request{verb: deletes, path: s.Mount + "/metadata/" + s.Path, doing: "delete " + s.String(), twice: true}, nil)
	if errors.Is(err, problem.ErrNotFound) {
		return nil
	}
	return err
}
