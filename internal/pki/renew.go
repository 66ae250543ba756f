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
	known, revoked, err := v.prepare(ctx, &old, was, w)
	if err != nil {
		return old, revoked, err
	}
	var strays []string
	if w.Store == nil {
		strays = v.strays(ctx, old, w)
	}
	key, c, err := v.make(ctx, w, func(key Key) error { return v.intend(ctx, *w.Store, known, old.Serial, w.Mount, key) })
	if err != nil {
		if c.Serial != "" {
			old.Superseded = append(old.Superseded, superseded(w.Mount, c, v.Now()))
		}
		v.forget(ctx, old.Serial, was, w, err)
		return old, revoked, err
	}
	renewed = Issued{Certificate: c, Strays: strays}
	renewed.Superseded = append(slices.Clone(old.Superseded), superseded(was.Mount, old.Certificate, v.Now().Add(w.RevokeAfter)))
	if leaves(was.Store, w.Store) {
		renewed.Superseded[len(renewed.Superseded)-1].Store = was.Store
	}
	if w.Store != nil {
		made, stored, err := v.publishFor(ctx, *w.Store, known.Latest, c, key)
		if !stored {
			return v.unpublished(ctx, old, was, w, c, err), revoked, err
		}
		renewed.Version, renewed.StoredAt = made.Number, made.StoredAt
	}
	settled, more, err := v.Settle(ctx, renewed)
	return settled, append(revoked, more...), err
}

// unpublished gives up a certificate that could not be stored. When it may have been stored all the same, it is left alone: the
// next look at the store finds it.
func (v *Vault) unpublished(ctx context.Context, old Issued, was, w Wanted, c Certificate, err error) Issued {
	if mayHaveHappened(err) {
		return old
	}
	after, cancel := afterwards(ctx)
	defer cancel()
	unwanted := superseded(w.Mount, c, v.Now())
	if _, revokeErr := v.revoke(after, unwanted); revokeErr != nil {
		old.Superseded = append(old.Superseded, unwanted)
	}
	v.forget(ctx, old.Serial, was, w, err)
	return old
}

// moved tells whether a store is another one.
func moved(from, to *Store) bool {
	return (from == nil) != (to == nil) || from != nil && *from != *to
}

// leaves tells whether something is left behind at another store.
func leaves(from, to *Store) bool { return from != nil && moved(from, to) }

// prepare reads what is where a certificate is to be published, refuses what the plan did not know of, and puts right what an
// interrupted renewal left.
func (v *Vault) prepare(ctx context.Context, old *Issued, was, w Wanted) (known published, revoked []string, err error) {
	if w.Store != nil {
		if known, err = v.published(ctx, *w.Store); err == nil {
			err = v.admit(ctx, old, known, was, w)
		}
		if err == nil && known.Note.Replaces == old.Serial {
			revoked, err = v.abandon(ctx, known.Note, old.CommonName, w.CommonName)
		}
	}
	if err != nil || !leaves(was.Store, w.Store) {
		return known, revoked, err
	}
	from, err := v.published(ctx, *was.Store)
	if err != nil {
		return known, revoked, err
	}
	if from.Note.Replaces == old.Serial && (w.Store == nil || from.Note.MovesTo != *w.Store) {
		more, err := v.abandon(ctx, from.Note, old.CommonName, w.CommonName)
		if revoked = append(revoked, more...); err != nil {
			return known, revoked, err
		}
	}
	if w.Store != nil && from.exists {
		err = v.annotate(ctx, *was.Store, from, note{Replaces: old.Serial, MovesTo: *w.Store})
	}
	return known, revoked, err
}

// admit refuses to publish over what the plan did not know of.
func (v *Vault) admit(ctx context.Context, old *Issued, known published, was, w Wanted) error {
	expected, replaced := old.Version, old.Version > 0 && known.Version != 0 && known.replacedSince(*old)
	if moved(was.Store, w.Store) {
		expected, replaced = 0, false
		own, err := v.holdsOwn(ctx, old, known, *w.Store)
		if err != nil {
			return err
		}
		if own {
			expected = known.Latest
		}
	}
	if known.Latest == expected && !replaced {
		return nil
	}
	cause := &Error{Class: Conflict, Doing: "store a certificate at " + w.Store.String(), Cause: fmt.Sprintf("version %d is there, and the plan knew of version %d",
		known.Latest, expected), Remedy: "Somebody else has written there meanwhile: plan again"}
	if replaced {
		if stored, err := v.storedCertificate(ctx, *w.Store); err == nil && stored.Serial == old.Serial {
			return nil
		}
		cause.Cause = "what is there is not what the plan knew of"
	}
	if expected == 0 {
		return v.occupied(ctx, w, cause)
	}
	return cause
}

// holdsOwn tells whether a store to which a certificate moves has one of the same resource's: that of an interrupted move, or one
// that is not revoked yet, when it moves back. That one's place is then the new one's.
func (v *Vault) holdsOwn(ctx context.Context, old *Issued, known published, s Store) (bool, error) {
	if known.Version == 0 {
		return false, nil
	}
	stored, err := v.storedCertificate(ctx, s)
	if err != nil {
		if failsToRead(err) {
			return false, err
		}
		return false, nil // What is there is no certificate.
	}
	if known.Note.Replaces == old.Serial && stored.publicKey() == known.Note.Key {
		return true, nil
	}
	for i, before := range old.Superseded {
		if before.Serial == stored.Serial && before.Store != nil && *before.Store == s {
			old.Superseded[i].Store = nil
			return true, nil
		}
	}
	return false, nil
}

