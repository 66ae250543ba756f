package devstack

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
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

// ErrForeignServer says why certificates and poolers cannot be had.
var ErrForeignServer = errors.New("the server was not started by devstack, so that its certificate authority can sign no certificate: " +
	"unset BROWNIE_POSTGRES_URL")

// Certificate is a certificate and its private key, as PEM text and as files that only the calling user can read.
type Certificate struct {
	CertPEM, KeyPEM   string
	CertFile, KeyFile string
}

// Authority is a certificate authority for tests. A server's lives as long as the server.
type Authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         string
}

// NewAuthority makes one.
func NewAuthority() (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "devstack"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	a := &Authority{certificate: template, key: key}
	a.pem, a.certificate, err = a.sign(template, &key.PublicKey)
	return a, err
}

// sign fills in what all certificates have, and signs.
func (a *Authority) sign(template *x509.Certificate, public any) (text string, parsed *x509.Certificate, err error) {
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

// PEM is the authority's certificate.
func (a *Authority) PEM() string { return a.pem }

// Issue signs a certificate as the template says, for a new key. It returns both in PEM.
func (a *Authority) Issue(template *x509.Certificate) (certificate, key string, err error) {
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

// serverFiles are the files that a server on this machine shows its clients and checks them with.
func (a *Authority) serverFiles() (map[string]string, error) {
	certificate, key, err := a.Issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		KeyUsage:    x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	return map[string]string{"ca.crt": a.pem, "server.crt": certificate, "server.key": key}, err
}

// CertificateRequest describes a client certificate, odd ones included, for [Postgres.IssueCertificate].
type CertificateRequest struct {
	// CommonName may hold any character.
	CommonName string
	// NotBefore and NotAfter are the certificate's lifetime. Zero means an hour ago, and in 30 days.
	NotBefore, NotAfter time.Time
	// DNSNames are alternative names of the subject.
	DNSNames []string
	// ForeignCA has the certificate signed by an authority that the server does not know.
	ForeignCA bool
	// ServerUsage makes it a certificate for servers, which must not do for a client.
	ServerUsage bool
}

func (r CertificateRequest) template() *x509.Certificate {
	usage := x509.ExtKeyUsageClientAuth
	if r.ServerUsage {
		usage = x509.ExtKeyUsageServerAuth
	}
	return &x509.Certificate{
		Subject: pkix.Name{CommonName: r.CommonName}, DNSNames: r.DNSNames, NotBefore: r.NotBefore, NotAfter: r.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{usage},
	}
}

// ClientCertificate returns a certificate that the server trusts for the role of that name; the same one each time.
func (p *Postgres) ClientCertificate(commonName string) (Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if known, ok := p.certificates[commonName]; ok {
		return known, nil
	}
	certificate, err := p.IssueCertificate(CertificateRequest{CommonName: commonName})
	if err == nil {
		p.certificates[commonName] = certificate
	}
	return certificate, err
}

// IssueCertificate makes a new client certificate.
func (p *Postgres) IssueCertificate(r CertificateRequest) (Certificate, error) {
	if p.ca == nil {
		return Certificate{}, ErrForeignServer
	}
	ca := p.ca
	if r.ForeignCA {
		var err error
		if ca, err = NewAuthority(); err != nil {
			return Certificate{}, err
		}
	}
	template := r.template()
	certificate, key, err := ca.Issue(template)
	if err != nil {
		return Certificate{}, err
	}
	// The serial number is unique, whatever the names are.
	base := filepath.Join(p.process.dir, "issued-"+hex.EncodeToString(template.SerialNumber.Bytes()))
	c := Certificate{CertPEM: certificate, KeyPEM: key, CertFile: base + ".crt", KeyFile: base + ".key"}
	return c, errors.Join(writePrivate(c.CertFile, c.CertPEM), writePrivate(c.KeyFile, c.KeyPEM))
}

// SignAuthority signs a request of another authority, so that the server trusts whom that one signs. It returns PEM.
func (p *Postgres) SignAuthority(csr string) (string, error) {
	if p.ca == nil {
		return "", ErrForeignServer
	}
	block, _ := pem.Decode([]byte(csr))
	if block == nil {
		return "", errors.New("the signing request is no PEM")
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return "", err
	}
	text, _, err := p.ca.sign(&x509.Certificate{
		Subject: request.Subject, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}, request.PublicKey)
	return text, err
}

// RevocationList is a list (RFC 5280, section 5), in PEM, of what the server's authority has revoked, which is nothing.
func (p *Postgres) RevocationList(thisUpdate, nextUpdate time.Time) (string, error) {
	if p.ca == nil {
		return "", ErrForeignServer
	}
	return p.ca.RevocationList(thisUpdate, nextUpdate)
}

// RevocationList is a list, in PEM, of the certificates with these serial numbers.
func (a *Authority) RevocationList(thisUpdate, nextUpdate time.Time, serials ...*big.Int) (string, error) {
	list := &x509.RevocationList{Number: big.NewInt(thisUpdate.UnixNano()), ThisUpdate: thisUpdate, NextUpdate: nextUpdate}
	for _, serial := range serials {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: serial, RevocationTime: thisUpdate})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, a.certificate, a.key)
	return string(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})), err
}
