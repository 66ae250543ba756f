package pki

import (
	"context"
	"errors"
	"fmt"
	"time"
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
	// Mount is where the certificate was found to come from, when that is not the mount that was asked; else empty.
	Mount string
	// Version is that of the store, and StoredAt is when this certificate was stored, to the second.
	Version  int64
	StoredAt time.Time
	// Superseded are certificates that are still to be revoked.
	Superseded []Superseded
	// Strays are valid certificates of the same key and name that nobody is known to manage.
	Strays []string
}

// Superseded is a certificate that another one has replaced.
type Superseded struct {
	Mount, Serial string
	// PEM is the certificate itself, which a mount that does not store what it issues needs for a revocation.
	PEM      string
	RevokeAt time.Time
	// Store is where the certificate is kept with its key, when the other one is kept elsewhere.
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
	key, c, err := v.make(ctx, w, nil)
	if err != nil || w.Store == nil {
		return Issued{Certificate: c}, err
	}
	version, stored, err := v.publishFor(ctx, *w.Store, 0, c, key)
	if stored {
		return Issued{Certificate: c, Version: version.Number, StoredAt: version.StoredAt}, err
	}
	after, cancel := afterwards(ctx)
	defer cancel()
	if isClass(err, Conflict) {
		err = v.occupied(after, w, err)
	}
	_, revokeErr := v.revoke(after, superseded(w.Mount, c, time.Time{}))
	if revokeErr == nil && !mayHaveHappened(err) {
		return Issued{}, err
	}
	return Issued{Certificate: c}, errors.Join(err, revokeErr)
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

// OccupiedError is a place that holds somebody else's secret, or a certificate that an interrupted apply left.
type OccupiedError struct {
	Store Store
	// Holder is the certificate there, if it is one. Mount is the one that was asked for another, and most likely issued it.
	Holder Certificate
	Mount  string
	cause  error
}

func (e *OccupiedError) Error() string {
	if e.Holder.Serial == "" {
		return fmt.Sprintf("%s holds a secret already. Choose another path, or delete the secret with its metadata (vault kv metadata delete)", e.Store)
	}
	return fmt.Sprintf("%s holds a certificate already: serial %s for %s, until %s", e.Store, e.Holder.Serial, e.Holder.CommonName,
		e.Holder.NotAfter.Format(time.RFC3339))
}

// Unwrap returns Vault's answer.
func (e *OccupiedError) Unwrap() error { return e.cause }

func (v *Vault) occupied(ctx context.Context, w Wanted, cause error) error {
	e := &OccupiedError{Store: *w.Store, Mount: w.Mount, cause: cause}
	if c, err := v.storedCertificate(ctx, *w.Store); err == nil {
		e.Holder = c
	}
	return e
}

// make has a certificate signed, for a new key unless the owner has one. before is called with the key. A certificate beside an error
// is valid, and unwanted.
func (v *Vault) make(ctx context.Context, w Wanted, before func(Key) error) (key Key, c Certificate, err error) {
	csr := w.CSR
	if csr == "" {
		if key, err = newKey(w.KeyType); err != nil {
			return key, c, err
		}
		if csr, err = key.csr(w.Request); err != nil {
			return key, c, err
		}
		if before != nil {
			if err := before(key); err != nil {
				return key, c, err
			}
		}
	}
	c, err = v.sign(ctx, w, csr)
	if err != nil && mayHaveHappened(err) && w.CSR == "" {
		after, cancel := afterwards(ctx)
		defer cancel()
		public, lostErr := key.publicKey()
		if lostErr == nil {
			_, lostErr = v.revokeKey(after, w.Mount, public, w.CommonName)
		}
		if lostErr != nil {
			err = errors.Join(err, fmt.Errorf("a certificate for %s may have been signed all the same, and be valid until it expires; its key is lost", w.CommonName))
		}
	}
	return key, c, err
}

// Pair makes a certificate with its key, for memory only.
func (v *Vault) Pair(ctx context.Context, r Request) (Certificate, Key, error) {
	// Nobody renews it, so that it is never too late for that.
	key, c, err := v.make(ctx, Wanted{Request: r, RenewBefore: time.Nanosecond}, nil)
	return c, key, err
}
