package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
)

// The demo's mounts, by the names that the module vault-pki gives them too.
const (
	pkiMount   = "pki"
	storeMount = "brownie"
)

// startVault starts a Vault that signs clients for a server: an authority below the server's own, and a role for the
// applications of all tenants, also of those that somebody adds to the demo.
func startVault(ctx context.Context, options devstack.Options, server *devstack.Postgres) (*devstack.Vault, error) {
	v, err := devstack.StartVault(ctx, options)
	if err != nil {
		return nil, err
	}
	pki := map[string]any{"type": "pki", "config": map[string]any{"max_lease_ttl": "8760h"}}
	store := map[string]any{"type": "kv", "options": map[string]any{"version": "2"}}
	if _, err = v.Do(ctx, http.MethodPost, "sys/mounts/"+pkiMount, pki); err == nil {
		_, err = v.Do(ctx, http.MethodPost, "sys/mounts/"+storeMount, store)
	}
	if err == nil {
		err = v.MakeAuthority(ctx, server, pkiMount)
	}
	if err == nil {
		err = v.MakeApplicationsRole(ctx, pkiMount)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("vault cannot be prepared: %w", err), v.Stop(context.WithoutCancel(ctx)))
	}
	return v, nil
}

// fetchSecret writes a client's key and certificate from Vault into a folder, as Vault Agent does for an application.
func fetchSecret(ctx context.Context, options devstack.Options, d demo, client string) error {
	v, err := devstack.StartVault(ctx, options) // The demo's settings name it.
	if err != nil {
		return err
	}
	secret, err := v.Do(ctx, http.MethodGet, storeMount+"/data/clients/"+client, nil)
	if err != nil {
		return err
	}
	fields, _ := secret["data"].(map[string]any)
	files := map[string]string{}
	for _, name := range []string{"tls.key", "tls.crt", "ca.crt"} {
		text, ok := fields[name].(string)
		if !ok {
			return fmt.Errorf("%s/clients/%s has no field %s", storeMount, client, name)
		}
		files[name] = text
	}
	return d.writeClient(client, files)
}
