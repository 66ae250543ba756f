package pki

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
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

// RenewalError is a certificate that would be renewed by each apply.
type RenewalError struct {
	Request Request
	Due     time.Time
	Holds   time.Duration
}

func (e *RenewalError) Error() string {
	return fmt.Sprintf("role %s of mount %s made a certificate that holds for %s, and its renewal was due at %s already, so that each apply would renew "+
		"it. The certificate was revoked. Set renew_before to less than that, or raise ttl", e.Request.Role, e.Request.Mount, e.Holds.Round(time.Second),
		e.Due.Format(time.RFC3339))
}

// Issued is a certificate and what is remembered with it. It holds no secret.
type Issued struct {
	Certificate
	// Version is that of the store.
	Version int64
	// Superseded are certificates that are still to be revoked.
	Superseded []Superseded
}

// Superseded is a certificate that another one has replaced.
type Superseded struct {
	Mount, Serial string
	RevokeAt      time.Time
}

// cleanup bounds what is done after a failure.
const cleanup = 15 * time.Second

// Issue makes the first certificate for a place, in two round trips: one to have it signed, one to store it. What it
// returns beside an error exists and must be remembered, so that it can be revoked; its serial is empty if nothing exists.
func (v *Vault) Issue(ctx context.Context, w Wanted) (Issued, error) {
	key, c, err := v.make(ctx, w, nil)
	if err != nil || w.Store == nil {
		return Issued{Certificate: c}, err
	}
	version, err := v.publish(ctx, *w.Store, 0, c, key)
	if err == nil {
		return Issued{Certificate: c, Version: version}, nil
	}
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanup)
	defer cancel()
	if isClass(err, Conflict) {
		err = v.occupied(after, w, err)
	}
	revokeErr := v.Revoke(after, w.Mount, c.Serial)
	if revokeErr == nil && !mayHaveHappened(err) {
		return Issued{}, err
	}
	return Issued{Certificate: c}, errors.Join(err, revokeErr)
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

// mayHaveHappened tells failures after which Vault may have done what it was asked for all the same.
func mayHaveHappened(err error) bool {
	var failed *Error
	if errors.As(err, &failed) && failed.unsent {
		return false
	}
	return isClass(err, Unreachable) || isClass(err, Unexpected) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// make has a certificate signed, for a new key unless the owner has one. before is called with the key.
func (v *Vault) make(ctx context.Context, w Wanted, before func(Key) error) (key Key, c Certificate, err error) {
	if w.CSR != "" {
		c, err = v.signInTime(ctx, w, w.CSR)
		return key, c, err
	}
	if key, err = newKey(w.KeyType); err != nil {
		return key, c, err
	}
	csr, err := key.csr(w.Request)
	if err != nil {
		return key, c, err
	}
	if before != nil {
		if err := before(key); err != nil {
			return key, c, err
		}
	}
	if c, err = v.signInTime(ctx, w, csr); err != nil && mayHaveHappened(err) {
		after, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanup)
		defer cancel()
		if public, keyErr := key.publicKey(); keyErr == nil {
			_, _ = v.revokeKey(after, w.Mount, public) // If Vault is away for longer, nobody has the key of what it may have signed.
		}
	}
	return key, c, err
}

// signInTime has a request signed, and refuses a certificate that would have to be renewed at once.
func (v *Vault) signInTime(ctx context.Context, w Wanted, csr string) (Certificate, error) {
	c, err := v.sign(ctx, w.Request, csr)
	if err != nil {
		return c, err
	}
	if due, now := w.renewalDue(c), v.Now(); !due.After(now) {
		return Certificate{}, errors.Join(&RenewalError{w.Request, due, c.NotAfter.Sub(now)}, v.Revoke(ctx, w.Mount, c.Serial))
	}
	return c, nil
}

// revokeKey revokes all certificates of a key and returns their serial numbers.
func (v *Vault) revokeKey(ctx context.Context, mount, publicKey string) (revoked []string, err error) {
	found, err := v.withKey(ctx, mount, publicKey)
	for _, serial := range found {
		if err := v.Revoke(ctx, mount, serial); err != nil {
			return revoked, err
		}
		revoked = append(revoked, serial)
	}
	return revoked, err
}

// Pair makes a certificate with its key, for memory only.
func (v *Vault) Pair(ctx context.Context, r Request) (Certificate, Key, error) {
	key, c, err := v.make(ctx, Wanted{Request: r}, nil)
	return c, key, err
}

