package access_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/access"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// Clients of a compromised identity are busy, directly and through the pooler, which reads no revocation list. After the
// lock none of them gets another answer, and none comes back.
func (p pooled) testLockedRole(t *testing.T) {
	acme := newOrganization(t, p.database, "locked")
	role := testdb.Must(p.store.CreateRole(t.Context(), newRole(t, p.database, "locked", "writer", &acme)))(t)
	var locked atomic.Bool
	var late, answers, latest atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var group sync.WaitGroup
	var idle []*pgx.Conn
	for _, throughPooler := range []bool{false, true} {
		config := p.at(t, role.Name, throughPooler)
		for range 5 {
			// Such a client connects again whenever it is thrown out.
			group.Go(func() {
				for ctx.Err() == nil {
					conn, err := connect(ctx, config)
					for err == nil && ctx.Err() == nil {
						wasLocked := locked.Load()
						if _, err = conn.Exec(ctx, `SELECT pg_sleep(0.01)`); err == nil {
							answers.Add(1)
							latest.Store(time.Now().UnixNano())
							if wasLocked {
								late.Add(1)
							}
						}
					}
					if conn != nil {
						_ = conn.Close(context.Background())
					}
					time.Sleep(10 * time.Millisecond)
				}
			})
		}
		conn := testdb.Must(connect(t.Context(), config))(t)
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
		idle = append(idle, conn)
	}
	for answers.Load() < 100 && !t.Failed() {
		time.Sleep(10 * time.Millisecond)
	}

	lock := role
	lock.Locked = true
	began := time.Now()
	got := testdb.Must(p.store.UpdateRole(t.Context(), role, lock))(t)
	locked.Store(true)
	took := time.Since(began)
	if !got.Locked || !slices.Equal(got.Attributes, lock.WantedAttributes()) {
		t.Errorf("got %+v", got)
	}
	for _, conn := range idle {
		if _, err := conn.Exec(t.Context(), `SELECT 1`); err == nil {
			t.Error("a session outlived the lock")
		}
	}
	p.wantLogin(t, role.Name, true, false)
	p.wantLogin(t, role.Name, false, false)
	time.Sleep(time.Second) // The clients go on trying.
	cancel()
	group.Wait()
	t.Logf("the lock took %s; the last of %d answers came %s after it began", took, answers.Load(), time.Unix(0, latest.Load()).Sub(began))
	if late.Load() != 0 {
		t.Errorf("%d statements were answered after the lock", late.Load())
	}

	testdb.Must(p.store.UpdateRole(t.Context(), lock, role))(t)
	p.wantLogin(t, role.Name, false, true)
}

func TestLockedRoles(t *testing.T) {
	t.Parallel()
	database := testdb.Migrated(t, testdb.Certificates)
	store := access.New(testdb.DB(t, database))

	// A role may be made so that it cannot log in yet.
	role := newRole(t, database, "locked", "reader", nil)
	role.Locked = true
	if made := testdb.Must(store.CreateRole(t.Context(), role))(t); !made.Locked {
		t.Errorf("got %+v", made)
	}

	// Who may not log in but has a session is not locked, and the next change ends the session.
	role.Locked = false
	testdb.Must(store.UpdateRole(t.Context(), role, role))(t)
	conn := testdb.Must(connect(t.Context(), testdb.ConfigAs(t, database, role.Name)))(t)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	testdb.Exec(t, database, `ALTER ROLE `+pgx.Identifier{role.Name}.Sanitize()+` NOLOGIN`)
	if read := testdb.Must(store.Role(t.Context(), role.Name))(t); read.Locked || slices.Equal(read.Attributes, role.WantedAttributes()) {
		t.Errorf("got %+v", read)
	}
	role.Locked = true
	if locked := testdb.Must(store.UpdateRole(t.Context(), role, role))(t); !locked.Locked {
		t.Errorf("got %+v", locked)
	}
	if _, err := conn.Exec(t.Context(), `SELECT 1`); err == nil {
		t.Error("the session outlived the lock")
	}

	// Nobody can shut out himself, who could not open again.
	own := testdb.Must(postgres.QueryOne[struct{ Name string }](t.Context(), testdb.DB(t, database),
		`SELECT session_user::text AS name`))(t).Name
	var refused *access.OwnRoleError
	if _, err := store.UpdateRole(t.Context(), access.Role{Name: own},
		access.Role{Name: own, Access: "reader", ConnectionLimit: -1, Locked: true}); !errors.As(err, &refused) {
		t.Errorf("locking the role that makes the change: %v", err)
	}
}

// Many roles that are locked at once wait together for sessions that are just being opened.
func TestManyRolesAreLockedTogether(t *testing.T) {
	t.Parallel()
	r := newRecommended(t)
	const roles, inUse = 20, 2
	var made []access.Role
	for i := range roles {
		made = append(made, r.make(t, fmt.Sprintf("locked-%d", i), "reader"))
	}
	var sessions []*pgx.Conn
	for _, role := range made[:inUse] {
		session := testdb.Must(connect(t.Context(), testdb.ConfigOn(t, r.server, "brownie", role.Name)))(t)
		t.Cleanup(func() { _ = session.Close(context.Background()) })
		sessions = append(sessions, session)
	}
	transactions := r.transactions(t, func(s *access.Store) error {
		var group errgroup.Group
		for _, role := range made {
			group.Go(func() error {
				lock := role
				lock.Locked = true
				locked, err := s.UpdateRole(t.Context(), role, lock)
				if err == nil && !locked.Locked {
					err = fmt.Errorf("%s is not locked", role.Name)
				}
				return err
			})
		}
		return group.Wait()
	})
	for i, session := range sessions {
		if err := session.Ping(t.Context()); err == nil {
			t.Errorf("the session of %s outlived the lock", made[i].Name)
		}
	}
	// Changing them, ending their sessions and reading them again takes one each for all that ask at the same time.
	if t.Logf("locking %d roles took %d transactions", roles, transactions); transactions >= roles {
		t.Error("they were locked one by one")
	}
}
