package access_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/access"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// value reads one text as a superuser.
func (r recommended) value(t *testing.T, sql string) (text string) {
	t.Helper()
	if err := r.admin.QueryRow(t.Context(), sql).Scan(&text); err != nil {
		t.Fatalf("%s: %s", sql, err)
	}
	return text
}

// rightsOfTheLogin lists all that the login is a member of, and with which options.
const rightsOfTheLogin = `SELECT string_agg(concat_ws(' ', roleid::regrole, grantor::regrole, admin_option, inherit_option, set_option), E'\n'
	ORDER BY roleid, grantor) FROM pg_auth_members WHERE member = '"` + recommendedLogin + `"'::regrole`

// makers lists who made roles, how many, and whether the login may use their rights.
const makers = `SELECT coalesce(string_agg(concat_ws(' ', regexp_replace(rolname, '\d+', 'n'), (SELECT count(*) FROM pg_auth_members WHERE member = r.oid),
	(SELECT bool_or(inherit_option AND set_option) FROM pg_auth_members WHERE roleid = r.oid)), ', ' ORDER BY length(rolname), rolname), 'none')
	FROM pg_roles r WHERE rolname LIKE 'brownie\_maker\_%'`

func (r recommended) many(t *testing.T, from, to int, do func(access.Role) error) {
	t.Helper()
	var group errgroup.Group
	group.SetLimit(10)
	for i := from; i < to; i++ {
		group.Go(func() error {
			return do(access.Role{Name: fmt.Sprintf("many-%d", i), Access: "reader", Pooled: true, ConnectionLimit: -1})
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

// However many roles there are, the login and each maker are members of few: PostgreSQL walks the memberships of who makes, changes
// and drops roles.
func TestNobodyIsAMemberOfAllRoles(t *testing.T) {
	t.Parallel()
	r := newRecommended(t)
	create := func(role access.Role) error { _, err := r.store.CreateRole(t.Context(), role); return err }
	drop := func(role access.Role) error { return r.store.DropRole(t.Context(), role, "") }
	first := r.make(t, "first", "writer")
	r.many(t, 1, 250, create)
	if got := r.value(t, makers); got != "brownie_maker_n_1 250 t" {
		t.Fatalf("250 roles were made by %s", got)
	}
	few := r.value(t, rightsOfTheLogin)
	r.many(t, 250, 500, create)
	heir := r.make(t, "heir", "migrator")
	if got := r.value(t, makers); got != "brownie_maker_n_1 250 f, brownie_maker_n_2 250 t, brownie_maker_n_3 1 t" {
		t.Fatalf("501 roles were made by %s", got)
	}
	before := r.value(t, rightsOfTheLogin)
	if strings.Count(before, "\n") != strings.Count(few, "\n")+3 {
		t.Errorf("two makers more make the login a member of\n%s\nand before of\n%s", before, few)
	}
	// PostgreSQL plans another way where it knows how many roles there are.
	conn := testdb.Must(pgx.Connect(t.Context(), r.server.URL("brownie")))(t)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	if _, err := conn.Exec(t.Context(), `ANALYZE pg_authid, pg_auth_members`); err != nil {
		t.Fatal(err)
	}
	// What was made by a former maker is changed, renamed, locked and dropped, also where it is in use and owns something.
	session := testdb.Must(connect(t.Context(), testdb.ConfigOn(t, r.server, "brownie", "first")))(t)
	t.Cleanup(func() { _ = session.Close(context.Background()) })
	timeout := time.Second
	changed := first
	changed.Name, changed.Access, changed.StatementTimeout = "renamed", "reader", &timeout
	changed = testdb.Must(r.store.UpdateRole(t.Context(), first, changed))(t)
	if err := session.Ping(t.Context()); err != nil {
		t.Errorf("a change ended a session: %s", err)
	}
	locked := changed
	locked.Locked = true
	locked = testdb.Must(r.store.UpdateRole(t.Context(), changed, locked))(t)
	if err := session.Ping(t.Context()); err == nil || !locked.Locked {
		t.Error("a locked role has a session")
	}
	if _, err := conn.Exec(t.Context(), `CREATE TABLE brownie.notes (); ALTER TABLE brownie.notes OWNER TO renamed`); err != nil {
		t.Fatal(err)
	}
	if err := r.store.CheckChange(t.Context(), "renamed"); err != nil {
		t.Error(err)
	}
	if blockers := testdb.Must(r.store.CheckDrop(t.Context(), "renamed", heir.Name))(t); len(blockers) > 0 {
		t.Errorf("got the blockers %v", blockers)
	}
	if err := r.store.DropRole(t.Context(), locked, heir.Name); err != nil {
		t.Fatal(err)
	}
	if after := r.value(t, rightsOfTheLogin); after != before {
		t.Errorf("after it, the login is a member of\n%s\nand before of\n%s", after, before)
	}
	// A maker whose roles are all gone goes with the next one that is full.
	r.many(t, 1, 250, drop)
	r.many(t, 500, 749, create)
	if got := r.value(t, makers); got != "brownie_maker_n_1 0 f, brownie_maker_n_2 250 t, brownie_maker_n_3 250 t" {
		t.Fatalf("another 249 roles were made by %s", got)
	}
	r.make(t, "last", "writer")
	if got := r.value(t, makers); got != "brownie_maker_n_2 250 f, brownie_maker_n_3 250 t, brownie_maker_n_4 1 t" {
		t.Errorf("at last roles were made by %s", got)
	}
}

// A maker that somebody else could use, or that logs in, makes nothing, but the next one does.
func TestAMakerOfSomebodyElseMakesNothing(t *testing.T) {
	t.Parallel()
	const name = `brownie_maker_%s_1`
	for what, before := range map[string][]string{
		"of another owner":    {`CREATE ROLE other LOGIN CREATEROLE`, `SET ROLE other`, `CREATE ROLE ` + name + ` CREATEROLE`, `RESET ROLE`},
		"that logs in":        {`CREATE ROLE ` + name + ` LOGIN CREATEROLE`, `GRANT ` + name + ` TO "brownie-terraform" WITH ADMIN OPTION`},
		"that is a superuser": {`CREATE ROLE ` + name + ` SUPERUSER CREATEROLE`, `GRANT ` + name + ` TO "brownie-terraform" WITH ADMIN OPTION`},
		"with another member": {
			`CREATE ROLE other LOGIN`, `CREATE ROLE ` + name + ` CREATEROLE`, `GRANT ` + name + ` TO other`,
			`GRANT ` + name + ` TO "brownie-terraform" WITH ADMIN OPTION`,
		},
		"with a number that is none": {`CREATE ROLE ` + name, `CREATE ROLE brownie_maker_%s_99999999999`, `CREATE ROLE brownie_maker_%s_x`},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r := newRecommended(t)
			oid := r.value(t, `SELECT oid::text FROM pg_roles WHERE rolname = '`+recommendedLogin+`'`)
			for _, sql := range before {
				if strings.Contains(sql, "%") {
					sql = fmt.Sprintf(sql, oid)
				}
				r.exec(t, sql)
			}
			role := r.make(t, "acme-app", "writer")
			if got := r.value(t, `SELECT string_agg(member::regrole::text, ' ') FROM pg_auth_members WHERE roleid = '"acme-app"'::regrole`); got !=
				"brownie_maker_"+oid+"_2" {
				t.Errorf("the role was made by %s", got)
			}
			changed := role
			changed.Name = "renamed"
			changed = testdb.Must(r.store.UpdateRole(t.Context(), role, changed))(t)
			if err := r.store.DropRole(t.Context(), changed, ""); err != nil {
				t.Error(err)
			}
		})
	}
}

// Roles that the login made itself, as earlier versions did, and those of a maker that was changed, are managed as before; and so does
// who is a member of the login.
func TestWithoutAMakersHelp(t *testing.T) {
	t.Parallel()
	const lent = `SELECT string_agg(concat_ws(' ', roleid, member, grantor, inherit_option, set_option), E'\n' ORDER BY roleid, member, grantor)
		FROM (SELECT * FROM pg_auth_members WHERE roleid::regrole::text !~ '^brownie_(reader|writer|pooled|all|connect|granter)') AS m`
	for what, change := range map[string]string{
		"the login made it":  `SET ROLE "brownie-terraform"; CREATE ROLE "acme-app" LOGIN; RESET ROLE`,
		"a maker is renamed": `ALTER ROLE %s RENAME TO renamed_maker; REVOKE renamed_maker FROM "brownie-terraform" GRANTED BY "brownie-terraform"`,
		"a maker may not":    `ALTER ROLE %s NOCREATEROLE; REVOKE %[1]s FROM "brownie-terraform" GRANTED BY "brownie-terraform"`,
		"by a deputy":        `CREATE ROLE deputy LOGIN CREATEROLE; GRANT "brownie-terraform" TO deputy; REVOKE %s FROM "brownie-terraform" GRANTED BY "brownie-terraform"`,
		"by a superuser":     `ALTER ROLE "brownie-terraform" SUPERUSER; ALTER ROLE "acme-app" SUPERUSER`,
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r := newRecommended(t)
			before := access.Role{Name: "acme-app"}
			if !strings.Contains(change, "CREATE ROLE \"acme-app\"") {
				before = r.make(t, before.Name, "writer")
				change = fmt.Sprintf(change+"/* %[1]s */", r.value(t, `SELECT rolname FROM pg_roles WHERE rolname LIKE 'brownie\_maker\_%'`))
			}
			r.exec(t, change)
			store := r.store
			if what == "by a deputy" {
				db := postgres.New(testdb.ConfigOn(t, r.server, "brownie", "deputy"))
				t.Cleanup(db.Close)
				store = access.New(db)
			}
			rights := r.value(t, lent)
			role := testdb.Must(store.UpdateRole(t.Context(), before, access.Role{Name: "acme-app", Access: "writer", Pooled: true, ConnectionLimit: 7}))(t)
			session := testdb.Must(connect(t.Context(), testdb.ConfigOn(t, r.server, "brownie", role.Name)))(t)
			t.Cleanup(func() { _ = session.Close(context.Background()) })
			renamed := role
			renamed.Name, renamed.Locked = "renamed", true
			renamed = testdb.Must(store.UpdateRole(t.Context(), role, renamed))(t)
			if err := session.Ping(t.Context()); err == nil || !renamed.Locked {
				t.Error("a locked role has a session")
			}
			if after := r.value(t, lent); after != rights {
				t.Errorf("memberships are\n%s\nand were\n%s", after, rights)
			}
			if err := store.DropRole(t.Context(), renamed, ""); err != nil {
				t.Error(err)
			}
		})
	}
}

