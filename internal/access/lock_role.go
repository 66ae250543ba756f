package access

import (
	"context"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// endSessions ends the sessions of a role that was locked, and reads it again. It takes a transaction of its own, because
// only a lock that is committed keeps clients from coming back.
func (s *Store) endSessions(ctx context.Context, role Role) (Role, error) {
	w := wanted{Before: role.Name, OID: role.OID, Name: role.Name, BorrowFromIdle: true}
	statements, err := change([]wanted{w}, borrowing(endSessionsSQL)...)
	if err == nil {
		_, err = postgres.Change[struct{ Done bool }](ctx, s.db, append(statements, postgres.Statement{SQL: `SELECT true AS done`})...)
	}
	if err != nil {
		return role, roleError(role, role, err)
	}
	return s.Role(ctx, role.Name)
}
