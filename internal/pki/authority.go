package pki

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// Authority is what a mount issues certificates with.
type Authority struct {
	// Certificate is that of the mount's default issuer, with those above it as far as the mount has them.
	Certificate
	// List is the issuer's revocation list, nil when the mount has none.
	List *RevocationList
	// Problems are why servers refuse, or are about to refuse, what the authority signs; or accept what it has revoked.
	Problems []string
}

// RevocationList is what is shown of a certificate revocation list (RFC 5280, section 5).
type RevocationList struct {
	// Issuer is the subject of the authority that signed the list.
	Issuer                 string
	ThisUpdate, NextUpdate time.Time
	// Revoked is how many certificates it names.
	Revoked int

	parsed *x509.RevocationList
}

func parseRevocationList(text string) (*RevocationList, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("it is no certificate revocation list in PEM")
	}
	parsed, err := x509.ParseRevocationList(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("it is no certificate revocation list: %w", err)
	}
	return &RevocationList{
		Issuer: parsed.Issuer.String(), ThisUpdate: parsed.ThisUpdate.UTC(), NextUpdate: parsed.NextUpdate.UTC(),
		Revoked: len(parsed.RevokedCertificateEntries), parsed: parsed,
	}, nil
}

// Authority reads the authority of a mount, and says what is wrong with it, or will be when a time has passed.
func (v *Vault) Authority(ctx context.Context, mount string, within time.Duration) (Authority, error) {
	chain, err := v.CAChain(ctx, mount)
	if err == nil && len(chain) == 0 {
		err = fmt.Errorf("mount %s has no authority: %w", mount, problem.ErrNotFound)
	}
	if err != nil {
		return Authority{}, err
	}
	a := Authority{Certificate: chain[0]}
	for _, issuer := range chain {
		a.Chain = append(a.Chain, issuer.PEM)
		a.complain(!issuer.NotAfter.After(v.Now().Add(within)), "the certificate of %s %s at %s", issuer.parsed.Subject,
			v.expires(issuer.NotAfter),
			issuer.NotAfter.Format(time.RFC3339))
	}
	var read struct {
		List string `json:"certificate"`
	}
	err = v.do(ctx, request{verb: reads, path: mount + "/cert/crl", doing: "read the revocation list of mount " + mount, twice: true},
		&read)
	if err != nil && !errors.Is(err, problem.ErrNotFound) {
		return a, err
	}
	if read.List == "" {
		a.complain(true, "mount %s has no revocation list, so that servers cannot learn what was revoked", mount)
		return a, nil
	}
	list, err := parseRevocationList(read.List)
	if err != nil {
		return a, &Error{Class: Unexpected, Doing: "read the revocation list of mount " + mount, Cause: err.Error(), err: err}
	}
	a.List = list
	a.complain(!a.List.NextUpdate.After(v.Now().Add(within)), "the revocation list of %s %s at %s: from then on, servers that read "+
		"it refuse all its certificates. "+
		"Set auto_rebuild in %s/config/crl, or read %[4]s/crl/rotate", a.List.Issuer, v.expires(a.List.NextUpdate),
		a.List.NextUpdate.Format(time.RFC3339), mount)
	a.complain(list.parsed.CheckSignatureFrom(chain[0].parsed) != nil, "the revocation list of mount %s is that of another "+
		"authority, %s", mount, a.List.Issuer)
	return a, nil
}

func (v *Vault) expires(at time.Time) string {
	if at.After(v.Now()) {
		return "expires"
	}
	return "expired"
}

func (a *Authority) complain(wrong bool, format string, args ...any) {
	if wrong {
		a.Problems = append(a.Problems, fmt.Sprintf(format, args...))
	}
}
