package pki

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// Request is a certificate that is wanted.
type Request struct {
	// Mount is where the secrets engine is, and Role is its role, which decides what may be issued.
	Mount, Role string
	CommonName  string
	// TTL is how long it is to hold; zero leaves that to the role.
	TTL                   time.Duration
	DNSNames, IPAddresses []string
	// CSR is the owner's signing request, in PEM. When it is empty a key of KeyType is made.
	CSR     string
	KeyType string
}

func (r Request) doing() string {
	return fmt.Sprintf("sign a certificate for %s with role %s of mount %s", r.CommonName, r.Role, r.Mount)
}

// MismatchError is a certificate that is not what was asked for. It was revoked, if it could be. It blames the argument that the role, or
// the request, does not agree with.
type MismatchError struct{ *problem.Problem }

func mismatched(attribute, text, remedy string) error {
	return &MismatchError{problem.New(text, remedy).On(attribute)}
}

// leeway is how much a lifetime may differ from what was asked for.
const leeway = time.Minute

// mismatch says why a certificate is not what was asked for, nil if it is.
func (v *Vault) mismatch(w Wanted, c Certificate) error {
	holds := c.NotAfter.Sub(v.Now())
	made := fmt.Sprintf("role %s of mount %s made a certificate", w.Role, w.Mount)
	switch due := w.renewalDue(c); {
	case c.CommonName != w.CommonName:
		return mismatched("csr_pem", fmt.Sprintf("%s for %q instead of %q, as csr_pem asks for", made, c.CommonName, w.CommonName),
			"Correct one of them")
	case !c.hasNames(w.Request):
		attribute, remedy := "dns_names", ""
		if w.CSR != "" {
			attribute = "csr_pem"
			remedy = "The role takes them from csr_pem (use_csr_sans): give the same ones in dns_names and ip_addresses, or another request"
		}
		return mismatched(attribute, fmt.Sprintf("%s with the alternative names %q and %q instead of %q and %q", made, c.DNSNames,
			c.IPAddresses,
			w.DNSNames, w.IPAddresses), remedy)
	case w.TTL > 0 && holds < w.TTL-leeway:
		return mismatched("ttl", fmt.Sprintf("ttl is %s, but %s that holds for %s only: its max_ttl, or the authority's own life, "+
			"ends before", w.TTL, made,
			holds.Round(time.Second)), "Lower ttl, or raise max_ttl")
	case !due.After(v.Now()):
		return mismatched("renew_before", fmt.Sprintf("%s that holds for %s, and its renewal was due at %s already, so that each "+
			"apply would renew it", made,
			holds.Round(time.Second), due.Format(time.RFC3339)), "Set renew_before to less than that, or raise ttl")
	}
	return nil
}

// sign has a request signed, in one round trip. A certificate beside an error is valid, and unwanted.
func (v *Vault) sign(ctx context.Context, w Wanted, csr string) (Certificate, error) {
	r := w.Request
	body := map[string]any{
		"csr": csr, "common_name": r.CommonName, "alt_names": strings.Join(r.DNSNames, ","), "ip_sans": strings.Join(r.IPAddresses, ","),
		// PgBouncer would take an alternative name for the user's name.
		"exclude_cn_from_sans": true,
	}
	if r.TTL > 0 {
		body["ttl"] = r.TTL.String()
	}
	var signed struct {
		Certificate string   `json:"certificate"`
		Issuer      string   `json:"issuing_ca"`
		Chain       []string `json:"ca_chain"`
	}
	call := request{verb: writes, path: r.Mount + "/sign/" + r.Role, body: body, doing: r.doing()}
	if err := v.do(ctx, call, &signed); err != nil {
		return Certificate{}, err
	}
	c, err := parseCertificate(signed.Certificate)
	if err != nil {
		return Certificate{}, &Error{Class: Unexpected, Doing: call.doing, Cause: err.Error(), unsure: true, err: err}
	}
	if c.Chain = signed.Chain; len(c.Chain) == 0 && signed.Issuer != "" {
		c.Chain = []string{signed.Issuer}
	}
	if err := v.mismatch(w, c); err != nil {
		if _, revokeErr := v.revoke(ctx, superseded(r.Mount, c, time.Time{})); revokeErr != nil {
			return c, errors.Join(err, revokeErr)
		}
		return Certificate{}, err
	}
	return c, nil
}

// Certificate reads what a mount knows of a certificate.
func (v *Vault) Certificate(ctx context.Context, mount, serial string) (Certificate, error) {
	var read struct {
		Certificate    string `json:"certificate"`
		RevocationTime int64  `json:"revocation_time"`
	}
	doing := fmt.Sprintf("read certificate %s of mount %s", serial, mount)
	if err := v.do(ctx, request{verb: reads, path: mount + "/cert/" + serial, doing: doing, twice: true}, &read); err != nil {
		return Certificate{}, err
	}
	c, err := parseCertificate(read.Certificate)
	if err != nil {
		return Certificate{}, &Error{Class: Unexpected, Doing: doing, Cause: err.Error(), err: err}
	}
	if read.RevocationTime > 0 {
		at := time.Unix(read.RevocationTime, 0).UTC()
		c.RevokedAt = &at
	}
	return c, nil
}

