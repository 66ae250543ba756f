package pki

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// Check compares a certificate with what Vault has, and tells why it must be renewed; an empty reason means that it need
// not be. What an interrupted renewal has published is taken over in what it returns.
func (v *Vault) Check(ctx context.Context, i Issued, w Wanted) (found Issued, reason string, err error) {
	if w.Store != nil {
		if i, reason, err = v.checkStore(ctx, i, w); err != nil || reason != "" {
			return i, reason, err
		}
	}
	if i.Mount != "" {
		w.Mount = i.Mount
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
	if w.Role == "" || i.Mount != "" {
		return i, "", nil // just imported, or taken over
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
	interrupted, same := known.Note.Replaces == i.Serial, known.Latest == i.Version && !known.replacedSince(i)
	i.Version = known.Latest
	switch {
	case known.Version == 0:
		return i, "it was removed from " + w.Store.String(), nil
	case same && !interrupted:
		return i, "", nil
	case same:
		return i, "a renewal of it was interrupted", nil
	}
	stored, err := v.storedCertificate(ctx, *w.Store)
	// What is seen now may be replaced by the next renewal, and nothing that comes later.
	i.StoredAt = known.StoredAt
	switch {
	case err != nil && failsToRead(err):
		return i, "", err
	case err != nil:
		return i, w.Store.String() + " holds something else now", nil //nolint:nilerr // That is the reason.
	case stored.Serial == i.Serial && interrupted:
		return i, "a renewal of it was interrupted", nil
	case stored.Serial == i.Serial:
		return i, "", nil
	case interrupted && stored.publicKey() == known.Note.Key:
		// It was interrupted after its certificate was published.
		taken := Issued{Certificate: stored, Mount: known.Note.Mount, Version: known.Latest, StoredAt: known.StoredAt}
		taken.Superseded = append(slices.Clone(i.Superseded), superseded(w.Mount, i.Certificate, v.Now().Add(w.RevokeAfter)))
		if !stored.hasNames(w.Request) || stored.keyType() != w.keyType() {
			reason = "a renewal with other arguments was interrupted"
		}
		return taken, reason, nil
	}
	return i, fmt.Sprintf("%s holds another certificate now, serial %s for %s", w.Store, stored.Serial, stored.CommonName), nil
}

// Read reads a certificate that exists, with its chain if the mount's default issuer signed it. The store must hold it, or nothing.
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
	if errors.Is(err, postgres.ErrNotFound) {
		return Issued{Certificate: c, Version: stored.Version}, nil
	}
	if err == nil && stored.Serial != c.Serial {
		err = &Error{Class: Refused, Doing: fmt.Sprintf("find certificate %s of mount %s at %s", serial, mount, s), Cause: fmt.Sprintf(
			"the certificate there is serial %s for %s", stored.Serial, stored.CommonName), Remedy: "Correct the serial number, or the store"}
	}
	return Issued{Certificate: c, Version: stored.Version, StoredAt: stored.StoredAt}, err
}

// Stored reads the certificate of a store, without its key. It returns [postgres.ErrNotFound] when none is there.
func (v *Vault) Stored(ctx context.Context, s Store) (Issued, error) {
	known, err := v.published(ctx, s)
	if err != nil {
		return Issued{}, err
	}
	c, err := v.storedCertificate(ctx, s)
	return Issued{Certificate: c, Version: known.Latest, StoredAt: known.StoredAt}, err
}

// Known is a certificate that is remembered as text.
func Known(certificatePEM string, chain []string) (Certificate, error) {
	c, err := parseCertificate(certificatePEM)
	c.Chain = chain
	return c, err
}
