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
	"os"
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
	key, err = keyPEM(private)
	return certificate, key, err
}

func keyPEM(private *ecdsa.PrivateKey) (string, error) {
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), nil
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

// issueClient makes a client's certificate, or returns the one that is there: another process that uses a detached
// server may be reading its files.
func (a *authority) issueClient(dir, commonName string) (Certificate, error) {
	// A common name may hold any character; a file name may not.
	sum := sha256.Sum256([]byte(commonName))
	base := filepath.Join(dir, "client-"+hex.EncodeToString(sum[:8]))
	c := Certificate{CertFile: base + ".crt", KeyFile: base + ".key"}
	// The key is written last.
	key, err := os.ReadFile(c.KeyFile)
	if err == nil {
		certificate, err := os.ReadFile(c.CertFile)
		c.CertPEM, c.KeyPEM = string(certificate), string(key)
		return c, err
	}
	if !errors.Is(err, os.ErrNotExist) {
		return Certificate{}, err
	}
	if c.CertPEM, c.KeyPEM, err = a.issue(CertificateRequest{CommonName: commonName}.template()); err != nil {
		return Certificate{}, err
	}
	if err := writePrivate(c.CertFile, c.CertPEM); err != nil {
		return Certificate{}, err
	}
	return c, writePrivate(c.KeyFile, c.KeyPEM)
}

// save and load keep the authority of a detached server, so that another process can issue certificates.
func (a *authority) save(file string) error {
	key, err := keyPEM(a.key)
	if err != nil {
		return err
	}
	return writePrivate(file, a.pem+key)
}

func loadAuthority(file string) (*authority, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	certificate, rest := pem.Decode(text)
	key, _ := pem.Decode(rest)
	if certificate == nil || key == nil {
		return nil, errors.New("the record of the detached server is damaged")
	}
	a := &authority{pem: string(pem.EncodeToMemory(certificate))}
	if a.certificate, err = x509.ParseCertificate(certificate.Bytes); err != nil {
		return nil, err
	}
	private, err := x509.ParsePKCS8PrivateKey(key.Bytes)
	if err != nil {
		return nil, err
	}
	var ok bool
	if a.key, ok = private.(*ecdsa.PrivateKey); !ok {
		return nil, errors.New("the record of the detached server holds another kind of key")
	}
	return a, nil
}
