package pki

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// Renew replaces a certificate: the new one is published first, and the old one revoked only then. It returns the serial
// numbers that it revoked. What it returns beside an error is what there is now.
func (v *Vault) Renew(ctx context.Context, old Issued, was, w Wanted) (renewed Issued, revoked []string, err error) {
	old.Superseded = slices.Clone(old.Superseded)
	var known published
	if w.Store == nil {
		revoked, err = v.revokeLost(ctx, old, w)
	} else {
		known, revoked, err = v.prepare(ctx, old, was, w)
	}
	if err != nil {
		return old, revoked, err
	}
	key, c, err := v.make(ctx, w, func(key Key) error { return v.intend(ctx, *w.Store, known, old.Serial, w.Mount, key) })
	if err != nil {
		if c.Serial != "" {
			old.Superseded = append(old.Superseded, superseded(w.Mount, c, v.Now()))
		}
		v.forget(ctx, w.Store, err)
		return old, revoked, err
	}
	renewed = Issued{Certificate: c, Superseded: append(slices.Clone(old.Superseded), superseded(was.Mount, old.Certificate, v.Now().Add(w.RevokeAfter)))}
	if moved(was.Store, w.Store) && was.Store != nil {
		renewed.Superseded[len(renewed.Superseded)-1].Store = was.Store
	}
	if w.Store != nil {
		var stored bool
		if renewed.Version, stored, err = v.publishFor(ctx, *w.Store, known.Latest, c, key); !stored {
			return v.unpublished(ctx, old, w, c, err), revoked, err
		}
	}
	settled, more, err := v.Settle(ctx, renewed)
	return settled, append(revoked, more...), err
}

// unpublished gives up a certificate that could not be stored. When it may have been stored all the same, it is left alone: the
// next look at the store finds it.
func (v *Vault) unpublished(ctx context.Context, old Issued, w Wanted, c Certificate, err error) Issued {
	if mayHaveHappened(err) {
		return old
	}
	after, cancel := afterwards(ctx)
	defer cancel()
	unwanted := superseded(w.Mount, c, v.Now())
	if _, revokeErr := v.revoke(after, unwanted); revokeErr != nil {
		old.Superseded = append(old.Superseded, unwanted)
	}
	v.forget(ctx, w.Store, err)
	return old
}

// moved tells whether a store is another one.
func moved(from, to *Store) bool {
	return (from == nil) != (to == nil) || from != nil && *from != *to
}

// prepare reads what is where a certificate is to be published, refuses what the plan did not know of, and puts right what an
// interrupted renewal left.
func (v *Vault) prepare(ctx context.Context, old Issued, was, w Wanted) (known published, revoked []string, err error) {
	if known, err = v.published(ctx, *w.Store); err != nil {
		return known, nil, err
	}
	ours := known.Note.Replaces == old.Serial
	expected := old.Version
	if moved(was.Store, w.Store) {
		expected = 0
	}
	if ours {
		// What is there, if anything, is of the interrupted renewal.
		expected = known.Latest
		if revoked, err = v.abandon(ctx, known.Note); err != nil {
			return known, revoked, err
		}
	}
	if known.Latest != expected {
		cause := &Error{Class: Conflict, Doing: "store a certificate at " + w.Store.String(), Cause: fmt.Sprintf("version %d is there, and the plan knew of version %d",
			known.Latest, expected), Remedy: "Somebody else has written there meanwhile: plan again"}
		if expected == 0 {
			return known, revoked, v.occupied(ctx, w, cause)
		}
		return known, revoked, cause
	}
	if was.Store == nil || !moved(was.Store, w.Store) {
		return known, revoked, nil
	}
	from, err := v.published(ctx, *was.Store)
	if err != nil {
		return known, revoked, err
	}
	if from.Note.Replaces == old.Serial && from.Note.MovesTo != *w.Store {
		more, err := v.abandon(ctx, from.Note)
		if revoked = append(revoked, more...); err != nil {
			return known, revoked, err
		}
	}
	if from.exists {
		err = v.annotate(ctx, *was.Store, from, note{Replaces: old.Serial, MovesTo: *w.Store})
	}
	return known, revoked, err
}

// abandon revokes the certificate that a note tells of, and removes what was stored on the way to another place.
func (v *Vault) abandon(ctx context.Context, n note) (revoked []string, err error) {
	if n.Key != "" {
		revoked, err = v.revokeKey(ctx, n.Mount, n.Key)
	}
	if err != nil || n.MovesTo == (Store{}) {
		return revoked, err
	}
	there, err := v.published(ctx, n.MovesTo)
	if err != nil || there.Note.Replaces != n.Replaces {
		return revoked, err
	}
	more, err := v.revokeKey(ctx, there.Note.Mount, there.Note.Key)
	if err == nil {
		err = v.remove(ctx, n.MovesTo)
	}
	return append(revoked, more...), err
}

