package devstack

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"path/filepath"
	"time"
)

// Certificate is a certificate and its private key, as PEM text and as files that only the calling user can read.
type Certificate struct {
	CertPEM, KeyPEM   string
	CertFile, KeyFile string
}

// authority is a certificate authority that lives as long as its server.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         string
}

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "devstack"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	a := &authority{certificate: template, key: key}
	a.pem, a.certificate, err = a.sign(template, &key.PublicKey)
	return a, err
}

// sign fills in what all certificates have, and signs.
func (a *authority) sign(template *x509.Certificate, public any) (text string, parsed *x509.Certificate, err error) {
	template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return "", nil, err
	}
	if template.NotBefore.IsZero() {
		template.NotBefore = time.Now().Add(-time.Hour) // for clocks of containers that differ a little
	}
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().AddDate(0, 0, 30)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, public, a.key)
	if err != nil {
		return "", nil, err
	}
	parsed, err = x509.ParseCertificate(der)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), parsed, err
}

func (a *authority) issue(template *x509.Certificate) (certificate, key string, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	certificate, _, err = a.sign(template, &private.PublicKey)
	if err != nil {
		return "", "", err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	return certificate, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), err
}

// serverFiles are the files that a server on this machine shows its clients and checks them with: "ca.crt", and a
// certificate and key of that name.
func (a *authority) serverFiles(name string) (map[string]string, error) {
	certificate, key, err := a.issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		KeyUsage:    x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	return map[string]string{"ca.crt": a.pem, name + ".crt": certificate, name + ".key": key}, err
}

// issueClient makes a client's certificate.
func (a *authority) issueClient(dir, commonName string) (c Certificate, err error) {
	// A common name may hold any character; a file name may not.
	sum := sha256.Sum256([]byte(commonName))
	base := filepath.Join(dir, "client-"+hex.EncodeToString(sum[:8]))
	c.CertFile, c.KeyFile = base+".crt", base+".key"
	if c.CertPEM, c.KeyPEM, err = a.issue(CertificateRequest{CommonName: commonName}.template()); err != nil {
		return Certificate{}, err
	}
	return c, errors.Join(writePrivate(c.CertFile, c.CertPEM), writePrivate(c.KeyFile, c.KeyPEM))
}
