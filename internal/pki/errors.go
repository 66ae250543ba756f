package pki

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/hashicorp/vault/api"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// ConfigError is an argument of the connection to Vault that cannot be used. It names the attribute in the provider
// block's vault.
type ConfigError struct {
	Attribute string
	Problem   string
}

func (e *ConfigError) Error() string { return "vault." + e.Attribute + " " + e.Problem }

// Class is a kind of failure, by what can be done about it.
type Class int

// The classes.
const (
	Unexpected  Class = iota
	Unreachable       // no answer; what was asked for may have been done, unless nothing was sent
	Sealed            // Vault runs and answers nothing until it is unsealed
	Permission        // the token may not do that, or is not valid any more
	Missing           // there is no such mount, role, certificate or secret
	RateLimited       // too many requests
	Conflict          // somebody else has written meanwhile
	Refused           // Vault does not do what was asked for, such as a name that a role does not allow
)

// Error is a failed request, worded for people. [errors.Is] finds [problem.ErrNotFound] in one that says that a certificate or
// secret does not exist, but not where the mount does not: then nobody knows what exists.
type Error struct {
	Class  Class
	Doing  string
	Cause  string
	Remedy string
	unsure bool // whether Vault may have done it all the same
	absent bool
	err    error
}

func (e *Error) Error() string {
	text := fmt.Sprintf("Vault cannot %s: %s", e.Doing, strings.TrimRight(e.Cause, ". \n"))
	if e.Remedy != "" {
		text += ". " + e.Remedy
	}
	return text
}

// Unwrap returns the cause, if it is one that others know.
func (e *Error) Unwrap() error {
	if e.absent {
		return problem.ErrNotFound
	}
	return e.err
}

// mayHaveHappened tells failures after which Vault may have done what it was asked for all the same.
func mayHaveHappened(err error) bool {
	var failed *Error
	if errors.As(err, &failed) {
		return failed.unsure
	}
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

func isClass(err error, class Class) bool {
	var failed *Error
	return errors.As(err, &failed) && failed.Class == class
}

// explain words what the library says. Its own text repeats the URL and the status, and for a damaged address the value.
func (v *Vault) explain(ctx context.Context, client *api.Client, r request, err error) error {
	e := &Error{Doing: r.doing, err: err}
	var answered *api.ResponseError
	if !errors.As(err, &answered) {
		if ctx.Err() != nil {
			return fmt.Errorf("vault was asked to %s: %w", r.doing, err)
		}
		e.unsure = !notSent(err)
		e.Class, e.Cause = Unreachable, fmt.Sprintf("%s does not answer (%s)", client.Address(), innermost(err))
		if errors.Is(err, context.DeadlineExceeded) {
			e.Cause = fmt.Sprintf("%s does not answer within %s", client.Address(), client.ClientTimeout())
		}
		e.Remedy = "Check vault.address, that Vault runs there, and vault.ca_cert, and apply again"
		return e
	}
	e.Cause = strings.Join(answered.Errors, "; ")
	switch answered.StatusCode {
	case http.StatusForbidden:
		e.Class = Permission
		e.Cause = "permission denied"
		e.Remedy = fmt.Sprintf("The token may have expired, its policies may lack the capability %q on %s, or there is no such "+
			"mount or role: Vault answers all of these alike", r.verb, r.path)
		if strings.Contains(r.path, "/login") {
			e.Cause = strings.Join(answered.Errors, "; ")
			e.Remedy = "Check the role's bound claims and audiences, and that the token is not expired"
		}
	case http.StatusNotFound:
		e.Class = Missing
		e.absent = e.Cause == ""
		if e.absent {
			e.Cause = "there is nothing at " + r.path
		}
		e.Remedy = "Check the mount, the namespace and the name. If the mount was removed on purpose, take what was in it out of " +
			"Terraform's state (terraform state rm)"
	case http.StatusTooManyRequests:
		e.Class, e.Cause = RateLimited, "it answers no more requests for now (a rate limit quota)"
		e.Remedy = "Apply again later, with a smaller -parallelism, or raise the quota"
	case http.StatusServiceUnavailable:
		if answered.RawError || len(answered.Errors) == 0 {
			e.Class, e.unsure = Unreachable, true
			e.Cause, e.Remedy = "what stands in front of it answers that it is unavailable", "Check the proxy, and apply again"
			break
		}
		e.Class, e.Cause = Sealed, "it is sealed, or not the active node of its cluster"
		e.Remedy = "Unseal it (vault operator unseal), and apply again"
	case http.StatusBadRequest:
		e.Class = Refused
		switch {
		case strings.Contains(e.Cause, "check-and-set"):
			e.Class, e.Remedy = Conflict, "Somebody else has written there meanwhile: plan again"
		case strings.Contains(e.Cause, "beyond the expiration of the CA"):
			e.Remedy = "Set ttl to less, or renew the authority, which expires before the certificate would"
		case strings.Contains(r.path, "/sign/"):
			e.Remedy = "Correct the argument, or what the role allows"
		}
	default:
		if e.Cause == "" {
			e.Cause = fmt.Sprintf("status %d", answered.StatusCode)
		}
		e.Remedy, e.unsure = "Look into Vault's log, and apply again", true
	}
	return e
}

// notSent tells a failure to connect.
func notSent(err error) bool {
	var dial *net.OpError
	return errors.As(err, &dial) && dial.Op == "dial"
}

// innermost is what happened, without the URL and the names of library functions around it.
func innermost(err error) string {
	var request *url.Error
	if errors.As(err, &request) {
		err = request.Err
	}
	var network *net.OpError
	if errors.As(err, &network) {
		err = network.Err
	}
	return err.Error()
}