// forget takes a note back after a renewal that certainly came to nothing. Where it cannot, the next plan renews.
func (v *Vault) forget(ctx context.Context, s *Store, err error) {
	if s == nil || mayHaveHappened(err) {
		return
	}
	after, cancel := afterwards(ctx)
	defer cancel()
	if known, err := v.published(after, *s); err == nil && known.exists {
		_ = v.annotate(after, *s, known, note{})
	}
}

// revokeLost revokes what an interrupted renewal with the owner's key left: valid certificates of the same key and name that are
// newer than the one that is known. There is no place for a note of it.
func (v *Vault) revokeLost(ctx context.Context, old Issued, w Wanted) (revoked []string, err error) {
	keys := []string{old.publicKey()}
	if key, err := csrPublicKey(w.CSR); err == nil {
		keys = append(keys, key)
	}
	all, err := v.scan(ctx, w.Mount)
	if isClass(err, Permission) {
		return nil, nil // It may not be looked for.
	}
	if err != nil {
		return nil, err
	}
	for _, c := range all {
		known := c.Serial == old.Serial || slices.ContainsFunc(old.Superseded, func(s Superseded) bool { return s.Serial == c.Serial })
		if known || c.CommonName != old.CommonName || c.NotBefore.Before(old.NotBefore) || !slices.Contains(keys, c.publicKey()) || !v.valid(c) {
			continue
		}
		if _, err := v.revoke(ctx, superseded(w.Mount, c, time.Time{})); err != nil {
			return revoked, err
		}
		revoked = append(revoked, c.Serial)
	}
	return revoked, nil
}

// Settle revokes the superseded certificates whose time has come, removes what is stored of them elsewhere, and returns the serial
// numbers of those that it revoked.
func (v *Vault) Settle(ctx context.Context, i Issued) (settled Issued, revoked []string, err error) {
	settled = i
	settled.Superseded = nil
	began := v.Now().Add(-leeway)
	for _, s := range i.Superseded {
		if err != nil || s.RevokeAt.After(v.Now()) {
			settled.Superseded = append(settled.Superseded, s)
			continue
		}
		at, revokeErr := v.revoke(ctx, s)
		if err = revokeErr; err == nil && at.After(began) {
			revoked = append(revoked, s.Serial)
		}
		if err == nil && s.Store != nil {
			err = v.removeOwn(ctx, *s.Store, s.Serial)
		}
		if err != nil {
			settled.Superseded = append(settled.Superseded, s)
		}
	}
	return settled, revoked, err
}

// Due tells whether a superseded certificate is to be revoked.
func (v *Vault) Due(i Issued) bool {
	return slices.ContainsFunc(i.Superseded, func(s Superseded) bool { return !s.RevokeAt.After(v.Now()) })
}

// Retire revokes a certificate, if that is wanted, and what it superseded, and removes what is stored.
func (v *Vault) Retire(ctx context.Context, i Issued, w Wanted, revoke bool) error {
	var err error
	if w.Store == nil {
		_, err = v.revokeLost(ctx, i, w)
	} else {
		var known published
		known, err = v.published(ctx, *w.Store)
		if err == nil && known.Note.Replaces == i.Serial {
			_, err = v.abandon(ctx, known.Note)
		}
	}
	if err == nil && revoke {
		_, err = v.revoke(ctx, superseded(w.Mount, i.Certificate, time.Time{}))
	}
	for _, s := range i.Superseded {
		if err == nil {
			_, err = v.revoke(ctx, s)
		}
		if err == nil && s.Store != nil {
			err = v.removeOwn(ctx, *s.Store, s.Serial)
		}
	}
	if err != nil || w.Store == nil {
		return err
	}
	return v.removeOwn(ctx, *w.Store, i.Serial)
}

// removeOwn removes what is stored, unless it is somebody else's.
func (v *Vault) removeOwn(ctx context.Context, s Store, serial string) error {
	known, err := v.published(ctx, s)
	if err != nil || !known.exists {
		return err
	}
	if known.Version != 0 {
		stored, err := v.storedCertificate(ctx, s)
		if err != nil && failsToRead(err) {
			return err
		}
		ours := stored.Serial == serial || known.Note.Replaces == serial && stored.Serial != "" && stored.publicKey() == known.Note.Key
		if err != nil || !ours {
			return nil //nolint:nilerr // What is there is no certificate of ours.
		}
	}
	return v.remove(ctx, s)
}

// failsToRead tells a failure of Vault's from a secret that is no certificate.
func failsToRead(err error) bool {
	var failed *Error
	return errors.As(err, &failed) && !errors.Is(err, postgres.ErrNotFound)
}
