package tenant_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/tenant"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

const idSQL = `SELECT id::text FROM public.organizations WHERE slug = $1`

func TestExport(t *testing.T) {
	t.Parallel()
	from, to := newDatabase(t, ""), newDatabase(t, "")
	source := connect(t, from, login)
	run(t, source, fillSQL)
	id := value(t, source, idSQL, "org-2")
	// What another session would show differently.
	run(t, source, `SET DateStyle = 'German'; SET TimeZone = 'Asia/Tokyo'; SET bytea_output = 'escape'; SET extra_float_digits = -10`)
	var file bytes.Buffer
	e := testdb.Must(tenant.Export(t.Context(), source, "org-2", nil, &file))(t)
	if e.Rows["public.incidents"] != 2400 || e.Rows["public.agent_configs"] != 0 || len(e.LeftOut) != 0 {
		t.Errorf("the export tells %+v", e)
	}
	if statements := strings.Count(file.String(), "INSERT INTO public.incidents"); statements != 5 {
		t.Errorf("2,400 rows are in %d statements", statements)
	}

	target := connect(t, to, login)
	run(t, target, `SET standard_conforming_strings = off; SET DateStyle = 'SQL, DMY'; SET TimeZone = 'America/Caracas'`)
	run(t, target, file.String())
	run(t, target, `RESET ALL`)
	run(t, source, `RESET ALL`)
	if want, got := rowsOf(t, source, id, whole), rowsOf(t, target, id, whole); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if n := value(t, target, `SELECT count(*)::text FROM public.organizations`); n != "1" {
		t.Errorf("%s organizations came along", n)
	}
	if _, err := target.PgConn().Exec(t.Context(), file.String()).ReadAll(); err == nil {
		t.Error("it was written over an organization that is there")
	}
}

// TestExportOfWhoSeesLess refuses a session from which row-level security hides rows.
func TestExportOfWhoSeesLess(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, "")
	run(t, connect(t, database, login), fillSQL)
	run(t, connect(t, database, ""), `DO $$ BEGIN CREATE ROLE "org-1-app" LOGIN; GRANT brownie_reader TO "org-1-app"; END $$`)
	_, err := tenant.Export(t.Context(), connect(t, database, "org-1-app"), "org-1", nil, new(bytes.Buffer))
	if err == nil || !strings.Contains(err.Error(), "may not see all rows of") {
		t.Errorf("the error is %v", err)
	}
}

// house is a database as it was, and what became of it.
type house struct {
	t       *testing.T
	was, is *pgx.Conn
	id      string
}

func newHouse(t *testing.T) house {
	t.Helper()
	t.Parallel()
	database := newDatabase(t, "")
	filler := connect(t, database, login)
	run(t, filler, fillSQL)
	h := house{t: t, id: value(t, filler, idSQL, "org-2")}
	_ = filler.Close(t.Context())
	h.is = connect(t, newDatabase(t, database), login)
	h.was = connect(t, database, "")
	return h
}

func (h house) putBack(write bool) ([]tenant.Difference, error) {
	return tenant.PutBack(h.t.Context(), h.was, h.is, "org-2", write)
}

const mistakesSQL = `
	UPDATE public.organizations SET name = 'Renamed', slug = 'renamed', settings = '{}' WHERE slug = 'org-2';
	INSERT INTO public.teams (organization_id, name, slug) SELECT id, 'Team 3', 'team-3' FROM public.organizations;
	UPDATE public.users SET team_id = (SELECT id FROM public.teams n WHERE n.slug = 'team-3' AND n.organization_id = users.organization_id)
		WHERE id IN (SELECT min(id::text)::uuid FROM public.users GROUP BY organization_id);
	DELETE FROM public.teams WHERE slug = 'team-1' AND organization_id = (SELECT id FROM public.organizations WHERE slug = 'renamed');
	INSERT INTO public.users (organization_id, team_id, email, username) SELECT organization_id, id, id || '@example.org', id::text
		FROM public.teams WHERE slug = 'team-3';
	UPDATE public.incidents SET title = 'Changed' WHERE description = E'\t''"\\';
	DELETE FROM public.stats WHERE value = 'NaN';
	UPDATE public.teams SET updated_at = now() WHERE slug = 'team-2'`

