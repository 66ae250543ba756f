package pki

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// searchers bounds how many certificates are read at once.
const searchers = 4

// scan reads all certificates that a mount has issued. Vault finds them by their serial numbers only.
func (v *Vault) scan(ctx context.Context, mount string) ([]Certificate, error) {
	var all keyList
	err := v.do(ctx, request{verb: lists, path: mount + "/certs", doing: "list the certificates of mount " + mount, twice: true}, &all)
	if err != nil {
		return nil, err
	}
	found := make([]Certificate, len(all.Keys))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(searchers)
	for i, serial := range all.Keys {
		group.Go(func() error {
			c, err := v.Certificate(ctx, mount, serial)
			if errors.Is(err, postgres.ErrNotFound) || isClass(err, Unexpected) && !mayHaveHappened(err) {
				return nil // It was tidied away, or is none that can be read, and so none of ours.
			}
			found[i] = c
			return err
		})
	}
	err = group.Wait()
	return slices.DeleteFunc(found, func(c Certificate) bool { return c.Serial == "" }), err
}

// valid tells whether a certificate that was just read opens something.
func (v *Vault) valid(c Certificate) bool { return c.RevokedAt == nil && c.NotAfter.After(v.Now()) }

// scanned is as scan, once in the life of this Vault.
func (v *Vault) scanned(ctx context.Context, mount string) ([]Certificate, error) {
	v.scans.Lock()
	defer v.scans.Unlock()
	if known, ok := v.all[mount]; ok {
		return known, nil
	}
	all, err := v.scan(ctx, mount)
	if err == nil {
		v.all[mount] = all
	}
	return all, err
}

// revokeKey revokes all valid certificates of a key that are for one of the names, and returns their serial numbers.
func (v *Vault) revokeKey(ctx context.Context, mount, publicKey string, names ...string) (revoked []string, err error) {
	all, err := v.scan(ctx, mount)
	var failed *Error
	if errors.As(err, &failed) && failed.Class == Missing {
		return nil, nil // There is no such mount, and therefore nothing of it.
	}
	if err != nil {
		return nil, fmt.Errorf("what an interrupted renewal has left in mount %s cannot be looked for. If there is nothing, remove the custom metadata that begin "+
			"with brownie_ from the secret: %w", mount, err)
	}
	for _, c := range all {
		if c.publicKey() != publicKey || !slices.Contains(names, c.CommonName) || !v.valid(c) {
			continue
		}
		if err := v.Revoke(ctx, mount, c); err != nil {
			return revoked, err
		}
		revoked = append(revoked, c.Serial)
	}
	return revoked, nil
}
