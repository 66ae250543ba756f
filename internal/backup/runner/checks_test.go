package runner_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
)

// TestChecks verifies a backup that restores by what else a restored database has to stand. The backup itself is not to blame.
func TestChecks(t *testing.T) {
	h := newHouse(t)
	b := h.backup()
	check := func(sql string) string {
		file := filepath.Join(t.TempDir(), "check.sql")
		if err := os.WriteFile(file, []byte(sql), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	good := check(`SELECT 1; SELECT FROM public.organizations HAVING count(*) <> 20;`)
	for name, test := range map[string]struct{ sql, problem string }{
		"rows":      {`SELECT name FROM public.organizations WHERE slug LIKE 'organization-1%'`, "found 11 rows"},
		"a failure": {`SELECT 1 / count(*) FROM public.incidents`, "division by zero"},
		"good":      {`SELECT 1; SELECT FROM public.teams`, ""},
	} {
		h.Checks = []string{good, check(test.sql)}
		p, err := h.Verify(t.Context(), b.ID, backup.Restore)
		if test.problem == "" {
			if err != nil || !p.Succeeded {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), test.problem) || strings.Contains(err.Error(), "Organization 1") {
			t.Errorf("%s: the error is %v", name, err)
		}
		stored := testdb.Must(backup.New(h.DB).Backup(t.Context(), b.ID))(t)
		if p.Succeeded || p.Damaged || stored.Verified == nil || stored.Verified.Succeeded {
			t.Errorf("%s: on record is %+v", name, stored.Verified)
		}
	}
	h.Checks = []string{filepath.Join(t.TempDir(), "missing.sql")}
	if _, err := h.Verify(t.Context(), b.ID, backup.Restore); err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("the error is %v", err)
	}

	h.Checks = nil
	testdb.Exec(t, h.database, `GRANT SELECT ON public."Odd ""table" TO brownie_reader`)
	p, err := h.Verify(t.Context(), h.backup().ID, backup.Restore)
	if err == nil || !strings.Contains(err.Error(), "tenants are not kept apart") || p.Damaged {
		t.Errorf("an open table: %v, %+v", err, p)
	}
}
