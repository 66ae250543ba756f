// Package crl keeps the file with certificate revocation lists that a PostgreSQL server reads: it fetches the lists from the
// authorities, checks them, replaces the file, and makes the server read it.
package crl

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"slices"
	"time"
)

// List is a certificate revocation list (RFC 5280, section 5).
type List struct {
	// Issuer is the subject of the authority that signed the list, and KeyID tells apart authorities of the same name, in hexadecimal.
	Issuer, KeyID string
	// ThisUpdate is when it was made. From NextUpdate on it has expired, and PostgreSQL refuses all certificates of the issuer.
	ThisUpdate, NextUpdate time.Time
	// Revoked is how many certificates it names.
	Revoked int

	parsed *x509.RevocationList
}

// parse reads lists in PEM, or one in DER.
func parse(text []byte) ([]List, error) {
	var ders [][]byte
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "X509 CRL" {
			ders = append(ders, block.Bytes)
		}
	}
	if len(ders) == 0 {
		ders = [][]byte{text}
	}
	var lists []List
	for _, der := range ders {
		parsed, err := x509.ParseRevocationList(der)
		if err != nil {
			return nil, fmt.Errorf("it is no certificate revocation list: %w", err)
		}
		lists = append(lists, List{
			Issuer: parsed.Issuer.String(), KeyID: hex.EncodeToString(parsed.AuthorityKeyId), ThisUpdate: parsed.ThisUpdate.UTC(),
			NextUpdate: parsed.NextUpdate.UTC(),
			Revoked:    len(parsed.RevokedCertificateEntries), parsed: parsed,
		})
	}
	return lists, nil
}

// isDelta tells whether the list has only what was revoked since another one (RFC 5280, section 5.2.4), which servers do not add up.
func (l List) isDelta() bool {
	return slices.ContainsFunc(l.parsed.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 27}) })
}

// signedBy tells whether an authority signed the list.
func (l List) signedBy(authority *x509.Certificate) bool {
	return l.parsed.CheckSignatureFrom(authority) == nil
}

func (l List) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: l.parsed.Raw})
}