func TestPutBack(t *testing.T) {
	h := newHouse(t)
	if all, err := h.putBack(true); err != nil || len(all) > 0 {
		t.Fatalf("nothing was changed, and it tells %+v: %v", all, err)
	}
	want := rowsOf(t, h.was, h.id, withoutUpdate)
	run(t, h.is, mistakesSQL)
	before, others := rowsOf(t, h.is, h.id, whole), rowsOfOthers(t, h.is, h.id)

	all := testdb.Must(h.putBack(false))(t)
	counts := map[string]tenant.Difference{}
	for _, d := range all {
		counts[d.Table] = d
	}
	if len(all) != 5 || counts["public.organizations"].Changed != 1 || counts["public.teams"].Missing != 1 || counts["public.teams"].Added != 1 ||
		counts["public.users"].Added != 1 || counts["public.users"].Missing == 0 || counts["public.stats"].Missing != 5 ||
		counts["public.incidents"].Missing < 800 || counts["public.incidents"].Changed == 0 {
		t.Errorf("the differences are %+v", all)
	}
	if keys := counts["public.teams"].Keys; len(keys) != 2 || !strings.HasPrefix(keys[0], "added ") || !strings.HasPrefix(keys[1], "missing ") {
		t.Errorf("the keys are %v", keys)
	}
	if after := rowsOf(t, h.is, h.id, whole); after != before {
		t.Error("showing the differences has changed rows")
	}

	testdb.Must(h.putBack(true))(t)
	if got := rowsOf(t, h.is, h.id, withoutUpdate); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if after := rowsOfOthers(t, h.is, h.id); after != others {
		t.Errorf("others were changed: %s\nbefore %s", after, others)
	}
	if all, err := h.putBack(true); err != nil || len(all) > 0 {
		t.Errorf("after that it tells %+v: %v", all, err)
	}
}

func TestPutBackWhatWasPurged(t *testing.T) {
	h := newHouse(t)
	want := rowsOf(t, h.was, h.id, whole)
	run(t, h.is, `DELETE FROM public.organizations WHERE slug = 'org-2'`)
	all := testdb.Must(h.putBack(true))(t)
	if len(all) != 7 || all[0].Table != "public.organizations" || all[0].Missing != 1 {
		t.Errorf("the differences are %+v", all)
	}
	if got := rowsOf(t, h.is, h.id, whole); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// moreSQL are tables of a customer's own: numbered, in partitions, with a table that inherits, and a key that is checked in the end.
const moreSQL = `
	CREATE TABLE public.reports (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY DEFERRABLE,
		organization_id uuid NOT NULL REFERENCES public.organizations ON DELETE CASCADE, title text UNIQUE);
	INSERT INTO public.reports (organization_id, title) SELECT id, slug || n FROM public.organizations, generate_series(1, 5) AS n;
	CREATE TABLE public.months (id uuid DEFAULT gen_random_uuid(), month integer, "odd ""name" numeric DEFAULT 1.10, twice integer
		GENERATED ALWAYS AS (month * 2) STORED, organization_id uuid NOT NULL REFERENCES public.organizations ON DELETE CASCADE,
		PRIMARY KEY (id, month)) PARTITION BY RANGE (month);
	CREATE TABLE public.months_1 PARTITION OF public.months FOR VALUES FROM (1) TO (7);
	CREATE TABLE public.months_2 PARTITION OF public.months FOR VALUES FROM (7) TO (13);
	INSERT INTO public.months (month, organization_id) SELECT n, id FROM public.organizations, generate_series(1, 12) AS n;
	CREATE TABLE public.notes (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
		organization_id uuid NOT NULL REFERENCES public.organizations ON DELETE CASCADE, team_id uuid REFERENCES public.teams (id));
	INSERT INTO public.notes (organization_id, team_id) SELECT organization_id, id FROM public.teams WHERE slug = 'team-2'`

func TestTablesOfTheirOwn(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, "")
	filler := connect(t, database, login)
	run(t, filler, fillSQL)
	run(t, filler, moreSQL)
	_ = filler.Close(t.Context())
	h := house{t: t, is: connect(t, newDatabase(t, database), login)}
	h.was = connect(t, database, "")
	run(t, h.is, `
		INSERT INTO public.teams (organization_id, name, slug) SELECT id, 'Team 3', 'team-3' FROM public.organizations WHERE slug = 'org-2';
		UPDATE public.notes SET team_id = (SELECT id FROM public.teams WHERE slug = 'team-3')
			WHERE organization_id = (SELECT id FROM public.organizations WHERE slug = 'org-2');
		DELETE FROM public.months WHERE month = 8 OR month = 1;
		DELETE FROM public.reports WHERE title = 'org-21';
		UPDATE public.reports SET title = 'org-21' WHERE title = 'org-22'`)
	const rowsSQL = `SELECT (SELECT string_agg(r::text, ' ' ORDER BY r::text) FROM public.reports r WHERE title LIKE 'org-2%') || (SELECT string_agg(
		m::text, ' ' ORDER BY m::text) FROM public.months m JOIN public.organizations o ON o.id = m.organization_id WHERE slug = 'org-2')`
	if all := testdb.Must(h.putBack(true))(t); len(all) != 4 {
		t.Errorf("the differences are %+v", all)
	}
	if was, is := value(t, h.was, rowsSQL), value(t, h.is, rowsSQL); was != is {
		t.Errorf("got  %s\nwant %s", is, was)
	}

	run(t, h.was, `CREATE TABLE public.special () INHERITS (public.notes);
		INSERT INTO public.special (organization_id) SELECT id FROM public.organizations`)
	var file bytes.Buffer
	e := testdb.Must(tenant.Export(t.Context(), h.was, "org-2", nil, &file))(t)
	if e.Rows["public.notes"] != 1 || e.Rows["public.special"] != 1 || e.Rows["public.months"] != 12 || len(e.LeftOut) > 0 {
		t.Errorf("the export tells %+v", e)
	}
	target := connect(t, newDatabase(t, ""), login)
	run(t, target, moreSQL+`; CREATE TABLE public.special () INHERITS (public.notes)`)
	run(t, target, file.String())
	want := value(t, h.was, `SELECT (max(id) + 1)::text FROM public.reports WHERE title LIKE 'org-2%'`)
	got := value(t, target, `INSERT INTO public.reports (organization_id, title) SELECT id, 'next' FROM public.organizations RETURNING id::text`)
	if got != want {
		t.Errorf("the next report has number %s, want %s", got, want)
	}
}

