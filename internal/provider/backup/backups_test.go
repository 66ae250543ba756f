package backup_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/acctest"
)

const recordsSQL = `
	INSERT INTO brownie.backups (id, schedule_id, schedule_name, engine, type, due_at, started_at, ended_at, status, snapshot_at, size_bytes,
		sha256, destinations, error, retryable, runner, pruned_at)
	SELECT id, (SELECT s.id FROM brownie.backup_schedules s WHERE s.name = schedule), schedule, 'pg_dump', 'full', due_at, started_at, ended_at,
		status, snapshot_at, size_bytes, sha256, destinations, error, retryable, 'runner', pruned_at
	FROM (VALUES
		('1-old', 'nightly', '2026-01-01T02:15Z'::timestamptz, '2026-01-01T02:15Z'::timestamptz, '2026-01-01T02:20Z'::timestamptz, 'succeeded',
			'2026-01-01T02:15:01Z'::timestamptz, 1000::bigint, repeat('a', 64), '[]'::jsonb, NULL, NULL::boolean, now()),
		('2-good', 'nightly', '2026-01-02T02:15Z', '2026-01-02T02:15Z', '2026-01-02T02:20Z', 'succeeded', '2026-01-02T02:15:01Z', 5000000000,
			repeat('b', 64), '[{"location": "s3://acme/2-good"}, {"location": "gs://acme/2-good", "error": "403"}]', NULL, NULL, NULL),
		('3-bad', 'nightly', '2026-01-03T02:15Z', '2026-01-03T02:15Z', '2026-01-03T02:16Z', 'failed', NULL, NULL, NULL, '[]', 'the disk is full',
			true, NULL),
		('4-running', 'nightly', NULL, '2026-01-03T12:00Z', NULL, 'running', NULL, NULL, NULL, '[]', NULL, NULL, NULL),
		('5-other', 'gone', '2026-01-02T12:00Z', '2026-01-02T12:00Z', '2026-01-02T12:01Z', 'succeeded', '2026-01-02T12:00:01Z', 1, repeat('c', 64),
			'[{"location": "file:///b/5-other"}]', NULL, NULL, NULL)
	) AS v (id, schedule, due_at, started_at, ended_at, status, snapshot_at, size_bytes, sha256, destinations, error, retryable, pruned_at);
	INSERT INTO brownie.backup_verifications (backup_id, method, started_at, ended_at, succeeded, restore_seconds, error, runner) VALUES
		('2-good', 'restore', '2026-01-02T03:00Z', '2026-01-02T03:05Z', false, NULL, 'no room', 'runner'),
		('2-good', 'restore', '2026-01-02T04:00Z', '2026-01-02T04:05Z', true, 61.25, NULL, 'runner'),
		('5-other', 'checksum', '2026-01-02T13:00Z', '2026-01-02T13:01Z', true, NULL, NULL, 'runner'),
		('5-other', 'checksum', '2026-01-02T14:00Z', '2026-01-02T14:01Z', false, NULL, 'one part is missing', 'runner')`

