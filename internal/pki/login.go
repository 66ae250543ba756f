package pki

import (
	"context"
	"crypto/tls"
	"errors"
	"sync"
	"time"
)

// LoginCertificate is a certificate in memory that is made anew before it expires.
type LoginCertificate struct {
	vault   *Vault
	request Request

	mu      sync.Mutex
	current *tls.Certificate
	renewAt time.Time
	made    []Certificate
}

// LoginError is a login certificate that cannot be made. It hides its cause from [errors.Is]: that Vault lacks a mount must not
// be taken for
// the lack of what the database was to be asked for.
type LoginError struct{ Cause string }

func (e *LoginError) Error() string {
	return "the provider's own login certificate (vault.client_certificate) cannot be made: " + e.Cause
}

// LoginCertificate returns one that is made at the first use.
func (v *Vault) LoginCertificate(r Request) *LoginCertificate {
	return &LoginCertificate{vault: v, request: r}
}

// CommonName is whom the certificate is for.
func (l *LoginCertificate) CommonName() string { return l.request.CommonName }

// Get returns a certificate that holds for at least a third of its life.
func (l *LoginCertificate) Get(ctx context.Context) (*tls.Certificate, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.current != nil && l.vault.Now().Before(l.renewAt) {
		return l.current, nil
	}
	c, key, err := l.vault.Pair(ctx, l.request)
	if err != nil && l.current != nil && l.vault.Now().Before(l.current.Leaf.NotAfter) {
		return l.current, nil // Vault may be back before the one that is there expires.
	}
	if err != nil {
		return nil, &LoginError{err.Error()}
	}
	l.made = append(l.made, c)
	text, err := key.PEM()
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair([]byte(c.bundle()), []byte(text))
	if err != nil {
		return nil, err
	}
	l.current, l.renewAt = &pair, (Wanted{Request: l.request}).renewalDue(c)
	return l.current, nil
}

// Close revokes what was made. A later [LoginCertificate.Get] makes another one.
func (l *LoginCertificate) Close(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, c := range l.made {
		errs = append(errs, l.vault.Revoke(ctx, l.request.Mount, c))
	}
	l.current, l.made = nil, nil
	return errors.Join(errs...)
}
