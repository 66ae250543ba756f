package access

import (
	"context"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// ending is a role whose sessions are to end, and why they did not.
type ending struct {
	role Role
	err  error
}

// endSessions ends the sessions of a role that was locked, and reads it again. It takes a transaction of its own, because
// only a lock that is committed keeps clients from coming back.
func (s *Store) endSessions(ctx context.Context, role Role) (Role, error) {
	e := &ending{role: role}
	s.endings.Do(ctx, e)
	if e.err != nil {
		return role, roleError(role, role, e.err)
	}
	return s.Role(ctx, role.Name)
}

// EndTransactions ends those sessions of a role that are still in one of some transactions, given by their virtual IDs.
func (s *Store) EndTransactions(ctx context.Context, role Role, virtualIDs []string) error {
	w := wanted{Before: role.Name, OID: role.OID, Name: role.Name, Transactions: virtualIDs}
	statements, err := endStatements([]wanted{w}, endTransactionsSQL)
	if err == nil {
		_, err = postgres.Change[struct{ Done bool }](ctx, s.db, statements...)
	}
	if err != nil {
		return roleError(role, role, err)
	}
	return nil
}

// endAllSessions ends those of several roles at once: each waits for sessions that are just being opened.
func (s *Store) endAllSessions(ctx context.Context, endings []*ending) (alone bool) {
	statements := func(endings []*ending) ([]postgres.Statement, error) {
		all := make([]wanted, len(endings))
		for i, e := range endings {
			all[i] = wanted{Before: e.role.Name, OID: e.role.OID, Name: e.role.Name}
		}
		return endStatements(all, endSessionsSQL)
	}
	return postgres.ChangeTogether(ctx, s.db, endings, statements, func(_ []struct{ Done bool }, err error) {
		for _, e := range endings {
			e.err = err
		}
	})
}

// endStatements returns those by which a program ends sessions of roles, also of one that has just opened its first.
func endStatements(all []wanted, program string) ([]postgres.Statement, error) {
	for i := range all {
		all[i].BorrowFromIdle = true
	}
	statements, err := change(all, borrowing(program)...)
	return append(statements, postgres.Statement{SQL: `SELECT true AS done`}), err
}
