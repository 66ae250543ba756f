package pki

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// Wanted is what a certificate is to be like, and where it is kept with its key. Without a store the request has a CSR.
type Wanted struct {
	Request
	Store *Store
	// RenewBefore is how long before its end a certificate is renewed; zero means a third of its life.
	RenewBefore time.Duration
	// RevokeAfter is how long a certificate that was renewed stays valid.
	RevokeAfter time.Duration
}

// renewalDue is when a certificate is renewed. A third of the life that was asked for, where it was: certificates may begin in the past.
func (w Wanted) renewalDue(c Certificate) time.Time {
	before := w.RenewBefore
	if before == 0 {
		before = w.TTL / 3
	}
	if before == 0 {
		before = c.Lifetime() / 3
	}
	return c.NotAfter.Add(-before)
}

// Issued is a certificate and what is remembered with it. It holds no secret.
type Issued struct {
	Certificate
	// Version is that of the store, and StoredAt is when this certificate was stored, to the second.
	Version  int64
	StoredAt time.Time
	// Superseded are certificates that are still to be revoked.
	Superseded []Superseded
	// adopted tells that the certificate was found in the store, and not in the state.
	adopted bool
}

// Superseded is a certificate that another one has replaced.
type Superseded struct {
	Mount, Serial string
	// PEM is the certificate itself, which a mount that does not store what it issues needs for a revocation.
	PEM      string
	RevokeAt time.Time
	// Store is where the certificate is kept with its key, in states of versions that moved certificates between stores.
	Store *Store
}

// superseded remembers a certificate that is to be revoked.
func superseded(mount string, c Certificate, at time.Time) Superseded {
	return Superseded{Mount: mount, Serial: c.Serial, PEM: c.PEM, RevokeAt: at}
}

// cleanup bounds what is done after a failure.
const cleanup = 15 * time.Second

// afterwards is the context of what is done after a failure, also after the caller has given up.
func afterwards(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), cleanup)
}

// Issue makes the first certificate for a place, in two round trips: one to have it signed, one to store it. What it
// returns beside an error exists and must be remembered, so that it can be revoked; its serial is empty if nothing exists.
func (v *Vault) Issue(ctx context.Context, w Wanted) (Issued, error) {
	i, err := v.makeAndPublish(ctx, w, 0)
	if w.Store != nil && isClass(err, Conflict) {
		after, cancel := afterwards(ctx)
		defer cancel()
		err = v.occupied(after, w, err)
	}
	return i, err
}

// makeAndPublish has a certificate signed and stores it as the version after known. What it returns beside an error may be valid, and
// is unwanted.
func (v *Vault) makeAndPublish(ctx context.Context, w Wanted, known int64) (Issued, error) {
	key, c, err := v.make(ctx, w)
	if err != nil || w.Store == nil {
		return Issued{Certificate: c}, err
	}
	version, stored, err := v.publishFor(ctx, *w.Store, known, c, key)
	if stored {
		return Issued{Certificate: c, Version: version.Number, StoredAt: version.StoredAt}, nil
	}
	if mayHaveHappened(err) {
		return Issued{Certificate: c}, err // The next look at the store tells.
	}
	after, cancel := afterwards(ctx)
	defer cancel()
	if _, revokeErr := v.revoke(after, superseded(w.Mount, c, time.Time{})); revokeErr != nil {
		return Issued{Certificate: c}, errors.Join(err, revokeErr)
	}
	return Issued{}, err
}

// publishFor stores a certificate, and looks whether it is there when the answer was lost.
func (v *Vault) publishFor(ctx context.Context, s Store, known int64, c Certificate, key Key) (made version, stored bool, err error) {
	made, err = v.publish(ctx, s, known, c, key)
	if err == nil || !mayHaveHappened(err) {
		return made, err == nil, err
	}
	after, cancel := afterwards(ctx)
	defer cancel()
	if there, readErr := v.Stored(after, s); readErr == nil && there.Serial == c.Serial {
		return version{there.Version, there.StoredAt}, true, nil
	}
	return version{}, false, err
}

// OccupiedError is a place that holds somebody else's secret, or a certificate that an interrupted apply left. That one can be imported.
type OccupiedError struct{ *problem.Problem }

func (v *Vault) occupied(ctx context.Context, w Wanted, cause error) error {
	c, err := v.storedPair(ctx, *w.Store)
	if err != nil {
		return &OccupiedError{problem.New(fmt.Sprintf("%s holds a secret already", w.Store),
			"Choose another path, or delete the secret with its metadata (vault kv metadata delete)").On("store").Because(cause)}
	}
	text := fmt.Sprintf("%s holds a certificate already: serial %s for %s, until %s", w.Store, c.Serial, c.CommonName,
		c.NotAfter.Format(time.RFC3339))
	// The mount that was asked for another one has most likely issued it.
	id := fmt.Sprintf("%s/%s@%s:%s", w.Mount, c.Serial, w.Store.Mount, w.Store.Path)
	return &OccupiedError{problem.New(text, "").On("store").Importable(id).Because(cause)}
}

// make has a certificate signed, for a new key unless the owner has one. A certificate beside an error is valid, and unwanted.
func (v *Vault) make(ctx context.Context, w Wanted) (key Key, c Certificate, err error) {
	csr := w.CSR
	if csr == "" {
		if key, err = newKey(w.KeyType); err != nil {
			return key, c, err
		}
		if csr, err = key.csr(w.Request); err != nil {
			return key, c, err
		}
	}
	c, err = v.sign(ctx, w, csr)
	if err != nil && mayHaveHappened(err) && w.CSR == "" {
		err = errors.Join(err, fmt.Errorf("a certificate for %s may have been signed all the same, and be valid until it expires; "+
			"its key is lost", w.CommonName))
	}
	return key, c, err
}

// Pair makes a certificate with its key, for memory only.
func (v *Vault) Pair(ctx context.Context, r Request) (Certificate, Key, error) {
	// Nobody renews it, so that it is never too late for that.
	key, c, err := v.make(ctx, Wanted{Request: r, RenewBefore: time.Nanosecond})
	return c, key, err
}
