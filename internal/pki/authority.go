package pki

import (
	"context"
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
		a.complain(!issuer.NotAfter.After(v.Now().Add(within)), "the certificate of %s %s at %s", issuer.parsed.Subject, v.expires(issuer.NotAfter),
			issuer.NotAfter.Format(time.RFC3339))
	}
	var read struct {
		List string `json:"certificate"`
	}
	err = v.do(ctx, request{verb: reads, path: mount + "/cert/crl", doing: "read the revocation list of mount " + mount, twice: true}, &read)
	if err != nil && !errors.Is(err, problem.ErrNotFound) {
		return a, err
	}
	if read.List == "" {
		a.complain(true, "mount %s has no revocation list, so that servers cannot learn what was revoked", mount)
		return a, nil
	}
	lists, err := parseRevocationLists([]byte(read.List))
	if err != nil {
		return a, &Error{Class: Unexpected, Doing: "read the revocation list of mount " + mount, Cause: err.Error(), err: err}
	}
	a.List = &lists[0]
	a.complain(!a.List.NextUpdate.After(v.Now().Add(within)), "the revocation list of %s %s at %s: from then on, servers that read it refuse all its certificates. "+
		"Set auto_rebuild in %s/config/crl, or read %[4]s/crl/rotate", a.List.Issuer, v.expires(a.List.NextUpdate), a.List.NextUpdate.Format(time.RFC3339), mount)
	a.complain(!a.List.signedBy(chain[0]), "the revocation list of mount %s is that of another authority, %s", mount, a.List.Issuer)
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
