package runner_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/runner"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
)

// TestOneOrganization takes one organization out of a backup: as SQL, and back into the database that it came from.
func TestOneOrganization(t *testing.T) {
	h := newHouse(t)
	b := h.backup()
	store := h.schedule.Destinations[0]
	testdb.Exec(t, h.database, `UPDATE public.organizations SET name = 'Mistake in ' || slug
		WHERE slug IN ('organization-7', 'organization-8')`)
	name := func(slug string) string {
		return testdb.Value[string](t, h.database, `SELECT name FROM public.organizations WHERE slug = $1`, slug)
	}
	for what, from := range map[string]runner.Source{
		"on record": {ID: b.ID}, "in the store": {ID: b.ID, Destination: &store, Schedule: "nightly"},
	} {
		t.Run(what, func(t *testing.T) {
			var file bytes.Buffer
			e := testdb.Must(h.ExportFrom(t.Context(), from, "organization-7", &file))(t)
			if text := file.String(); !strings.Contains(text, "'Organization 7'") || strings.Contains(text, "organization-8") {
				t.Errorf("the file is %s", text)
			}
			if b.SnapshotAt == nil || !e.At.Equal(*b.SnapshotAt) {
				t.Errorf("it is as of %s", e.At)
			}
		})
	}
	var now bytes.Buffer
	testdb.Must(h.Export(t.Context(), "organization-7", &now))(t)
	if !strings.Contains(now.String(), "'Mistake in organization-7'") {
		t.Errorf("what it writes of now is %s", now.String())
	}

	into := testdb.Config(t, h.database)
	for _, write := range []bool{false, true} {
		all := testdb.Must(h.PutBack(t.Context(), runner.Source{ID: b.ID}, "organization-7", into, write))(t)
		if len(all) != 1 || all[0].Changed != 1 {
			t.Errorf("the differences are %+v", all)
		}
		want := map[bool]string{false: "Mistake in organization-7", true: "Organization 7"}[write]
		if got := name("organization-7"); got != want {
			t.Errorf("its name is %q", got)
		}
	}
	if got := name("organization-8"); got != "Mistake in organization-8" {
		t.Errorf("the other one's name is %q", got)
	}
	// It takes a scratch server and an identity, as a restore does.
	h.Identities = nil
	if _, err := h.PutBack(t.Context(), runner.Source{ID: b.ID}, "organization-7", into, true); err == nil {
		t.Error("it reads a backup without an identity")
	}
	if found := testdb.Must(backup.New(h.DB).Backups(t.Context(), backup.Filter{}))(t); len(found) != 1 {
		t.Errorf("%d backups are on record", len(found))
	}
}
