package dump

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/artifact"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// Restorer restores a backup into a new database.
type Restorer struct {
	artifact.Reader
	// Server is where databases are made. It is connected to as somebody who may make them, and the roles that are missing.
	Server *postgres.DB
	// Open connects to another database of the same server.
	Open func(database string) *postgres.DB
	Tools
	// Jobs is how many processes work at the same time.
	Jobs int
	// BeforeOpening is called when everything is there and nobody else may connect yet, with the roles that the restore has made. nil is
	// nothing to do.
	BeforeOpening func(ctx context.Context, database string, made []string) error
}

// Contents reads what the backup holds.
func (r Restorer) Contents(ctx context.Context) (c Contents, err error) {
	text, err := r.partText(ctx, contentsPart)
	if err != nil {
		return c, err
	}
	err = json.Unmarshal(text, &c)
	return c, err
}

// partText is for parts that are small.
func (r Restorer) partText(ctx context.Context, name string) ([]byte, error) {
	part, err := r.Part(ctx, name)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(part)
	return text, errors.Join(err, part.Close())
}

// Restore makes the database and everything in it. When it fails, neither the database nor a role that it made is left.
func (r Restorer) Restore(ctx context.Context, database string) (err error) {
	contents, err := r.Contents(ctx)
	if err != nil {
		return err
	}
	schema, err := r.partText(ctx, schemaPart)
	if err != nil {
		return err
	}
	if err := r.checkTool(ctx); err != nil {
		return err
	}
	name := pgx.Identifier{database}.Sanitize()
	if err := r.exec(ctx, r.Server, createDatabase(name, r.Manifest.Database)); err != nil {
		return err
	}
	var made []string
	defer func() {
		if err != nil {
			err = errors.Join(err, r.undo(context.WithoutCancel(ctx), name, made))
		}
	}()
	// Policies come last: until then nobody else may connect.
	if err := r.exec(ctx, r.Server, "REVOKE ALL ON DATABASE "+name+" FROM PUBLIC"); err != nil {
		return err
	}
	if made, err = r.makeRoles(ctx, contents.Roles); err != nil {
		return err
	}
	if err := r.fill(ctx, database, schema, contents.Views); err != nil {
		return err
	}
	if r.BeforeOpening != nil {
		if err := r.BeforeOpening(ctx, database, made); err != nil {
			return err
		}
	}
	for _, s := range contents.Database {
		if err := r.exec(ctx, r.Server, s.Before+name+s.After); err != nil {
			return err
		}
	}
	return nil
}

// checkTool refuses programs that do not know all that is in the backup, and those that say what the server does not know.
func (r Restorer) checkTool(ctx context.Context) error {
	tool, major, err := r.version(ctx, "pg_restore")
	if err != nil {
		return err
	}
	madeBy, _, _ := strings.Cut(strings.TrimPrefix(r.Manifest.Tool, "pg_dump "), ".")
	if wanted, _ := strconv.Atoi(madeBy); major < wanted {
		return problem.New(fmt.Sprintf("%s is older than what made the backup, %s", tool, r.Manifest.Tool),
			"Install the client programs of that major version, or a later one, and name their folder with --bin")
	}
	server, err := postgres.QueryOne[struct{ Number int32 }](ctx, r.Server,
		`SELECT pg_catalog.current_setting('server_version_num')::int AS number`)
	if err == nil && major > int(server.Number)/10000 {
		err = problem.New(fmt.Sprintf("%s is newer than the server, which is version %d", tool, server.Number/10000),
			"It says what that server does not know: restore into a server of its version, or name the folder of older programs with --bin")
	}
	return err
}

// createDatabase gives it the encoding and locale that the rows were written with.
func createDatabase(name string, d artifact.Database) string {
	sql := fmt.Sprintf("CREATE DATABASE %s TEMPLATE template0 ENCODING %s LOCALE_PROVIDER %s LC_COLLATE %s LC_CTYPE %s", name,
		literal(d.Encoding), pgx.Identifier{d.LocaleProvider}.Sanitize(), literal(d.Collate), literal(d.Ctype))
	if d.Locale != nil {
		sql += fmt.Sprintf(" %s_LOCALE %s", strings.ToUpper(d.LocaleProvider), literal(*d.Locale))
	}
	return sql
}

// exec runs one statement. More than one in a text is an error of the extended protocol, so that no text of somebody else's adds any.
func (r Restorer) exec(ctx context.Context, db *postgres.DB, sql string) error {
	return db.Borrow(ctx, nil, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, sql, pgx.QueryExecModeExec)
		return err
	})
}

