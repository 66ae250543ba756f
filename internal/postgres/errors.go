package postgres

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

var (
	// ErrNotFound says that no row matches.
	ErrNotFound = problem.ErrNotFound
	// ErrNotMigrated says that tables or columns are missing.
	ErrNotMigrated = errors.New("schema is not migrated: add a brownie_migration resource, let this one depend on it " +
		"(depends_on), and if a plan fails with this message, apply the migration alone first (terraform apply " +
		"-target=brownie_migration.NAME). If it was migrated, somebody has removed what is missing: the warning of brownie_migration " +
		"and drift of brownie_migration_status list all of that")
)

// SQLSTATEs (PostgreSQL manual, appendix A) that decide what happens next.
const (
	CodeUniqueViolation     = "23505"
	CodeForeignKeyViolation = "23503"

	codeProtocolViolation    = "08P01"
	codeSerializationFailure = "40001"
	codeDeadlockDetected     = "40P01"
	codeLockNotAvailable     = "55P03"
	codeUndefinedTable       = "42P01"
	codeUndefinedColumn      = "42703"
	codeInvalidSchemaName    = "3F000"
	codeInvalidAuthorization = "28000"
	codeInvalidPassword      = "28P01"
	codeInvalidCatalogName   = "3D000"
	codePrivilege            = "42501"
	codeTooManyConnections   = "53300"
	codeReadOnlyTransaction  = "25006"
	codeUntranslatable       = "22P05"
	codeInternalError        = "XX000"
	codeQueryCanceled        = "57014"
	codeAdminShutdown        = "57P01"
	codeCrashShutdown        = "57P02"
	codeCannotConnectNow     = "57P03"
)

// hiddenRows is the constraint that as_owner_block.sql names.
const hiddenRows = "hidden_rows"

// ServerError is what the server or the way to it answered, in words. It unwraps to the driver's error.
type ServerError struct{ *problem.Problem }

func serverError(text, remedy string, cause error) *ServerError {
	return &ServerError{problem.New(text, remedy).Because(cause)}
}

// Constraint returns the name of the constraint that the change violates and the SQLSTATE, or empty strings.
func Constraint(err error) (name, code string) {
	var server *pgconn.PgError
	if errors.As(err, &server) && server.ConstraintName != "" {
		return server.ConstraintName, server.Code
	}
	return "", ""
}

// Unreachable tells an error that came before any statement was sent, because no connection could be made.
func Unreachable(err error) bool {
	var connect *pgconn.ConnectError
	return errors.As(err, &connect)
}

// unsentError is that of a change of which nothing is left to be done by the server.
type unsentError struct{ error }

func (e unsentError) Unwrap() error { return e.error }

// SafeToRetry makes [Interrupted] false.
func (unsentError) SafeToRetry() bool { return true }

// Interrupted tells an error that leaves open whether a change was committed: the connection broke, or the caller gave
// up, after the statement had been sent.
func Interrupted(err error) bool {
	if err == nil || Unreachable(err) || pgconn.SafeToRetry(err) {
		return false
	}
	var server *pgconn.PgError
	if errors.As(err, &server) {
		// The server ends a session in the middle of a transaction (which then is rolled back) or right after it.
		return server.Code == codeAdminShutdown || server.Code == codeCrashShutdown
	}
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, pgconn.ErrConnClosed) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// refused tells that the server found something wrong with a change. Whoever cancels it means no item of it.
func refused(err error) bool {
	var server *pgconn.PgError
	return errors.As(err, &server) && server.Code != codeQueryCanceled && !Interrupted(err) && !Unreachable(err)
}

// RolledBack tells the errors after which the server has undone everything and the same change may be sent again.
func RolledBack(err error) bool {
	var server *pgconn.PgError
	if !errors.As(err, &server) || Unreachable(err) {
		return false
	}
	// "tuple concurrently updated": two changes of one row of a catalog, for example of a role, by different databases.
	// It has no SQLSTATE of its own, and its text depends on the server's language.
	if server.Code == codeInternalError {
		return server.Routine == "simple_heap_update" || server.Routine == "simple_heap_delete"
	}
	return slices.Contains([]string{codeSerializationFailure, codeDeadlockDetected, codeLockNotAvailable}, server.Code)
}

// sqlstate is the suffix that the driver appends to a server's message; people get words instead.
var sqlstate = regexp.MustCompile(` \(SQLSTATE \w{5}\)`)

// ofTenants finds the tables that only a login for all tenants can manage. A message may be in any language.
var ofTenants = regexp.MustCompile(
	`\b(organizations|organization_options|teams|users|agent_configs|configs|incidents|stats|role_bindings)\b`)

