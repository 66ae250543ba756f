package pki

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// observed is what Vault says of a certificate.
type observed struct {
	// Issued is the certificate: the one in the store if it is ours, else the one that the state remembers.
	Issued
	// Missing tells that the store holds nothing, and Foreign says what else it holds.
	Missing bool
	Foreign string
	// Authority is what the role's certificates are signed by now, nil when that may not be read.
	Authority *Certificate
}

// policies say why a certificate is renewed, each for one reason or with an empty text. The first reason counts.
var policies = []func(o observed, w Wanted, now time.Time) string{
	storeIsEmpty, storeHoldsAnother, argumentsDiffer, hasExpired, wasRevoked, isDue, issuerChanged,
}

// why says why a certificate is renewed, or nothing.
func why(o observed, w Wanted, now time.Time) string {
	for _, policy := range policies {
		if reason := policy(o, w, now); reason != "" {
			return reason
		}
	}
	return ""
}

func storeIsEmpty(o observed, w Wanted, _ time.Time) string {
	if !o.Missing {
		return ""
	}
	return "it was removed from " + w.Store.String()
}

func storeHoldsAnother(o observed, w Wanted, _ time.Time) string {
	if o.Foreign == "" {
		return ""
	}
	return w.Store.String() + " holds " + o.Foreign
}

// argumentsDiffer looks at certificates that the store had and the state had not: others were made with the arguments in the state.
func argumentsDiffer(o observed, w Wanted, _ time.Time) string {
	if !o.adopted || o.hasNames(w.Request) && o.keyType() == w.keyType() {
		return ""
	}
	return "a renewal with other arguments was interrupted"
}

func hasExpired(o observed, _ Wanted, now time.Time) string {
	if o.NotAfter.After(now) {
		return ""
	}
	return "it expired at " + o.NotAfter.Format(time.RFC3339)
}

func wasRevoked(o observed, _ Wanted, _ time.Time) string {
	if o.RevokedAt == nil {
		return ""
	}
	return "it was revoked outside Terraform at " + o.RevokedAt.Format(time.RFC3339)
}

func isDue(o observed, w Wanted, now time.Time) string {
	due := w.renewalDue(o.Certificate)
	if due.After(now) {
		return ""
	}
	return fmt.Sprintf("it expires at %s, and renewal was due at %s", o.NotAfter.Format(time.RFC3339), due.Format(time.RFC3339))
}

func issuerChanged(o observed, w Wanted, _ time.Time) string {
	if o.Authority == nil || o.issuedBy(*o.Authority) {
		return ""
	}
	return fmt.Sprintf("role %s of mount %s has another issuer now, %s", w.Role, w.Mount, o.Authority.parsed.Subject)
}

// Check looks at a certificate in Vault, and tells why it must be renewed; an empty reason means that it need not be. What the
// store holds is the certificate, if it is ours.
func (v *Vault) Check(ctx context.Context, i Issued, w Wanted) (found Issued, reason string, err error) {
	o := observed{Issued: i}
	if w.Store != nil {
		if o, err = v.observeStore(ctx, i, w); err != nil {
			return i, "", err
		}
	}
	if o.RevokedAt, err = v.revokedAt(ctx, w.Mount, o.Serial); err != nil {
		return o.Issued, "", err
	}
	if o.Authority, err = v.issuer(ctx, w); err != nil {
		return o.Issued, "", err
	}
	return o.Issued, why(o, w, v.Now()), nil
}

// observeStore looks at what is stored. The secret itself is read only when the state does not know its version.
func (v *Vault) observeStore(ctx context.Context, i Issued, w Wanted) (observed, error) {
	o := observed{Issued: i}
	known, err := v.published(ctx, *w.Store)
	if err != nil {
		return o, err
	}
	same := known.Latest == i.Version && !known.replacedSince(i)
	o.Version = known.Latest
	if o.Missing = known.Version == 0; o.Missing || same {
		return o, nil
	}
	// What is seen now may be replaced by the next renewal, and nothing that comes later.
	o.StoredAt = known.StoredAt
	stored, err := v.storedPair(ctx, *w.Store)
	switch {
	case err != nil && failsToRead(err):
		return o, err
	case err != nil:
		o.Foreign = "something else now"
		return o, nil //nolint:nilerr // That is the reason.
	case stored.Serial == i.Serial:
		return o, nil
	}
	ours, err := v.issued(ctx, stored, w.Mount, i.CommonName)
	if err != nil {
		return o, err
	}
	if !ours {
		o.Foreign = fmt.Sprintf("another certificate now, serial %s for %s", stored.Serial, stored.CommonName)
		return o, nil
	}
	o.Issued = i.adopt(stored.Certificate, w.Mount, v.Now().Add(w.RevokeAfter))
	o.Version, o.StoredAt = known.Latest, known.StoredAt
	return o, nil
}

// adopt takes the stored certificate for the resource's. The one before is superseded by it.
func (i Issued) adopt(stored Certificate, mount string, revokeAt time.Time) Issued {
	before := slices.DeleteFunc(slices.Clone(i.Superseded), func(s Superseded) bool { return s.Serial == stored.Serial })
	return Issued{Certificate: stored, Superseded: append(before, superseded(mount, i.Certificate, revokeAt)), adopted: true}
}

// issued tells whether a stored pair is a mount's, for one of the names. Whoever may write to the store could put any certificate
// there, but not with its key.
func (v *Vault) issued(ctx context.Context, stored pair, mount string, names ...string) (bool, error) {
	if !stored.keyFits || !slices.Contains(names, stored.CommonName) {
		return false, nil
	}
	known, err := v.Certificate(ctx, mount, stored.Serial)
	if err == nil {
		return known.PEM == stored.PEM, nil
	}
	if !errors.Is(err, problem.ErrNotFound) {
		return false, err
	}
	// The mount may not store what it issues.
	chain, err := v.CAChain(ctx, mount)
	return err == nil && len(chain) > 0 && stored.issuedBy(chain[0]), err
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
	if errors.Is(err, problem.ErrNotFound) {
		return Issued{Certificate: c, Version: stored.Version}, nil
	}
	if err == nil && stored.Serial != c.Serial {
		err = &Error{Class: Refused, Doing: fmt.Sprintf("find certificate %s of mount %s at %s", serial, mount, s), Cause: fmt.Sprintf(
			"the certificate there is serial %s for %s", stored.Serial, stored.CommonName), Remedy: "Correct the serial number, or " +
			"the store"}
	}
	return Issued{Certificate: c, Version: stored.Version, StoredAt: stored.StoredAt}, err
}

// Stored reads the certificate of a store, without its key. It returns [problem.ErrNotFound] when none is there.
func (v *Vault) Stored(ctx context.Context, s Store) (Issued, error) {
	known, err := v.published(ctx, s)
	if err != nil {
		return Issued{}, err
	}
	stored, err := v.storedPair(ctx, s)
	return Issued{Certificate: stored.Certificate, Version: known.Latest, StoredAt: known.StoredAt}, err
}

// Known is a certificate that is remembered as text.
func Known(certificatePEM string, chain []string) (Certificate, error) {
	c, err := parseCertificate(certificatePEM)
	c.Chain = chain
	return c, err
}

// failsToRead tells a failure of Vault's from a secret that is no certificate.
func failsToRead(err error) bool {
	var failed *Error
	return errors.As(err, &failed) && !errors.Is(err, problem.ErrNotFound)
}