// Renew replaces a certificate: the new one is published first, and the old one revoked only then. It returns the serial
// numbers that it revoked. What it returns beside an error is what there is now.
func (v *Vault) Renew(ctx context.Context, old Issued, was, w Wanted) (renewed Issued, revoked []string, err error) {
	var known published
	if w.Store != nil {
		if known, err = v.ready(ctx, old, was, w); err != nil {
			return old, nil, err
		}
		if known.Intent != "" && known.Intent != old.publicKey() {
			// A renewal was interrupted after its certificate was signed.
			if revoked, err = v.revokeKey(ctx, w.Mount, known.Intent); err != nil {
				return old, revoked, err
			}
		}
	}
	key, c, err := v.make(ctx, w, func(key Key) error { return v.intend(ctx, *w.Store, known, key) })
	if err != nil {
		return old, revoked, err
	}
	renewed = Issued{Certificate: c, Superseded: slices.Clone(old.Superseded)}
	if old.RevokedAt == nil && old.NotAfter.After(v.Now()) {
		renewed.Superseded = append(renewed.Superseded, Superseded{was.Mount, old.Serial, v.Now().Add(w.RevokeAfter)})
	}
	if w.Store != nil {
		if renewed.Version, err = v.publish(ctx, *w.Store, known.Latest, c, key); err != nil {
			after, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanup)
			defer cancel()
			if revokeErr := v.Revoke(after, w.Mount, c.Serial); revokeErr != nil {
				old.Superseded = append(slices.Clone(old.Superseded), Superseded{w.Mount, c.Serial, v.Now()})
			}
			return old, revoked, err
		}
	}
	if was.Store != nil && (w.Store == nil || *was.Store != *w.Store) {
		if err := v.removeOwn(ctx, was.Mount, *was.Store, old); err != nil {
			return renewed, revoked, err
		}
	}
	settled, more, err := v.Settle(ctx, renewed)
	return settled, append(revoked, more...), err
}

// ready reads what is where a certificate is to be published, and refuses what the plan did not know of.
func (v *Vault) ready(ctx context.Context, old Issued, was, w Wanted) (published, error) {
	known, err := v.published(ctx, *w.Store)
	if err != nil {
		return known, err
	}
	expected := int64(0)
	if was.Store != nil && *was.Store == *w.Store {
		expected = old.Version
	}
	if known.Latest != expected {
		cause := &Error{Class: Conflict, Doing: "store a certificate at " + w.Store.String(), Cause: fmt.Sprintf("version %d is there, and the plan knew of version %d",
			known.Latest, expected), Remedy: "Somebody else has written there meanwhile: plan again"}
		if expected == 0 {
			return known, v.occupied(ctx, w, cause)
		}
		return known, cause
	}
	return known, nil
}

// Settle revokes the superseded certificates whose time has come, and returns their serial numbers.
func (v *Vault) Settle(ctx context.Context, i Issued) (settled Issued, revoked []string, err error) {
	settled = i
	settled.Superseded = nil
	for _, s := range i.Superseded {
		if err != nil || s.RevokeAt.After(v.Now()) {
			settled.Superseded = append(settled.Superseded, s)
			continue
		}
		if err = v.Revoke(ctx, s.Mount, s.Serial); err != nil {
			settled.Superseded = append(settled.Superseded, s)
			continue
		}
		revoked = append(revoked, s.Serial)
	}
	return settled, revoked, err
}

// Due tells whether a superseded certificate is to be revoked.
func (v *Vault) Due(i Issued) bool {
	return slices.ContainsFunc(i.Superseded, func(s Superseded) bool { return !s.RevokeAt.After(v.Now()) })
}

// Retire revokes a certificate, if that is wanted, and what it superseded, and removes what is stored.
func (v *Vault) Retire(ctx context.Context, i Issued, w Wanted, revoke bool) error {
	if revoke {
		if err := v.Revoke(ctx, w.Mount, i.Serial); err != nil {
			return err
		}
	}
	for _, s := range i.Superseded {
		if err := v.Revoke(ctx, s.Mount, s.Serial); err != nil {
			return err
		}
	}
	if w.Store == nil {
		return nil
	}
	return v.removeOwn(ctx, w.Mount, *w.Store, i)
}

// removeOwn removes what is stored, unless somebody else has replaced it, and revokes what an interrupted renewal left.
func (v *Vault) removeOwn(ctx context.Context, mount string, s Store, i Issued) error {
	known, err := v.published(ctx, s)
	if err != nil || !known.exists {
		return err
	}
	if known.Intent != "" && known.Intent != i.publicKey() {
		if _, err := v.revokeKey(ctx, mount, known.Intent); err != nil {
			return err
		}
	}
	if known.Latest != i.Version && known.Version != 0 {
		stored, err := v.storedCertificate(ctx, s)
		if err != nil || stored.Serial != i.Serial && stored.publicKey() != known.Intent {
			return nil //nolint:nilerr // What is there is no certificate of ours.
		}
	}
	return v.remove(ctx, s)
}

