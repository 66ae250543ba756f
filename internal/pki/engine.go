package pki

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
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

// TTLError is a lifetime that a role does not allow.
type TTLError struct {
	Request Request
	Got     time.Duration
}

func (e *TTLError) Error() string {
	return fmt.Sprintf("ttl is %s, but role %s of mount %s made a certificate that holds for %s only: its max_ttl, or the authority's own "+
		"life, ends before. The certificate was revoked. Lower ttl, or raise max_ttl", e.Request.TTL, e.Request.Role, e.Request.Mount, e.Got.Round(time.Second))
}

// leeway is how much a lifetime may differ from what was asked for.
const leeway = time.Minute

// sign has a request signed, in one round trip.
func (v *Vault) sign(ctx context.Context, r Request, csr string) (Certificate, error) {
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
		return Certificate{}, &Error{Class: Unexpected, Doing: call.doing, Cause: err.Error(), err: err}
	}
	if c.Chain = signed.Chain; len(c.Chain) == 0 && signed.Issuer != "" {
		c.Chain = []string{signed.Issuer}
	}
	if got := c.NotAfter.Sub(v.Now()); r.TTL > 0 && got < r.TTL-leeway {
		return Certificate{}, errors.Join(&TTLError{r, got}, v.Revoke(ctx, r.Mount, c.Serial))
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

// Revoke revokes a certificate. One that is revoked, that has expired, or that the mount does not know any more, needs no
// revocation.
func (v *Vault) Revoke(ctx context.Context, mount, serial string) error {
	err := v.do(ctx, request{
		verb: writes, path: mount + "/revoke", body: map[string]any{"serial_number": serial}, twice: true,
		doing: fmt.Sprintf("revoke certificate %s of mount %s", serial, mount),
	}, nil)
	var failed *Error
	if errors.As(err, &failed) && (failed.Class == Missing || failed.Class == Refused && strings.Contains(failed.Cause, "not found")) {
		return nil
	}
	return err
}

type keyList struct {
	Keys []string `json:"keys"`
}

// revokedAt tells when a certificate was revoked, nil if it was not. One list answers for all certificates of a mount,
// unless the token may not read it.
func (v *Vault) revokedAt(ctx context.Context, mount, serial string) (*time.Time, error) {
	var revoked keyList
	err := v.shared(ctx, request{verb: lists, path: mount + "/certs/revoked", doing: "list the revoked certificates of mount " + mount, twice: true}, &revoked)
	if err == nil && !slices.Contains(revoked.Keys, strings.ReplaceAll(serial, ":", "-")) && !slices.Contains(revoked.Keys, serial) {
		return nil, nil //nolint:nilnil // Not revoked.
	}
	if err != nil && !isClass(err, Permission) && !isClass(err, Missing) && !isClass(err, Refused) {
		return nil, err
	}
	c, err := v.Certificate(ctx, mount, serial)
	if errors.Is(err, postgres.ErrNotFound) {
		return nil, nil //nolint:nilnil // It was tidied away, which happens after it has expired.
	}
	return c.RevokedAt, err
}

// issuer is the authority that a role's certificates are signed by now. Without the right to read the role nothing is
// known, which is no error.
func (v *Vault) issuer(ctx context.Context, mount, role string) (Certificate, error) {
	var read struct {
		Issuer string `json:"issuer_ref"`
	}
	err := v.shared(ctx, request{verb: reads, path: mount + "/roles/" + role, doing: fmt.Sprintf("read role %s of mount %s", role, mount), twice: true}, &read)
	if err != nil {
		return Certificate{}, err
	}
	if read.Issuer == "" {
		read.Issuer = "default"
	}
	var authority struct {
		Certificate string `json:"certificate"`
	}
	err = v.shared(ctx, request{verb: reads, path: mount + "/issuer/" + read.Issuer + "/json", doing: fmt.Sprintf("read issuer %s of mount %s", read.Issuer, mount), twice: true}, &authority)
	if err != nil {
		return Certificate{}, err
	}
	return parseCertificate(authority.Certificate)
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

// searchers bounds how many certificates are read at once.
const searchers = 4

// withKey looks for the certificates of a key that are valid, among all that a mount has issued.
func (v *Vault) withKey(ctx context.Context, mount, publicKey string) ([]string, error) {
	var all keyList
	err := v.do(ctx, request{verb: lists, path: mount + "/certs", doing: "list the certificates of mount " + mount, twice: true}, &all)
	if err != nil {
		return nil, err
	}
	found := make([]string, len(all.Keys))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(searchers)
	for i, each := range all.Keys {
		group.Go(func() error {
			c, err := v.Certificate(ctx, mount, each)
			if errors.Is(err, postgres.ErrNotFound) {
				return nil
			}
			if err == nil && c.publicKey() == publicKey && c.RevokedAt == nil && c.NotAfter.After(v.Now()) {
				found[i] = c.Serial
			}
			return err
		})
	}
	err = group.Wait()
	return slices.DeleteFunc(found, func(serial string) bool { return serial == "" }), err
}