func TestPutBackIsRefused(t *testing.T) {
	for name, test := range map[string]struct{ change, problem string }{
		"a value that another organization has taken": {
			`DELETE FROM public.users WHERE organization_id = (SELECT id FROM public.organizations WHERE slug = 'org-2');
			INSERT INTO public.users (organization_id, team_id, email, username) SELECT t.organization_id, t.id, w.email, 'taken'
			FROM public.teams t JOIN public.organizations o ON o.id = t.organization_id, (SELECT md5(t.id::text || 1) || '@example.com' AS email
				FROM public.teams t JOIN public.organizations o ON o.id = t.organization_id WHERE o.slug = 'org-2' AND t.slug = 'team-1') AS w
			WHERE o.slug = 'org-1' AND t.slug = 'team-1'`,
			"left as it was",
		},
		"a key that another organization has": {
			`DELETE FROM public.stats WHERE organization_id = (SELECT id FROM public.organizations WHERE slug = 'org-2');
			DELETE FROM public.teams WHERE slug = 'team-2' AND organization_id = (SELECT id FROM public.organizations WHERE slug = 'org-2')`,
			"",
		},
		"other columns": {`ALTER TABLE public.teams ADD COLUMN more text`, "table public.teams has other columns"},
		"a table that does not say whose its rows are": {
			`CREATE TABLE public.notes (incident_id uuid REFERENCES public.incidents (id) ON DELETE CASCADE)`, "public.notes",
		},
		"a table that is new": {`CREATE TABLE public.more (id uuid PRIMARY KEY, organization_id uuid NOT NULL)`, "public.more was made after"},
		"other types":         {`ALTER TABLE public.teams ALTER COLUMN name TYPE text`, "table public.teams has other columns"},
		"a key that lets others refer": {
			`ALTER TABLE public.stats ADD FOREIGN KEY (team_id) REFERENCES public.teams (id) ON DELETE SET NULL`, "of stats",
		},
		"no organization": {`SELECT`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			run(t, h.is, test.change)
			before := rowsOf(t, h.is, h.id, whole)
			slug := "org-2"
			switch name {
			case "no organization":
				slug, test.problem = "org-9", `no organization "org-9"`
			case "a key that another organization has":
				test.problem = "left as it was"
				key := value(t, h.was, `SELECT min(id::text) FROM public.stats WHERE organization_id = $1`, h.id)
				run(t, h.is, `INSERT INTO public.stats (id, organization_id, metric_name, metric_type, value, timestamp)
					SELECT '`+key+`', id, 'm', 't', 1, now() FROM public.organizations WHERE slug = 'org-1'`)
				before = rowsOf(t, h.is, h.id, whole)
			}
			others := rowsOfOthers(t, h.is, h.id)
			_, err := tenant.PutBack(t.Context(), h.was, h.is, slug, true)
			if told := (*problem.Problem)(nil); !errors.As(err, &told) || !strings.Contains(err.Error(), test.problem) || told.Remedy() == "" {
				t.Errorf("the error is %v", err)
			}
			if rowsOf(t, h.is, h.id, whole) != before || rowsOfOthers(t, h.is, h.id) != others {
				t.Error("rows were changed")
			}
		})
	}
}
