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
			if errors.Is(err, postgres.ErrNotFound) {
				return nil
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

// revokeKey revokes all valid certificates of a key and returns their serial numbers.
func (v *Vault) revokeKey(ctx context.Context, mount, publicKey string) (revoked []string, err error) {
	all, err := v.scan(ctx, mount)
	if err != nil {
		return nil, fmt.Errorf("what an interrupted renewal has left cannot be looked for: %w", err)
	}
	for _, c := range all {
		if c.publicKey() != publicKey || !v.valid(c) {
			continue
		}
		if err := v.Revoke(ctx, mount, c); err != nil {
			return revoked, err
		}
		revoked = append(revoked, c.Serial)
	}
	return revoked, nil
}