// A login that becomes a member of another one's makers manages their roles, and the other one makes its next roles by a maker that
// only it can use.
func TestALoginTakesOver(t *testing.T) {
	t.Parallel()
	r := newRecommended(t)
	role := r.make(t, "acme-app", "writer")
	maker := r.value(t, `SELECT rolname FROM pg_roles WHERE rolname LIKE 'brownie\_maker\_%'`)
	r.exec(t, `CREATE ROLE successor LOGIN CREATEROLE`)
	r.exec(t, `GRANT brownie_migrator TO successor`)
	r.exec(t, `DO $$ BEGIN EXECUTE (SELECT format('GRANT %s TO successor WITH ADMIN OPTION', string_agg(rolname, ', '))
		FROM pg_roles WHERE rolname LIKE 'brownie\_%'); END $$`)
	const rights = `SELECT string_agg(concat_ws(' ', roleid::regrole, grantor::regrole, admin_option, inherit_option, set_option), ', '
		ORDER BY roleid, grantor) FROM pg_auth_members WHERE member = 'successor'::regrole`
	before := r.value(t, rights)
	db := postgres.New(testdb.ConfigOn(t, r.server, "brownie", "successor"))
	t.Cleanup(db.Close)
	store := access.New(db)
	if err := store.CheckChange(t.Context(), role.Name); err != nil {
		t.Error(err)
	}
	session := testdb.Must(connect(t.Context(), testdb.ConfigOn(t, r.server, "brownie", role.Name)))(t)
	t.Cleanup(func() { _ = session.Close(context.Background()) })
	locked := role
	locked.Name, locked.Locked = "renamed", true
	locked = testdb.Must(store.UpdateRole(t.Context(), role, locked))(t)
	if err := session.Ping(t.Context()); err == nil {
		t.Error("a locked role has a session")
	}
	if err := store.DropRole(t.Context(), locked, ""); err != nil {
		t.Error(err)
	}
	if after := r.value(t, rights); after != before {
		t.Errorf("the successor is a member of %s, and was of %s", after, before)
	}
	r.make(t, "next", "writer")
	if got := r.value(t, makers); got != "brownie_maker_n_1 0 t, brownie_maker_n_2 1 t" {
		t.Errorf("the next role was made by %s, where %s is shared", got, maker)
	}
}
