package pki

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Certificate is a certificate that a mount has issued.
type Certificate struct {
	// Serial is the number as Vault writes it: bytes in lower-case hexadecimal with colons between them.
	Serial string
	// PEM is the certificate, and Chain those of its issuers, the next one first, as far as Vault has them.
	PEM   string
	Chain []string

	CommonName            string
	DNSNames, IPAddresses []string
	NotBefore, NotAfter   time.Time
	// RevokedAt is nil for a certificate that is not revoked.
	RevokedAt *time.Time

	parsed *x509.Certificate
}

// parseCertificate reads PEM text.
func parseCertificate(text string) (Certificate, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" {
		return Certificate{}, errors.New("it is no certificate in PEM")
	}
	parsed, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return Certificate{}, err
	}
	c := Certificate{
		Serial: serial(parsed.SerialNumber.Bytes()), PEM: string(pem.EncodeToMemory(block)), CommonName: parsed.Subject.CommonName,
		DNSNames: parsed.DNSNames, NotBefore: parsed.NotBefore.UTC(), NotAfter: parsed.NotAfter.UTC(), parsed: parsed,
	}
	for _, address := range parsed.IPAddresses {
		c.IPAddresses = append(c.IPAddresses, address.String())
	}
	return c, nil
}

// parseCertificates reads the certificates of a PEM text, one after the other.
func parseCertificates(text string) ([]Certificate, error) {
	var all []Certificate
	for block, rest := pem.Decode([]byte(text)); block != nil; block, rest = pem.Decode(rest) {
		c, err := parseCertificate(string(pem.EncodeToMemory(block)))
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

func serial(number []byte) string {
	bytes := make([]string, len(number))
	for i, b := range number {
		bytes[i] = hex.EncodeToString([]byte{b})
	}
	return strings.Join(bytes, ":")
}

// Fingerprint is the SHA-256 of the certificate, in hexadecimal.
func (c Certificate) Fingerprint() string { return digest(c.parsed.Raw) }

// Lifetime is how long the certificate holds.
func (c Certificate) Lifetime() time.Duration { return c.NotAfter.Sub(c.NotBefore) }

func digest(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

// ChainPEM is the chain as one text.
func (c Certificate) ChainPEM() string { return join(c.Chain) }

// bundle is the certificate with what a server needs to reach a root that it knows: all but the root itself.
func (c Certificate) bundle() string {
	texts := []string{c.PEM}
	for _, text := range c.Chain {
		if issuer, err := parseCertificate(text); err == nil && !issuer.isRoot() {
			texts = append(texts, text)
		}
	}
	return join(texts)
}

// authority is what others check the certificate with: the roots of the chain, or all of it when Vault has no root.
func (c Certificate) authority() string {
	var roots []string
	for _, text := range c.Chain {
		if issuer, err := parseCertificate(text); err == nil && issuer.isRoot() {
			roots = append(roots, text)
		}
	}
	if len(roots) == 0 {
		roots = c.Chain
	}
	return join(roots)
}

func (c Certificate) isRoot() bool { return c.parsed.CheckSignatureFrom(c.parsed) == nil }

// issuedBy tells whether an authority signed the certificate.
func (c Certificate) issuedBy(authority Certificate) bool {
	return c.parsed.CheckSignatureFrom(authority.parsed) == nil
}

// hasNames tells whether the certificate has the alternative names that were asked for, and no others but its common name.
func (c Certificate) hasNames(r Request) bool {
	names := func(all []string) []string {
		all = slices.DeleteFunc(slices.Clone(all), func(name string) bool { return strings.EqualFold(name, c.CommonName) })
		return CanonicalNames(all)
	}
	return slices.Equal(names(c.DNSNames), names(r.DNSNames)) && slices.Equal(names(c.IPAddresses), names(r.IPAddresses))
}

// CanonicalNames returns names and IP addresses so that those that mean the same are equal: in lower case, each address in one
// spelling, sorted, and each once.
func CanonicalNames(all []string) []string {
	canonical := make([]string, len(all))
	for i, name := range all {
		if address := net.ParseIP(name); address != nil {
			name = address.String()
		}
		canonical[i] = strings.ToLower(name)
	}
	slices.Sort(canonical)
	return slices.Compact(canonical)
}

// keyType is the kind of the certificate's key, as in [KeyTypes].
func (c Certificate) keyType() string {
	switch key := c.parsed.PublicKey.(type) {
	case *ecdsa.PublicKey:
		return "ecdsa-p" + strconv.Itoa(key.Params().BitSize)
	case *rsa.PublicKey:
		return "rsa-" + strconv.Itoa(key.N.BitLen())
	case ed25519.PublicKey:
		return "ed25519"
	}
	return ""
}

// keyType is the kind of key that is asked for.
func (r Request) keyType() string { return cmp.Or(r.KeyType, DefaultKeyType) }

func join(texts []string) string {
	var all strings.Builder
	for _, text := range texts {
		all.WriteString(strings.TrimSpace(text) + "\n")
	}
	return all.String()
}

// keyTypes make a new key each.
var keyTypes = map[string]func() (crypto.Signer, error){
	"ecdsa-p256": func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) },
	"ecdsa-p384": func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P384(), rand.Reader) },
	"ed25519": func() (crypto.Signer, error) {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	},
	"rsa-2048": func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 2048) },
	"rsa-3072": func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 3072) },
	"rsa-4096": func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 4096) },
}

