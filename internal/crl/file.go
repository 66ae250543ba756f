package crl

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2"
)

// File is a file of revocation lists that a server reads, such as PostgreSQL's ssl_crl_file.
type File struct {
	Path string
	// Authorities is the path of a PEM file with the authorities that the server trusts, its ssl_ca_file.
	Authorities string
	// Mounts are URLs of Vault's PKI mounts, such as https://vault.example:8200/v1/pki. All their issuers count, so that a new
	// authority beside the old one needs no other settings.
	Mounts []string
	// Issuers are where the certificates of the authorities below those are, in PEM: URLs, or paths of files.
	Issuers []string
	// Lists are where the lists are, in PEM or DER: URLs, or paths of files.
	Lists []string
	// Client asks for what is at URLs.
	Client *http.Client
	// Now is the time; nil means the clock of this machine.
	Now func() time.Time
}

func (f *File) now() time.Time {
	if f.Now == nil {
		return time.Now()
	}
	return f.Now()
}

// Refresh fetches the lists and replaces the file when they differ from what it holds. A server checks the whole chain of a
// certificate, and refuses it when the list of one of its authorities is missing or has expired (OpenSSL,
// X509_V_FLAG_CRL_CHECK_ALL); so the file is replaced only by lists of all authorities, that those signed, that hold, and
// that are not older than those in the file. What the file has of other authorities stays until it expires. Refresh returns
// the lists that the file holds in the end, also beside an error.
func (f *File) Refresh(ctx context.Context) (lists []List, changed bool, err error) {
	before, text := f.held()
	lists, err = f.fetch(ctx, before)
	if err != nil {
		return before, false, err
	}
	var wanted bytes.Buffer
	for _, list := range lists {
		wanted.Write(list.pem())
	}
	if bytes.Equal(wanted.Bytes(), text) {
		return lists, false, nil
	}
	if err := renameio.WriteFile(f.Path, wanted.Bytes(), 0o644, renameio.WithStaticPermissions(0o644)); err != nil {
		return before, false, err
	}
	return lists, true, nil
}

// held is what the file holds. One that is missing, or damaged, holds nothing.
func (f *File) held() ([]List, []byte) {
	text, err := os.ReadFile(f.Path)
	if err != nil || len(text) == 0 {
		return nil, nil
	}
	lists, err := parse(text)
	if err != nil {
		return nil, nil
	}
	return lists, text
}

// fetch gets a list for each authority, ordered by the authorities' names.
func (f *File) fetch(ctx context.Context, before []List) ([]List, error) {
	var issuers, sources []string
	for _, mount := range f.Mounts {
		some, lists, err := f.mount(ctx, strings.TrimRight(mount, "/"))
		if err != nil {
			return nil, err
		}
		issuers, sources = append(issuers, some...), append(sources, lists...)
	}
	authorities, err := f.authorities(ctx, issuers)
	if err != nil {
		return nil, err
	}
	all, err := f.listsAt(ctx, f.Lists)
	if err != nil {
		return nil, err
	}
	for _, list := range all {
		if list.isDelta() {
			return nil, fmt.Errorf("the list of %s is a delta list, with which the server would accept what was revoked before: "+
				"name the complete one", list.Issuer)
		}
		if !slices.ContainsFunc(authorities, list.signedBy) {
			return nil, fmt.Errorf("the list of %s is signed by none of the authorities, so that the server would not get the lists "+
				"that belong to it. Name the mount (-mount), or where that authority's certificate is (-issuers)", list.Issuer)
		}
	}
	found, err := f.listsAt(ctx, sources)
	if err != nil {
		return nil, err
	}
	all = append(all, found...)
	var chosen []List
	for _, authority := range authorities {
		list, err := newest(all, authority)
		if err != nil {
			return nil, err
		}
		if !list.NextUpdate.After(f.now()) {
			return nil, fmt.Errorf("the list of %s expired at %s: its authority must make a new one (in Vault: set auto_rebuild in "+
				"<mount>/config/crl, or read <mount>/crl/rotate)",
				list.Issuer, list.NextUpdate.Format(time.RFC3339))
		}
		if older := slices.IndexFunc(before, func(b List) bool {
			return b.signedBy(authority) &&
				b.ThisUpdate.After(list.ThisUpdate)
		}); older >= 0 {
			return nil, fmt.Errorf("the list of %s is of %s, older than the one in %s, of %s: somebody may be replaying it. If its "+
				"authority was restored "+
				"from a backup, delete the file and start again", list.Issuer, list.ThisUpdate.Format(time.RFC3339),
				f.Path, before[older].ThisUpdate.Format(time.RFC3339))
		}
		// Authorities with the same key have the same list.
		if !slices.ContainsFunc(chosen, func(c List) bool { return bytes.Equal(c.parsed.Raw, list.parsed.Raw) }) {
			chosen = append(chosen, list)
		}
	}
	for _, list := range before {
		if !slices.ContainsFunc(authorities, list.signedBy) && list.NextUpdate.After(f.now()) {
			chosen = append(chosen, list)
		}
	}
	return chosen, nil
}