// abandon revokes the certificate that a note tells of, and removes what was stored on the way to another place. Whoever may
// write notes must not have others' certificates revoked by them, so that it must be for one of the names.
func (v *Vault) abandon(ctx context.Context, n note, names ...string) (revoked []string, err error) {
	if n.Key != "" {
		revoked, err = v.revokeKey(ctx, n.Mount, n.Key, names...)
	}
	if err != nil || n.MovesTo == (Store{}) {
		return revoked, err
	}
	there, err := v.published(ctx, n.MovesTo)
	if err != nil || there.Note.Replaces != n.Replaces {
		return revoked, err
	}
	more, err := v.revokeKey(ctx, there.Note.Mount, there.Note.Key, names...)
	if err == nil {
		err = v.removeOwn(ctx, n.MovesTo, n.Replaces)
	}
	return append(revoked, more...), err
}

// forget takes the notes back after a renewal that certainly came to nothing. Where it cannot, the next plan renews.
func (v *Vault) forget(ctx context.Context, serial string, was, w Wanted, err error) {
	if mayHaveHappened(err) {
		return
	}
	after, cancel := afterwards(ctx)
	defer cancel()
	if w.Store != nil && moved(was.Store, w.Store) {
		_ = v.removeOwn(after, *w.Store, serial) // It has nothing but the note.
	}
	for _, s := range []*Store{was.Store, w.Store} {
		if s == nil {
			continue
		}
		if known, err := v.published(after, *s); err == nil && known.Note.Replaces == serial {
			_ = v.annotate(after, *s, known, note{})
		}
	}
}

// strays looks for what an interrupted renewal with the owner's key may have left: valid certificates of the same key and name that
// are newer than the one that is known. There is no place for a note of it, and they may be somebody else's.
func (v *Vault) strays(ctx context.Context, old Issued, w Wanted) []string {
	keys := []string{old.publicKey()}
	if request, err := parseCSR(w.CSR); err == nil {
		keys = append(keys, digest(request.RawSubjectPublicKeyInfo))
	}
	all, err := v.scanned(ctx, w.Mount)
	if err != nil {
		return nil // It may not be looked for.
	}
	var found []string
	for _, c := range all {
		known := c.Serial == old.Serial || slices.ContainsFunc(old.Superseded, func(s Superseded) bool { return s.Serial == c.Serial })
		named := c.CommonName == old.CommonName || c.CommonName == w.CommonName
		if !known && named && !c.NotBefore.Before(old.NotBefore) && slices.Contains(keys, c.publicKey()) && v.valid(c) {
			found = append(found, c.Serial)
		}
	}
	return found
}

// Settle revokes the superseded certificates whose time has come, removes what is stored of them elsewhere, and returns the serial
// numbers of those that it revoked.
func (v *Vault) Settle(ctx context.Context, i Issued) (settled Issued, revoked []string, err error) {
	settled = i
	settled.Superseded = nil
	began := v.Now().Add(-leeway)
	for _, s := range i.Superseded {
		if s.RevokeAt.After(v.Now()) {
			settled.Superseded = append(settled.Superseded, s)
			continue
		}
		at, endErr := v.end(ctx, s)
		if at.After(began) {
			revoked = append(revoked, s.Serial)
		}
		if endErr != nil {
			settled.Superseded = append(settled.Superseded, s)
		}
		err = errors.Join(err, endErr)
	}
	return settled, revoked, err
}

// end revokes a superseded certificate and removes what is stored of it elsewhere.
func (v *Vault) end(ctx context.Context, s Superseded) (revokedAt time.Time, err error) {
	revokedAt, err = v.revoke(ctx, s)
	if err == nil && s.Store != nil {
		err = v.removeOwn(ctx, *s.Store, s.Serial)
	}
	return revokedAt, err
}

// Due tells whether a superseded certificate is to be revoked.
func (v *Vault) Due(i Issued) bool {
	return slices.ContainsFunc(i.Superseded, func(s Superseded) bool { return !s.RevokeAt.After(v.Now()) })
}

// Retire revokes a certificate, if that is wanted, and what it superseded, and removes what is stored.
func (v *Vault) Retire(ctx context.Context, i Issued, w Wanted, revoke bool) error {
	var errs []error
	var known published
	if w.Store != nil {
		var err error
		known, err = v.published(ctx, *w.Store)
		if err == nil && known.Note.Replaces == i.Serial {
			_, err = v.abandon(ctx, known.Note, i.CommonName, w.CommonName)
		}
		errs = append(errs, err)
	}
	if revoke {
		_, err := v.revoke(ctx, superseded(w.Mount, i.Certificate, time.Time{}))
		errs = append(errs, err)
	}
	for _, s := range i.Superseded {
		_, err := v.end(ctx, s)
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil || w.Store == nil {
		return err
	}
	return v.removeKnown(ctx, *w.Store, known, i.Serial, i.StoredAt)
}

// removeOwn removes what is stored of a certificate, unless it is somebody else's.
func (v *Vault) removeOwn(ctx context.Context, s Store, serial string) error {
	known, err := v.published(ctx, s)
	if err != nil {
		return err
	}
	return v.removeKnown(ctx, s, known, serial, time.Time{})
}

// removeKnown is as removeOwn, for what is known of the store. Of a secret whose last version was deleted, only the time tells whose it is.
func (v *Vault) removeKnown(ctx context.Context, s Store, known published, serial string, storedAt time.Time) error {
	if !known.exists {
		return nil
	}
	switch {
	case known.Latest == 0:
		if known.Note.Replaces != serial {
			return nil
		}
	case known.Version == 0:
		if storedAt.IsZero() || !known.StoredAt.Equal(storedAt) {
			return nil
		}
	default:
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