// Explain words an error for people. Row contents (the server's DETAIL) are left out: they may be secret.
func (db *DB) Explain(err error) error {
	if err == nil {
		return nil
	}
	if Unreachable(err) {
		return db.explainConnect(err)
	}
	var server *pgconn.PgError
	if errors.As(err, &server) {
		switch server.Code {
		case codePrivilege:
			if server.ConstraintName == hiddenRows {
				return serverError(server.Message+". Rows that it does not see may still be there", cmp.Or(server.Hint, seeAll), err)
			}
			remedy := fmt.Sprintf("Role %q needs that privilege in database %q", db.config.Username, db.config.Database)
			if ofTenants.MatchString(server.Message) {
				remedy += ". " + seeAll
			}
			return serverError(server.Message, remedy, err)
		case codeUndefinedTable, codeUndefinedColumn, codeInvalidSchemaName:
			return fmt.Errorf("%w (database %q: %s)", ErrNotMigrated, db.config.Database, server.Message)
		case codeAdminShutdown, codeCrashShutdown:
			return serverError("the server ended the session: it stops or restarts, or an administrator ended the session", tryAgain, err)
		case codeQueryCanceled:
			return serverError("the statement was cancelled: "+server.Message,
				"Find out who did (pg_cancel_backend) or which statement_timeout, and run terraform apply again", err)
		case codeLockNotAvailable:
			return serverError("another session kept a lock that this needs, all the time that it was tried",
				"Let long transactions end (SELECT * FROM pg_stat_activity WHERE xact_start < now() - interval '1 min'), and apply "+
					"again", err)
		case codeUntranslatable:
			return serverError("the database cannot hold a character: "+server.Message,
				"Use characters of its encoding, or move to a database of encoding UTF8", err)
		case codeReadOnlyTransaction:
			return serverError(errReadOnly.Error(), db.findWritable(), err)
		}
		return serverError("PostgreSQL answered: "+server.Message, server.Hint, err)
	}
	if errors.Is(err, pgconn.ErrConnClosed) && pgconn.SafeToRetry(err) {
		return serverError("the server closed the connection; it may be stopping or restarting", tryAgain, err)
	}
	if Interrupted(err) && !errors.Is(err, context.Canceled) {
		return serverError("the connection to the server broke in the middle of a statement", tryAgain, err)
	}
	return err
}

const (
	seeAll = "Log in (provider argument username) with a role that is a member of brownie_migrator, or with a service role of access " +
		"admin without organization_id whose valid_until has not passed"
	tryAgain     = "Run terraform apply again when it is back"
	notThePooler = "The provider needs sessions of its own: set its arguments host and port to those of the PostgreSQL server"
	listAllHosts = "List all members in the provider argument host, so that the writable one is found"
)

// findWritable is the remedy when no server of the list accepts writes.
func (db *DB) findWritable() string {
	if db.config.readsElsewhere() {
		return listAllHosts + ": target_session_attrs is for data sources, resources need that one in any case. While there is none, " +
			"terraform plan -refresh=false plans from the state"
	}
	return listAllHosts + ". Data sources, but no resources, may also read from a standby: set target_session_attrs"
}

func (db *DB) explainConnect(err error) error {
	target := fmt.Sprintf("cannot connect to PostgreSQL at %s, port %d, as role %q, database %q",
		strings.Join(db.config.hosts(), ", "), db.config.Port, db.config.Username, db.config.Database)
	cause, remedy := db.connectCause(err)
	return serverError(target+": "+cause, remedy, err)
}

// connectCause finds the reason and the remedy. With several hosts the attempts are joined in one error; the first
// cause that is recognised is told.
func (db *DB) connectCause(err error) (cause, remedy string) {
	var (
		server    *pgconn.PgError
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
		dns       *net.DNSError
		told      *problem.Problem
	)
	switch {
	case errors.Is(err, errPooler):
		return errPooler.Error(), notThePooler
	case errors.As(err, &server) && server.Code == codeProtocolViolation && !db.pooled: // PgBouncer's code for all that it refuses
		return fmt.Sprintf("%s (it says: %s)", errPooler, server.Message), notThePooler
	case errors.As(err, &server):
		return server.Message, db.connectRemedy(server.Code)
	case errors.Is(err, errNotConfined):
		return errNotConfined.Error(), listAllHosts + ", or log in as the owner of the schema, or as a brownie_role without organization_id"
	case errors.Is(err, errReadOnly):
		return errReadOnly.Error(), db.findWritable()
	case errors.As(err, &authority):
		return "the server's certificate is signed by an unknown authority", "Give its CA certificate in sslrootcert"
	case errors.As(err, &hostname):
		return hostname.Error(), "Use a host name that the server's certificate contains"
	case errors.As(err, &told): // by the way to the server
		return told.Text(), told.Remedy()
	case errors.As(err, &dns):
		return fmt.Sprintf("host name %q does not resolve", dns.Name), "Check the provider argument host"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused", "Check that the server runs and that host and port are right"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "the server closed the connection; it may be stopping or restarting", tryAgain
	case errors.Is(err, context.Canceled):
		return "cancelled", ""
	case errors.Is(err, context.DeadlineExceeded), pgconn.Timeout(err):
		return "no answer within connect_timeout", "Check host, port and firewalls, or raise connect_timeout"
	}
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) {
		err = connect.Unwrap()
	}
	return sqlstate.ReplaceAllString(strings.ReplaceAll(err.Error(), "\n", "; "), ""),
		"Check host, port, sslmode and the certificates of the provider"
}

func (db *DB) connectRemedy(code string) string {
	switch code {
	case codeInvalidAuthorization:
		switch {
		case db.config.SSLMode == "disable":
			return "Set sslmode: the server may want TLS (its pg_hba.conf decides)"
		case db.config.SSLCert == "" && db.config.ClientCertificate == nil:
			return "Set sslcert and sslkey: the server may want a client certificate (its pg_hba.conf decides)"
		}
		return "Check username, that this role may log in, that the certificate's common name is its name, and that the server's " +
			"ssl_ca_file has the root of the certificate's issuer (one that it does not know is not even shown to it)"
	case codeInvalidPassword:
		switch _, ignored := db.config.passwordsOfFile(); {
		case db.config.Password != "":
		case ignored != "":
			return "Set password (or PGPASSWORD): the server wants one from this role, and " + ignored
		default:
			return "Set password (or PGPASSWORD, or a password file): the server wants one from this role"
		}
		return "Check username and password"
	case codeInvalidCatalogName:
		return "Create the database, or correct the provider argument database"
	case codePrivilege:
		return "Grant the role CONNECT on the database"
	case codeTooManyConnections:
		return "Lower the provider argument max_connections, or raise the server's or the role's limit"
	case codeCannotConnectNow:
		return tryAgain
	}
	return ""
}