// Check compares a certificate with what Vault has, and tells why it must be renewed; an empty reason means that it need
// not be. What an interrupted renewal left is put right in what it returns.
func (v *Vault) Check(ctx context.Context, i Issued, w Wanted) (found Issued, reason string, err error) {
	if w.Store != nil {
		if i, reason, err = v.checkStore(ctx, i, w); err != nil || reason != "" {
			return i, reason, err
		}
	}
	now := v.Now()
	if !i.NotAfter.After(now) {
		return i, fmt.Sprintf("it expired at %s", i.NotAfter.Format(time.RFC3339)), nil
	}
	if i.RevokedAt, err = v.revokedAt(ctx, w.Mount, i.Serial); err != nil {
		return i, "", err
	}
	if i.RevokedAt != nil {
		return i, "it was revoked outside Terraform at " + i.RevokedAt.Format(time.RFC3339), nil
	}
	if due := w.renewalDue(i.Certificate); !due.After(now) {
		return i, fmt.Sprintf("it expires at %s, and renewal was due at %s", i.NotAfter.Format(time.RFC3339), due.Format(time.RFC3339)), nil
	}
	if w.Role == "" {
		return i, "", nil // just imported
	}
	authority, err := v.issuer(ctx, w.Mount, w.Role)
	if isClass(err, Permission) || errors.Is(err, postgres.ErrNotFound) {
		return i, "", nil // The role is read for this only.
	}
	if err == nil && !i.issuedBy(authority) {
		reason = fmt.Sprintf("role %s of mount %s has another issuer now, %s", w.Role, w.Mount, authority.parsed.Subject)
	}
	return i, reason, err
}

// checkStore compares a certificate with what is stored.
func (v *Vault) checkStore(ctx context.Context, i Issued, w Wanted) (found Issued, reason string, err error) {
	known, err := v.published(ctx, *w.Store)
	if err != nil {
		return i, "", err
	}
	mine, version := known.Intent == "" || known.Intent == i.publicKey(), i.Version
	i.Version = known.Latest
	if known.Version == 0 {
		reason = "it was removed from " + w.Store.String()
	} else if known.Latest != version {
		stored, err := v.storedCertificate(ctx, *w.Store)
		switch {
		case err == nil && stored.Serial == i.Serial:
		case err == nil && !mine && stored.publicKey() == known.Intent:
			// A renewal was interrupted after its certificate was published.
			superseded := append(slices.Clone(i.Superseded), Superseded{w.Mount, i.Serial, v.Now()})
			superseded = slices.DeleteFunc(superseded, func(s Superseded) bool { return s.Serial == stored.Serial })
			return Issued{Certificate: stored, Version: known.Latest, Superseded: superseded}, "", nil
		case err == nil:
			reason = fmt.Sprintf("%s holds another certificate now, serial %s for %s", w.Store, stored.Serial, stored.CommonName)
		case failsToRead(err):
			return i, "", err
		default:
			reason = w.Store.String() + " holds something else now"
		}
	}
	if !mine {
		// A renewal was interrupted after its certificate was signed.
		lost, err := v.withKey(ctx, w.Mount, known.Intent)
		if err != nil {
			return i, reason, err
		}
		for _, serial := range lost {
			if !slices.ContainsFunc(i.Superseded, func(s Superseded) bool { return s.Serial == serial }) {
				i.Superseded = append(slices.Clone(i.Superseded), Superseded{w.Mount, serial, v.Now()})
			}
		}
	}
	return i, reason, nil
}

// failsToRead tells a failure of Vault's from a secret that is no certificate.
func failsToRead(err error) bool {
	var failed *Error
	return errors.As(err, &failed) && failed.Class != Missing
}

// Read reads a certificate that exists, with its chain if the mount's default issuer signed it.
func (v *Vault) Read(ctx context.Context, mount, serial string, s *Store) (Issued, error) {
	c, err := v.Certificate(ctx, mount, serial)
	if err != nil {
		return Issued{}, err
	}
	if chain, err := v.CAChain(ctx, mount); err == nil && len(chain) > 0 && c.issuedBy(chain[0]) {
		for _, issuer := range chain {
			c.Chain = append(c.Chain, issuer.PEM)
		}
	}
	if s == nil {
		return Issued{Certificate: c}, nil
	}
	stored, err := v.Stored(ctx, *s)
	if err == nil && stored.Serial != c.Serial {
		err = &Error{Class: Refused, Doing: fmt.Sprintf("find certificate %s of mount %s at %s", serial, mount, s), Cause: fmt.Sprintf(
			"the certificate there is serial %s for %s", stored.Serial, stored.CommonName), Remedy: "Correct the serial number, or the store"}
	}
	return Issued{Certificate: c, Version: stored.Version}, err
}

// Stored reads the certificate of a store, without its key. It returns [postgres.ErrNotFound] when none is there.
func (v *Vault) Stored(ctx context.Context, s Store) (Issued, error) {
	known, err := v.published(ctx, s)
	if err != nil {
		return Issued{}, err
	}
	c, err := v.storedCertificate(ctx, s)
	return Issued{Certificate: c, Version: known.Latest}, err
}

// Known is a certificate that is remembered as text.
func Known(certificatePEM string, chain []string) (Certificate, error) {
	c, err := parseCertificate(certificatePEM)
	c.Chain = chain
	return c, err
}