// listsAt reads the lists that are at some sources.
func (f *File) listsAt(ctx context.Context, sources []string) ([]List, error) {
	var all []List
	for _, source := range sources {
		text, err := f.read(ctx, source)
		if err != nil {
			return nil, err
		}
		some, err := parse(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", source, err)
		}
		all = append(all, some...)
	}
	return all, nil
}

// mount tells where the issuers of a Vault mount are, and the lists of those that it has the keys of.
func (f *File) mount(ctx context.Context, address string) (issuers, lists []string, err error) {
	text, err := f.read(ctx, address+"/issuers?list=true")
	if err != nil {
		return nil, nil, fmt.Errorf("%s cannot be asked for its issuers; it must be the URL of a PKI mount of Vault's, such as "+
			"https://vault.example:8200/v1/pki: %w", address, err)
	}
	var answer struct {
		Data struct {
			Keys []string `json:"keys"`
			Info map[string]struct {
				Key string `json:"key_id"`
			} `json:"key_info"`
		} `json:"data"`
	}
	if err := json.Unmarshal(text, &answer); err != nil || len(answer.Data.Keys) == 0 {
		return nil, nil, fmt.Errorf("%s has no issuer, or is no PKI mount of Vault's", address)
	}
	for _, id := range answer.Data.Keys {
		issuers = append(issuers, address+"/issuer/"+id+"/pem")
		if answer.Data.Info[id].Key != "" {
			lists = append(lists, address+"/issuer/"+id+"/crl/pem")
		}
	}
	return issuers, lists, nil
}

// newest is the list of an authority.
func newest(all []List, authority *x509.Certificate) (List, error) {
	var found *List
	for i, list := range all {
		if list.signedBy(authority) && (found == nil || list.ThisUpdate.After(found.ThisUpdate)) {
			found = &all[i]
		}
	}
	if found == nil {
		return List{}, fmt.Errorf("no source has a list that %s signed: with a file that lacks it, the server would refuse all its "+
			"certificates",
			authority.Subject)
	}
	return *found, nil
}

// authorities are those that the server trusts, and those below them, but for what has expired with all that it signed. Of
// those that were found in a mount, the server may trust none; those that were named must be trusted.
func (f *File) authorities(ctx context.Context, found []string) ([]*x509.Certificate, error) {
	trusted, err := f.certificatesAt(ctx, f.Authorities)
	if err != nil {
		return nil, err
	}
	named, err := f.certificatesAt(ctx, f.Issuers...)
	if err != nil {
		return nil, err
	}
	others, err := f.certificatesAt(ctx, found...)
	if err != nil {
		return nil, err
	}
	all := slices.Concat(trusted, named, others)
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range trusted {
		roots.AddCert(c)
	}
	for _, c := range all {
		between.AddCert(c)
	}
	unfit := map[*x509.Certificate]bool{}
	for _, c := range all {
		_, err := c.Verify(x509.VerifyOptions{
			Roots: roots, Intermediates: between, CurrentTime: f.now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
		})
		expired := !c.NotAfter.After(f.now())
		if err != nil && !expired && slices.ContainsFunc(named, c.Equal) {
			return nil, fmt.Errorf("%s is no authority that %s leads to: %w", c.Subject, f.Authorities, err)
		}
		unfit[c] = expired || err != nil
	}
	all = slices.DeleteFunc(all, func(c *x509.Certificate) bool { return unfit[c] })
	if len(all) == 0 {
		return nil, fmt.Errorf("all authorities in %s have expired", f.Authorities)
	}
	slices.SortFunc(all, func(a, b *x509.Certificate) int {
		return strings.Compare(a.Subject.String()+a.SerialNumber.String(), b.Subject.String()+b.SerialNumber.String())
	})
	return slices.CompactFunc(all, (*x509.Certificate).Equal), nil
}

// certificatesAt reads the certificates that are at some sources. Each must have one.
func (f *File) certificatesAt(ctx context.Context, sources ...string) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for _, source := range sources {
		text, err := f.read(ctx, source)
		if err != nil {
			return nil, err
		}
		some, err := certificatesIn(text)
		if err == nil && len(some) == 0 {
			err = errors.New("it holds no certificate in PEM; in texts that were put together, each must begin on a line of its own")
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", source, err)
		}
		all = append(all, some...)
	}
	return all, nil
}

// certificatesIn reads the certificates of a PEM text, one after the other.
func certificatesIn(text []byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return nil, errors.New("it is no certificate in PEM")
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

// maxFetched bounds what is read from a source: a list with a million entries has about 40 MB.
const maxFetched = 64 << 20

// read gets what is at a URL, or in a file.
func (f *File) read(ctx context.Context, source string) ([]byte, error) {
	if !strings.Contains(source, "://") {
		return os.ReadFile(source)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, source, http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := f.Client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", source, resp.Status)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxFetched+1))
	if err == nil && len(text) > maxFetched {
		err = fmt.Errorf("%s has more than %d bytes", source, maxFetched)
	}
	return text, err
}
