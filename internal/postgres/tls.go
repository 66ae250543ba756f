package postgres

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"strings"
)

// tlsFiles are the certificates of a [Config], read and parsed. They exist in memory only.
type tlsFiles struct {
	roots  *x509.CertPool // nil means the operating system's
	client []tls.Certificate
	rooted bool // whether sslrootcert was given
}

func (c Config) loadTLS() (tlsFiles, error) {
	var files tlsFiles
	if c.SSLMode == "disable" {
		return files, nil
	}
	if c.SSLRootCert != "" {
		files.rooted = true
		if c.SSLRootCert != "system" {
			pem, err := PEMOrFile("sslrootcert", c.SSLRootCert)
			if err != nil {
				return files, err
			}
			files.roots = x509.NewCertPool()
			if !files.roots.AppendCertsFromPEM(pem) {
				return files, &ConfigError{"sslrootcert", "holds no PEM certificate"}
			}
		}
	}
	if c.SSLCert != "" {
		cert, err := PEMOrFile("sslcert", c.SSLCert)
		if err != nil {
			return files, err
		}
		key, err := PEMOrFile("sslkey", c.SSLKey)
		if err != nil {
			return files, err
		}
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			// The error of crypto/tls never contains the key, only what is wrong with it.
			return files, &ConfigError{"sslcert", "and sslkey are not a usable pair of certificate and unencrypted key: " +
				strings.TrimPrefix(err.Error(), "tls: ")}
		}
		files.client = []tls.Certificate{pair}
	}
	return files, nil
}

// PEMOrFile returns the value itself when it is PEM text, else the contents of the file that it names.
func PEMOrFile(attribute, value string) ([]byte, error) {
	if strings.Contains(value, "-----BEGIN ") {
		return []byte(value), nil
	}
	pem, err := os.ReadFile(value)
	if err != nil {
		var path *os.PathError
		if errors.As(err, &path) {
			err = path.Err
		}
		// The path is left out of the message: a value that was meant to be PEM but is damaged would be shown whole.
		return nil, &ConfigError{attribute, "is neither PEM text nor the path of a readable file (" + err.Error() + ")"}
	}
	return pem, nil
}

// attempts returns the TLS settings to try for a host, in order; nil means without TLS. The meaning of each mode is
// libpq's (PostgreSQL manual, section 32.19.3).
func (f tlsFiles) attempts(mode, host string) []*tls.Config {
	if isSocket(host) {
		return []*tls.Config{nil}
	}
	base := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: f.roots, Certificates: f.client, ServerName: host}
	base.NextProtos = []string{"postgresql"} // what a server wants to see when TLS is spoken from the first byte
	unverified := base.Clone()
	unverified.InsecureSkipVerify = true // What the modes below verify-ca mean; the default mode is verify-full.
	switch mode {
	case "disable":
		return []*tls.Config{nil}
	case "allow":
		return []*tls.Config{nil, unverified}
	case "prefer":
		return []*tls.Config{unverified, nil}
	case "verify-full":
		return []*tls.Config{base}
	case "require":
		if !f.rooted {
			return []*tls.Config{unverified}
		}
	}
	// verify-ca, and require with a root certificate: the chain is verified, the host name is not.
	unverified.VerifyConnection = func(state tls.ConnectionState) error {
		options := x509.VerifyOptions{Roots: f.roots, Intermediates: x509.NewCertPool()}
		for _, certificate := range state.PeerCertificates[1:] {
			options.Intermediates.AddCert(certificate)
		}
		_, err := state.PeerCertificates[0].Verify(options)
		return err
	}
	return []*tls.Config{unverified}
}
