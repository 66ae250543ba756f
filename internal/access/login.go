package access

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// Login is what became of an attempt to log in.
type Login struct {
	LoggedIn bool
	// Problem says why it failed; it is empty otherwise.
	Problem    string
	TLSVersion string
	Session
}

// Session is what the server says about the session.
type Session struct {
	SessionUser string `db:"session_user"`
	// OrganizationID is the tenant whose rows the session sees; nil when there is none.
	OrganizationID *string `db:"organization_id"`
	// Access is the level of the role's binding, or nil when it is not bound.
	Access     *string `db:"access"`
	AllTenants bool    `db:"all_tenants"`
}

// The search_path is not pinned here, so that every name is qualified.
const sessionSQL = `
	SELECT session_user::pg_catalog.text AS session_user, b.organization_id, b.access, coalesce(b.all_tenants, false) AS all_tenants
	FROM (SELECT) AS always LEFT JOIN brownie.current_binding b ON true`

// ProveLogin logs in for real, to a database or a pooler. That the login is refused is a result and no error; an error
// says that nothing could be tried, or that the session could not be asked.
func ProveLogin(ctx context.Context, config postgres.Config) (Login, error) {
	// Connecting has a timeout of its own; a session that hangs must end, too.
	ctx, cancel := context.WithTimeout(ctx, config.ConnectTimeout*time.Duration(1+strings.Count(config.Host, ","))+10*time.Second)
	defer cancel()
	session, tlsVersion, err := postgres.Login[Session](ctx, config, sessionSQL)
	if postgres.Unreachable(err) {
		told := err.Error()
		var refused *postgres.ServerError
		if errors.As(err, &refused) {
			told = refused.Text() // the remedy is for the provider's own login
		}
		return Login{Problem: told}, nil
	}
	if err != nil {
		return Login{}, err
	}
	return Login{LoggedIn: true, TLSVersion: tlsVersion, Session: session}, nil
}
