package runner_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/access"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/dump"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/runner"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// house is a database with tenants, a role for backups, and a runner that logs in as that.
type house struct {
	*runner.Runner
	t        *testing.T
	database string
	role     string
	identity *age.X25519Identity
	schedule backup.Schedule
}

func newIdentity(t *testing.T) *age.X25519Identity {
	t.Helper()
	return testdb.Must(age.GenerateX25519Identity())(t)
}

func newHouse(t *testing.T, destinations ...backup.Destination) house {
	t.Helper()
	t.Parallel()
	return newHouseAlone(t, destinations...)
}

// newHouseAlone is for a test that needs the environment for itself.
func newHouseAlone(t *testing.T, destinations ...backup.Destination) house {
	t.Helper()
	tools := testdb.ClientTools(t)
	major := testdb.Must(devstack.ClientToolsMajor(t.Context(), tools))(t)
	h := house{t: t, database: testdb.Migrated(t, testdb.Certificates), identity: newIdentity(t)}
	role := fmt.Sprintf("backup-%d", time.Now().UnixNano())
	h.role = role
	testdb.Must(access.New(testdb.DB(t, h.database)).CreateRole(t.Context(), access.Role{
		Name: role, Access: "backup", ConnectionLimit: -1,
	}))(t)
	t.Cleanup(func() { testdb.Exec(t, h.database, `DROP OWNED BY "`+role+`"; DROP ROLE "`+role+`"`) })
	config := testdb.ConfigAs(t, h.database, role)
	config.MaxConnections = 4
	db := postgres.New(config)
	t.Cleanup(db.Close)
	h.Runner = &runner.Runner{
		DB: db, Name: "a test", Jobs: 2, Identities: []age.Identity{h.identity},
		ServerPrograms: testdb.Must(devstack.ServerPrograms(t.Context(), devstack.Options{}, major))(t),
		Tools: dump.Tools{Dir: tools, Env: []string{
			"PGHOST=" + config.Host, fmt.Sprintf("PGPORT=%d", config.Port), "PGDATABASE=" + h.database, "PGUSER=" + role, "PGSSLMODE=verify-full",
			"PGSSLROOTCERT=" + config.SSLRootCert, "PGSSLCERT=" + config.SSLCert, "PGSSLKEY=" + config.SSLKey,
		}},
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	if len(destinations) == 0 {
		destinations = []backup.Destination{{Type: "file", Path: t.TempDir()}}
	}
	h.schedule = h.declare(destinations...)
	h.fill()
	return h
}

// declare makes the schedule, as Terraform would.
func (h house) declare(destinations ...backup.Destination) backup.Schedule {
	h.t.Helper()
	return testdb.Must(backup.New(testdb.DB(h.t, h.database)).CreateSchedule(h.t.Context(), backup.Schedule{
		Name: "nightly", Cron: "0 3 * * *", Timezone: "UTC", Engine: backup.PgDump, Type: "full", Destinations: destinations,
		Retention: backup.Retention{KeepLast: 2}, Recipients: []string{h.identity.Recipient().String()}, Verify: backup.Checksum,
		Timeout: "5m", Enabled: true,
	}))(h.t)
}

const fillSQL = `
	INSERT INTO public.organizations (id, name, slug, is_active, max_teams, max_users_per_team)
	SELECT gen_random_uuid(), 'Organization ' || n, 'organization-' || n, true, 10, 50 FROM generate_series(1, 20) AS n`

func (h house) fill() {
	testdb.Exec(h.t, h.database, fillSQL)
	testdb.Exec(h.t, h.database, `CREATE TABLE public."Odd ""table" ("a ""column" text, b bytea, c timestamptz, d interval, e float8, f jsonb)`)
	testdb.Exec(h.t, h.database, `INSERT INTO public."Odd ""table" VALUES ('ä\t"', '\x00ff', 'infinity', '1 mon -2 days', 'NaN', '{"a": 1.0}'), (NULL, NULL, NULL, NULL, NULL, NULL)`)
	testdb.Exec(h.t, h.database, `REVOKE ALL ON public."Odd ""table" FROM brownie_reader, brownie_writer, brownie_admin`)
}

func (h house) backup() backup.Backup {
	h.t.Helper()
	return testdb.Must(h.Backup(h.t.Context(), "nightly", nil))(h.t)
}

func TestBackupAndRestore(t *testing.T) {
	h := newHouse(t)
	b := h.backup()
	if b.Status != backup.Succeeded || *b.SizeBytes == 0 {
		t.Fatalf("the backup is %+v", b)
	}
	proof := testdb.Must(h.Verify(t.Context(), b.ID, backup.Restore))(t)
	if !proof.Succeeded || proof.RestoreSeconds == nil {
		t.Fatalf("the proof is %+v", proof)
	}
	stored := testdb.Must(backup.New(h.DB).Backup(t.Context(), b.ID))(t)
	if stored.Verified == nil || !stored.Verified.Succeeded || stored.Verified.Method != backup.Restore {
		t.Errorf("on record is %+v", stored.Verified)
	}
	schedule := testdb.Must(backup.New(h.DB).ScheduleByName(t.Context(), "nightly"))(t)
	if schedule.LastSuccessAt == nil || schedule.LastVerifiedAt == nil || schedule.LastRestoreSeconds == nil || schedule.RestorableUntil == nil {
		t.Errorf("the schedule does not tell what came of it: %+v", schedule.Outcome)
	}
}

// TestNobodyReads looks for what rows hold in everything that is stored.
func TestNobodyReads(t *testing.T) {
	h := newHouse(t)
	h.backup()
	files := 0
	err := filepath.WalkDir(h.schedule.Destinations[0].Path, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files++
		content, err := os.ReadFile(path)
		for _, secret := range []string{"organization-7", "Organization 7", "CREATE TABLE", h.identity.String()} {
			if strings.Contains(string(content), secret) {
				t.Errorf("%s holds %q", path, secret)
			}
		}
		return err
	})
	if err != nil || files < 5 {
		t.Errorf("%d files: %v", files, err)
	}
}