func (r Restorer) execAll(ctx context.Context, database string, statements []string) error {
	db := r.Open(database)
	defer db.Close()
	for _, sql := range statements {
		if err := r.exec(ctx, db, sql); err != nil {
			return err
		}
	}
	return nil
}

// makeRoles makes those that are missing, with their memberships and settings. Those that are there stay as they are.
func (r Restorer) makeRoles(ctx context.Context, statements []RoleStatement) (made []string, err error) {
	is, err := names(ctx, r.Server, `SELECT rolname::text AS name FROM pg_catalog.pg_roles`)
	if err != nil {
		return nil, err
	}
	for _, s := range statements {
		if is[s.Role] {
			continue
		}
		if err := r.exec(ctx, r.Server, s.SQL); err != nil {
			return made, err
		}
		if s.Step == 1 {
			made = append(made, s.Role)
		}
	}
	return made, nil
}

// undo removes what a restore that failed has made.
func (r Restorer) undo(ctx context.Context, database string, roles []string) error {
	failed := []error{r.exec(ctx, r.Server, `DROP DATABASE IF EXISTS `+database+` WITH (FORCE)`)}
	for _, role := range roles {
		failed = append(failed, r.exec(ctx, r.Server, `DROP ROLE IF EXISTS `+pgx.Identifier{role}.Sanitize()))
	}
	return errors.Join(failed...)
}

// fill restores schema and rows: keys and indexes come after the rows, as pg_restore has it.
func (r Restorer) fill(ctx context.Context, database string, schema []byte, views []string) error {
	file, err := inMemory(schema)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	list, statements, err := r.wanted(ctx, schema)
	if err != nil {
		return err
	}
	wanted, err := inMemory([]byte(list))
	if err != nil {
		return err
	}
	defer func() { _ = wanted.Close() }()
	restore := func(ctx context.Context, p program, arguments ...string) error {
		p.name = "pg_restore"
		p.arguments = append([]string{"--exit-on-error", "--no-password", "--dbname=" + conninfo(database)}, arguments...)
		return r.run(ctx, p)
	}
	// A file, unlike a stream, can be read by several processes at once.
	ofSchema := func(section string, jobs int) error {
		return restore(ctx, program{files: []*os.File{file, wanted}}, "--section="+section, fmt.Sprintf("--jobs=%d", jobs),
			"--use-list=/dev/fd/4", "/dev/fd/3")
	}
	if err := ofSchema("pre-data", 1); err != nil {
		return err
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(max(r.Jobs, 1))
	for _, part := range r.Manifest.Parts {
		if !strings.HasPrefix(part.Name, "rows-") {
			continue
		}
		group.Go(func() error {
			rows, err := r.Part(groupCtx, part.Name)
			if err != nil {
				return err
			}
			// Large objects are made before their content, and are in no other part.
			err = restore(groupCtx, program{input: rows}, "--section=pre-data", "--section=data")
			if err == nil {
				// pg_restore ends at the end of its own format. What is damaged behind that is damaged, too.
				_, err = io.Copy(io.Discard, rows)
			}
			return errors.Join(err, rows.Close())
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if err := ofSchema("post-data", max(r.Jobs, 1)); err != nil {
		return err
	}
	if err := r.execAll(ctx, database, statements); err != nil {
		return err
	}
	return r.refresh(ctx, database, views)
}

// refresh fills the materialized views that had rows, those before others that read them.
func (r Restorer) refresh(ctx context.Context, database string, views []string) error {
	db := r.Open(database)
	defer db.Close()
	for len(views) > 0 {
		var left []string
		var failed []error
		for _, view := range views {
			if err := r.exec(ctx, db, `REFRESH MATERIALIZED VIEW `+view); err != nil {
				left, failed = append(left, view), append(failed, err)
			}
		}
		if len(left) == len(views) {
			return errors.Join(failed...)
		}
		views = left
	}
	return nil
}

// names are those that a query returns.
func names(ctx context.Context, db *postgres.DB, query string) (map[string]bool, error) {
	rows, err := postgres.Query[struct{ Name string }](ctx, db, query)
	found := make(map[string]bool, len(rows))
	for _, row := range rows {
		found[row.Name] = true
	}
	return found, err
}

// conninfo names a database that may have any name (PostgreSQL manual, section 32.1.1.1).
func conninfo(database string) string {
	return "dbname='" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(database) + "'"
}