// DefaultKeyType is that of a key for which none is chosen.
const DefaultKeyType = "ecdsa-p256"

// KeyTypes are the kinds of keys that can be made.
func KeyTypes() []string { return slices.Sorted(maps.Keys(keyTypes)) }

// Key is a private key, which never leaves memory but by [Key.PEM].
type Key struct{ private crypto.Signer }

// newKey makes a key of one of [KeyTypes]; an empty kind is [DefaultKeyType].
func newKey(kind string) (Key, error) {
	if kind == "" {
		kind = DefaultKeyType
	}
	private, err := keyTypes[kind]()
	return Key{private}, err
}

// PEM is the key in PKCS #8 (RFC 5958).
func (k Key) PEM() (string, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k.private)
	if err != nil {
		return "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), nil
}

// String keeps the key out of texts that show a structure whole.
func (Key) String() string { return "(a private key)" }

// GoString is as String.
func (k Key) GoString() string { return k.String() }

// csr is a certificate signing request (RFC 2986) for the key.
func (k Key) csr(r Request) (string, error) {
	template := &x509.CertificateRequest{Subject: pkix.Name{CommonName: r.CommonName}, DNSNames: r.DNSNames}
	for _, address := range r.IPAddresses {
		template.IPAddresses = append(template.IPAddresses, net.ParseIP(address))
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, k.private)
	if err != nil {
		return "", fmt.Errorf("cannot make a certificate signing request for %s: %w", r.CommonName, err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})), nil
}

// parseCSR reads a certificate signing request in PEM.
func parseCSR(text string) (*x509.CertificateRequest, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE REQUEST" && block.Type != "NEW CERTIFICATE REQUEST" {
		return nil, errNoCSR
	}
	return x509.ParseCertificateRequest(block.Bytes)
}

var errNoCSR = errors.New("is no certificate signing request in PEM")

// CSRCommonName is the common name that a certificate signing request asks for, empty when it asks for none or is damaged.
func CSRCommonName(text string) string {
	request, err := parseCSR(text)
	if err != nil {
		return ""
	}
	return request.Subject.CommonName
}

// CheckCSR says what is wrong with a certificate signing request, or nothing.
func CheckCSR(text string) string {
	if strings.Contains(text, "PRIVATE KEY") {
		return "holds a private key, which does not belong there"
	}
	request, err := parseCSR(text)
	if errors.Is(err, errNoCSR) {
		return err.Error()
	}
	if err == nil {
		err = request.CheckSignature()
	}
	if err != nil {
		return "is damaged (" + err.Error() + ")"
	}
	return ""
}