func TestAccBackupDataSources(t *testing.T) {
	acctest.Run(t, func(database string) []resource.TestStep {
		return []resource.TestStep{
			{
				Config:      `data "brownie_backup_schedule" "missing" { name = "missing" }`,
				ExpectError: acctest.Says(`There is no backup schedule with name = "missing".`),
			},
			{
				Config:      `data "brownie_backup_schedule" "missing" {}`,
				ExpectError: acctest.Says(`Exactly one of these attributes must be configured: [id,name]`),
			},
			{
				Config:      `data "brownie_backups" "wrong" { status = "done" }`,
				ExpectError: acctest.Says(`status value must be one of`),
			},
			{Config: nightly(nil)},
			{
				PreConfig: acctest.BehindTerraformsBack(t, database, recordsSQL),
				Config: nightly(nil) + `
data "brownie_backup_schedule" "by_id"   { id = brownie_backup_schedule.nightly.id }
data "brownie_backup_schedule" "by_name" { name = brownie_backup_schedule.nightly.name }
data "brownie_backups" "all"             {}
data "brownie_backups" "nightly"         { schedule = "nightly" }
data "brownie_backups" "failed"          { status = "failed" }
data "brownie_backups" "verified"        { verified = true }
data "brownie_backups" "unverified"      { verified = false }
data "brownie_backups" "none"            { schedule = "none" }
data "brownie_backups" "after" {
  started_after = "2026-01-02T13:00:00+01:00" # 12:00 UTC, which one of them was
  limit         = 1
}
`,
				Check: resource.ComposeAggregateTestCheckFunc(
					resource.TestCheckResourceAttrPair("data.brownie_backup_schedule.by_id", "name", address, "name"),
					resource.TestCheckResourceAttrPair("data.brownie_backup_schedule.by_name", "id", address, "id"),
					acctest.Attributes("data.brownie_backup_schedule.by_name", map[string]string{
						"cron": "15 2 * * *", "destinations.0.path": "/var/backups/brownie", "retention.keep_last": "3", "encryption.recipients.#": "2",
						"next_runs.#": "3", "last_success_at": "2026-01-02T02:20:00Z", "last_verified_at": "2026-01-02T04:05:00Z",
						"restorable_from": "2026-01-02T02:15:01Z", "restorable_until": "2026-01-02T02:15:01Z", "last_restore_seconds": "61.25",
					}),
					acctest.Attributes("data.brownie_backups.all", map[string]string{
						"backups.#": "5", "backups.0.id": "4-running", "backups.1.id": "3-bad", "backups.2.id": "5-other", "backups.3.id": "2-good",
						"backups.4.id": "1-old",
						// of the one whose last verification failed
						"backups.2.schedule": "gone", "backups.2.verified": "false", "backups.2.verification": "checksum",
						"backups.2.verified_at": "2026-01-02T14:01:00Z", "backups.2.verification_error": "one part is missing",
						// of the good one
						"backups.3.schedule": "nightly", "backups.3.engine": "pg_dump", "backups.3.type": "full", "backups.3.due_at": "2026-01-02T02:15:00Z",
						"backups.3.started_at": "2026-01-02T02:15:00Z", "backups.3.ended_at": "2026-01-02T02:20:00Z", "backups.3.status": "succeeded",
						"backups.3.snapshot_at": "2026-01-02T02:15:01Z", "backups.3.size_bytes": "5000000000", "backups.3.locations.#": "1",
						"backups.3.locations.0": "s3://acme/2-good", "backups.3.verified": "true", "backups.3.verified_at": "2026-01-02T04:05:00Z",
						"backups.3.verification": "restore", "backups.3.restore_seconds": "61.25",
						"backups.1.error": "the disk is full", "backups.1.verified": "false", "backups.1.locations.#": "0",
					}),
					resource.TestCheckResourceAttrPair("data.brownie_backups.all", "backups.3.schedule_id", address, "id"),
					resource.TestCheckNoResourceAttr("data.brownie_backups.all", "backups.2.schedule_id"),
					resource.TestCheckNoResourceAttr("data.brownie_backups.all", "backups.0.due_at"),
					resource.TestCheckNoResourceAttr("data.brownie_backups.all", "backups.0.ended_at"),
					resource.TestCheckNoResourceAttr("data.brownie_backups.all", "backups.3.pruned_at"),
					resource.TestCheckNoResourceAttr("data.brownie_backups.all", "backups.3.verification_error"),
					resource.TestCheckResourceAttrSet("data.brownie_backups.all", "backups.4.pruned_at"),
					acctest.Attributes("data.brownie_backups.nightly", map[string]string{"backups.#": "4", "backups.0.id": "4-running"}),
					acctest.Attributes("data.brownie_backups.failed", map[string]string{"backups.#": "1", "backups.0.id": "3-bad"}),
					acctest.Attributes("data.brownie_backups.verified", map[string]string{"backups.#": "1", "backups.0.id": "2-good"}),
					acctest.Attributes("data.brownie_backups.unverified", map[string]string{"backups.#": "4"}),
					acctest.Attributes("data.brownie_backups.none", map[string]string{"backups.#": "0"}),
					acctest.Attributes("data.brownie_backups.after", map[string]string{"backups.#": "1", "backups.0.id": "4-running"}),
				),
			},
		}
	})
}

// The example tells when there is no fresh proof, and is silent when there is one.
func TestAccBackupsExampleAlerts(t *testing.T) {
	t.Parallel()
	example, err := os.ReadFile(filepath.Join(testdb.Repository(t), "examples", "data-sources", "brownie_backups", "data-source.tf"))
	if err != nil {
		t.Fatal(err)
	}
	database := testdb.Migrated(t)
	w := acctest.NewWorkspace(t, database, string(example))
	for _, step := range []struct {
		age    string
		alerts bool
	}{{"", true}, {"27 hours", true}, {"25 hours", false}} {
		if step.age != "" {
			testdb.Exec(t, database, `
				WITH made AS (
					INSERT INTO brownie.backups (id, schedule_name, engine, type, started_at, ended_at, status, snapshot_at, runner, size_bytes, sha256)
					SELECT gen_random_uuid(), 'nightly', 'pg_dump', 'full', at, at, 'succeeded', at, 'r', 1, 'x' FROM (SELECT now() - $1::interval) AS v (at)
					RETURNING id)
				INSERT INTO brownie.backup_verifications (backup_id, method, started_at, ended_at, succeeded, runner)
				SELECT id, 'restore', now(), now(), true, 'r' FROM made`, step.age)
		}
		output, err := w.Apply()
		if err != nil || strings.Contains(output, "The last verified backup is older than 26 hours") != step.alerts {
			t.Errorf("age %q: %v\n%s", step.age, err, output)
		}
	}
}
