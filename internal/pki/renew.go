package pki

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Renew replaces a certificate: the new one is published first, and the old one revoked only then, when its time has come. It
// returns the serial numbers that it revoked. What it returns beside an error is what there is now.
func (v *Vault) Renew(ctx context.Context, old Issued, w Wanted) (renewed Issued, revoked []string, err error) {
	old.Superseded = slices.Clone(old.Superseded)
	if w.Store != nil {
		if err := v.admit(ctx, &old, w); err != nil {
			return old, nil, err
		}
	}
	renewed, err = v.makeAndPublish(ctx, w, old.Version)
	if renewed.Serial == "" {
		return old, nil, err
	}
	if err != nil {
		old.Superseded = append(old.Superseded, superseded(w.Mount, renewed.Certificate, v.Now()))
		return old, nil, err
	}
	old.Superseded = append(old.Superseded, superseded(w.Mount, old.Certificate, v.Now().Add(w.RevokeAfter)))
	renewed.Superseded = old.Superseded
	return v.Settle(ctx, renewed)
}

// admit refuses to publish over what the plan did not know of, before anything is signed. A certificate there that an interrupted
// renewal with another name has left is remembered, to be revoked.
func (v *Vault) admit(ctx context.Context, old *Issued, w Wanted) error {
	known, err := v.published(ctx, *w.Store)
	if err != nil {
		return err
	}
	cause := ""
	switch {
	case known.Latest != old.Version:
		cause = fmt.Sprintf("version %d is there, and the plan knew of version %d", known.Latest, old.Version)
	case known.Version == 0:
		return nil
	case known.replacedSince(*old):
		cause = "what is there is not what the plan knew of"
	}
	if cause != "" {
		return &Error{
			Class: Conflict, Doing: "store a certificate at " + w.Store.String(), Cause: cause, Remedy: "Somebody else has written " +
				"there meanwhile: plan again",
		}
	}
	stored, err := v.storedPair(ctx, *w.Store)
	if err != nil && failsToRead(err) {
		return err
	}
	if err != nil || stored.Serial == old.Serial {
		return nil //nolint:nilerr // What is there is no certificate: the plan knew of that.
	}
	ours, err := v.issued(ctx, stored, w.Mount, w.CommonName)
	if ours {
		old.Superseded = append(old.Superseded, superseded(w.Mount, stored.Certificate, v.Now()))
	}
	return err
}

// Settle revokes the superseded certificates whose time has come, and returns the serial numbers of those that it revoked.
func (v *Vault) Settle(ctx context.Context, i Issued) (settled Issued, revoked []string, err error) {
	settled = i
	settled.Superseded = nil
	if len(i.Superseded) > 0 {
		v.askTime(ctx)
	}
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
		err = v.removeOwn(ctx, *s.Store, s.Serial, time.Time{})
	}
	return revokedAt, err
}

// Due tells whether a superseded certificate is to be revoked.
func (v *Vault) Due(ctx context.Context, i Issued) bool {
	if len(i.Superseded) > 0 {
		v.askTime(ctx)
	}
	return slices.ContainsFunc(i.Superseded, func(s Superseded) bool { return !s.RevokeAt.After(v.Now()) })
}

// Retire revokes a certificate, if that is wanted, and what it superseded, and removes what is stored.
func (v *Vault) Retire(ctx context.Context, i Issued, w Wanted, revoke bool) error {
	var errs []error
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
	return v.removeOwn(ctx, *w.Store, i.Serial, i.StoredAt)
}

// removeOwn removes what is stored of a certificate, unless it is somebody else's. Of a secret whose last version was deleted, only
// the time tells whose it is.
func (v *Vault) removeOwn(ctx context.Context, s Store, serial string, storedAt time.Time) error {
	known, err := v.published(ctx, s)
	if err != nil {
		return err
	}
	ours := !storedAt.IsZero() && known.StoredAt.Equal(storedAt)
	if known.Version != 0 {
		stored, err := v.storedPair(ctx, s)
		if err != nil && failsToRead(err) {
			return err
		}
		ours = stored.Serial == serial
	}
	if !ours {
		return nil
	}
	return v.remove(ctx, s)
}