// Revoke revokes a certificate. One that is revoked, or has expired, needs no revocation.
func (v *Vault) Revoke(ctx context.Context, mount string, c Certificate) error {
	_, err := v.revoke(ctx, superseded(mount, c, time.Time{}))
	return err
}

// revoke revokes a certificate and tells since when it is revoked. The zero time means that it needs none: it has expired, or the
// mount has tidied it away.
func (v *Vault) revoke(ctx context.Context, s Superseded) (at time.Time, err error) {
	call := request{
		verb: writes, path: s.Mount + "/revoke", body: map[string]any{"serial_number": s.Serial}, twice: true,
		doing: fmt.Sprintf("revoke certificate %s of mount %s", s.Serial, s.Mount),
	}
	var answer struct {
		Time int64 `json:"revocation_time"`
	}
	err = v.do(ctx, call, &answer)
	c, parseErr := parseCertificate(s.PEM)
	if err != nil && parseErr == nil && !c.NotAfter.After(v.Now()) {
		return time.Time{}, nil
	}
	var failed *Error
	if errors.As(err, &failed) && failed.Class == Refused && strings.Contains(failed.Cause, "not found") {
		// The mount does not store what it issues, or has tidied it away.
		if parseErr != nil {
			return time.Time{}, nil //nolint:nilerr // It has expired long ago, or was never there.
		}
		call.body, call.twice = map[string]any{"certificate": s.PEM}, false
		err = v.do(ctx, call, &answer)
		if errors.As(err, &failed) && strings.Contains(failed.Cause, "unable to verify signature") {
			return time.Time{}, nil // The authority that signed it is gone, and with it the trust in it.
		}
	}
	if err != nil || answer.Time == 0 {
		return time.Time{}, err
	}
	return time.Unix(answer.Time, 0), nil
}

type keyList struct {
	Keys []string `json:"keys"`
}

// revokedAt tells when a certificate was revoked, nil if it was not. One list answers for all certificates of a mount,
// unless the token may not read it.
func (v *Vault) revokedAt(ctx context.Context, mount, serial string) (*time.Time, error) {
	var revoked keyList
	err := v.shared(ctx, request{
		verb: lists, path: mount + "/certs/revoked", doing: "list the revoked certificates of mount " + mount,
		twice: true,
	}, &revoked)
	if err == nil && !slices.Contains(revoked.Keys, strings.ReplaceAll(serial, ":", "-")) && !slices.Contains(revoked.Keys, serial) {
		return nil, nil //nolint:nilnil // Not revoked.
	}
	if err != nil && !isClass(err, Permission) && !isClass(err, Missing) && !isClass(err, Refused) {
		return nil, err
	}
	c, err := v.Certificate(ctx, mount, serial)
	if errors.Is(err, problem.ErrNotFound) {
		return nil, nil //nolint:nilnil // The mount does not store what it issues.
	}
	return c.RevokedAt, err
}

// issuer is the authority that a role's certificates are signed by now. It is nil where the role is not known, as after an import, or may
// not be read.
func (v *Vault) issuer(ctx context.Context, w Wanted) (*Certificate, error) {
	if w.Role == "" {
		return nil, nil //nolint:nilnil // Documented above.
	}
	var role struct {
		Issuer string `json:"issuer_ref"`
	}
	doing := fmt.Sprintf("read role %s of mount %s", w.Role, w.Mount)
	err := v.shared(ctx, request{verb: reads, path: w.Mount + "/roles/" + w.Role, doing: doing, twice: true}, &role)
	var authority struct {
		Certificate string `json:"certificate"`
	}
	if err == nil {
		issuer := cmp.Or(role.Issuer, "default")
		doing = fmt.Sprintf("read issuer %s of mount %s", issuer, w.Mount)
		err = v.shared(ctx, request{verb: reads, path: w.Mount + "/issuer/" + issuer + "/json", doing: doing, twice: true}, &authority)
	}
	if isClass(err, Permission) || errors.Is(err, problem.ErrNotFound) {
		return nil, nil //nolint:nilnil // Documented above.
	}
	if err != nil {
		return nil, err
	}
	c, err := parseCertificate(authority.Certificate)
	return &c, err
}

// CAChain returns the certificate of a mount's default issuer, and those above it as far as the mount has them.
func (v *Vault) CAChain(ctx context.Context, mount string) ([]Certificate, error) {
	var read struct {
		Bundle string `json:"ca_chain"`
	}
	doing := "read the authority of mount " + mount
	if err := v.shared(ctx, request{verb: reads, path: mount + "/cert/ca_chain", doing: doing, twice: true}, &read); err != nil {
		return nil, err
	}
	return parseCertificates(read.Bundle)
}
