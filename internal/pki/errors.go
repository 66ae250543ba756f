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

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
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

// Error is a failed request, worded for people. [errors.Is] finds [postgres.ErrNotFound] in one of class [Missing].
type Error struct {
	Class  Class
	Doing  string
	Cause  string
	Remedy string
	unsent bool // whether Vault certainly did nothing
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
	if e.Class == Missing {
		return postgres.ErrNotFound
	}
	return e.err
}

func isClass(err error, class Class) bool {
	var failed *Error
	return errors.As(err, &failed) && failed.Class == class
}

// explain words what the library says. Its own text repeats the URL and the status, and for a damaged address the value.
func (v *Vault) explain(client *api.Client, r request, err error) error {
	e := &Error{Doing: r.doing, err: err}
	var answered *api.ResponseError
	if !errors.As(err, &answered) {
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("vault was asked to %s: %w", r.doing, err)
		}
		e.unsent = notSent(err)
		e.Class, e.Cause = Unreachable, fmt.Sprintf("%s does not answer (%s)", client.Address(), innermost(err))
		e.Remedy = "Check vault.address, that Vault runs there, and vault.ca_cert, and apply again"
		return e
	}
	e.Cause = strings.Join(answered.Errors, "; ")
	switch answered.StatusCode {
	case http.StatusForbidden:
		e.Class = Permission
		e.Cause = "permission denied"
		e.Remedy = fmt.Sprintf("The token may have expired, its policies may lack the capability %q on %s, or there is no such mount or role: Vault answers "+
			"all of these alike", r.verb, r.path)
		if strings.Contains(r.path, "/login") {
			e.Cause = strings.Join(answered.Errors, "; ")
			e.Remedy = "Check the role's bound claims and audiences, and that the token is not expired"
		}
	case http.StatusNotFound:
		e.Class = Missing
		if e.Cause == "" {
			e.Cause = "there is nothing at " + r.path
		}
		e.Remedy = "Check the mount and the name"
	case http.StatusTooManyRequests:
		e.Class, e.Cause = RateLimited, "it answers no more requests for now (a rate limit quota)"
		e.Remedy = "Apply again later, with a smaller -parallelism, or raise the quota"
	case http.StatusServiceUnavailable:
		e.Class, e.Cause = Sealed, "it is sealed, or not the active node of its cluster"
		e.Remedy = "Unseal it (vault operator unseal), and apply again"
	case http.StatusBadRequest:
		e.Class = Refused
		switch {
		case strings.Contains(e.Cause, "check-and-set"):
			e.Class, e.Remedy = Conflict, "Somebody else has written there meanwhile: plan again"
		case strings.Contains(r.path, "/sign/"):
			e.Remedy = "Correct the argument, or what the role allows"
		}
	default:
		if e.Cause == "" {
			e.Cause = fmt.Sprintf("status %d", answered.StatusCode)
		}
		e.Remedy = "Look into Vault's log, and apply again"
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
