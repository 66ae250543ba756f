// Command application is what a tenant's application does: it logs in with its certificate and reads its rows. The connection
// comes from libpq's environment variables: PGHOST, PGPORT, PGDATABASE, PGUSER, PGSSLROOTCERT, PGSSLCERT and PGSSLKEY. Nothing in its
// SQL names a tenant.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "refused:", err)
		os.Exit(1) //nolint:gocritic // Nothing is left for the deferred cancel to do.
	}
}

func run(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, "")
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	rows, err := conn.Query(ctx, `
		SELECT session_user::text AS role, o.slug AS organization, t.slug AS team, u.email
		FROM users AS u JOIN organizations AS o ON o.id = u.organization_id LEFT JOIN teams AS t ON t.id = u.team_id
		ORDER BY team, email`)
	if err != nil {
		return err
	}
	type user struct{ Role, Organization, Team, Email string }
	users, err := pgx.CollectRows(rows, pgx.RowToStructByName[user])
	if err != nil {
		return err
	}
	fmt.Printf("%-12s %-14s %-10s %s\n", "LOGGED IN AS", "ORGANIZATION", "TEAM", "USER")
	for _, u := range users {
		fmt.Printf("%-12s %-14s %-10s %s\n", u.Role, u.Organization, u.Team, u.Email)
	}
	return nil
}
