package backup_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/acctest"
)

// Public keys of age, and the identity of the first.
const (
	runnerKey  = "age136vh6v52chyqneypd0hxlgsrc3e3lgnw23ajppj56edhyq0xyp5snmuf99"
	offlineKey = "age1gp8egdhvyl764ggffl95v5yu8unmx7pwu20ss45lapjxxdlyd9esk9d5cp"
	secretKey  = "AGE-SECRET-KEY-1QQPQQPQQPQQPQQPQQPQQPQQPQQPQQPQQPQQPQQPQQPQQPQQPQQPQQPQQPQ"
)

// address is the schedule of these tests.
const address = "brownie_backup_schedule.nightly"

// given are the arguments that each schedule must have.
var given = map[string]string{
	"name":         `"nightly"`,
	"cron":         `"15 2 * * *"`,
	"destinations": `[{ type = "file", path = "/var/backups/brownie" }]`,
	"retention":    `{ keep_last = 3 }`,
	"encryption":   fmt.Sprintf("{ recipients = [%q, %q] }", runnerKey, offlineKey),
}

// nightly is a schedule with some arguments written otherwise.
func nightly(arguments map[string]string) string {
	var text strings.Builder
	text.WriteString("resource \"brownie_backup_schedule\" \"nightly\" {\n")
	for name, value := range given {
		if _, ok := arguments[name]; !ok {
			fmt.Fprintf(&text, "  %s = %s\n", name, value)
		}
	}
	for name, value := range arguments {
		fmt.Fprintf(&text, "  %s = %s\n", name, value)
	}
	text.WriteString("}\n")
	return text.String()
}

func TestAccBackupSchedule(t *testing.T) {
	acctest.Lifecycle{
		Address: address, Key: "nightly-2",
		Created: nightly(nil),
		Updated: fmt.Sprintf(`
resource "brownie_backup_schedule" "nightly" {
  name         = "nightly-2"
  cron         = "30 2 * * 1-5"
  timezone     = "Europe/Berlin"
  engine       = "pgbackrest"
  type         = "incr"
  destinations = [
    { type = "s3", bucket = "acme-backups", path = "a/b", region = "eu-central-1", endpoint = "https://s3.example", path_style = true },
    { type = "gcs", bucket = "acme-backups" },
    { type = "azure", bucket = "acme-backups", path = "a" },
  ]
  retention = {
    keep_last = 1, keep_daily = 2, keep_weekly = 3, keep_monthly = 4, keep_yearly = 5, keep_days = 6
  }
  encryption          = { recipients = [%q] }
  verify              = "restore"
  verify_cron         = "0 6 * * 0"
  max_restore_seconds = 3600
  timeout             = "90m"
  enabled             = false
}`, offlineKey),
		Check: acctest.Attributes(address, map[string]string{
			"name": "nightly-2", "cron": "30 2 * * 1-5", "timezone": "Europe/Berlin", "engine": "pgbackrest", "type": "incr",
			"destinations.#": "3", "destinations.0.bucket": "acme-backups", "destinations.0.path": "a/b", "destinations.0.region": "eu-central-1",
			"destinations.0.endpoint": "https://s3.example", "destinations.0.path_style": "true", "destinations.1.type": "gcs",
			"destinations.1.path_style": "false", "destinations.2.type": "azure", "retention.keep_last": "1", "retention.keep_daily": "2",
			"retention.keep_weekly": "3", "retention.keep_monthly": "4", "retention.keep_yearly": "5", "retention.keep_days": "6",
			"encryption.recipients.#": "1", "encryption.recipients.0": offlineKey, "verify": "restore", "verify_cron": "0 6 * * 0",
			"max_restore_seconds": "3600", "timeout": "90m", "enabled": "false", "next_runs.#": "0",
		}),
		Drift: `UPDATE brownie.backup_schedules SET cron = '* * * * *', destinations = '[]', retention = '{}', recipients = '["x"]',
			verify_cron = NULL, max_restore_seconds = NULL, enabled = true, updated_at = now()`,
		Remove: `DELETE FROM brownie.backup_schedules`,
	}.Run(t)
}

// Defaults are what the contract says, and the next runs are those of the zone's clock.
func TestAccBackupScheduleDefaults(t *testing.T) {
	acctest.Run(t, func(string) []resource.TestStep {
		return []resource.TestStep{{
			Config: nightly(map[string]string{"timezone": `"Asia/Kathmandu"`}),
			Check: resource.ComposeAggregateTestCheckFunc(
				acctest.Attributes(address, map[string]string{
					"engine": "pg_dump", "type": "full", "verify": "restore", "timeout": "1h", "enabled": "true", "next_runs.#": "3",
					"retention.keep_last": "3", "retention.keep_daily": "0", "destinations.0.path_style": "false",
				}),
				resource.TestCheckNoResourceAttr(address, "last_success_at"),
				resource.TestCheckNoResourceAttr(address, "last_restore_seconds"),
				func(s *terraform.State) error {
					before := time.Now() // 2:15 there is 20:30 UTC
					for i := range 3 {
						text := s.RootModule().Resources[address].Primary.Attributes[fmt.Sprintf("next_runs.%d", i)]
						next, err := time.Parse("2006-01-02T15:04:05Z", text)
						if err != nil || next.Format("15:04") != "20:30" || i > 0 && next.Sub(before) != 24*time.Hour || i == 0 && next.Sub(before).Abs() > 25*time.Hour {
							return fmt.Errorf("run %d is due at %s, after %s: %w", i, text, before, err)
						}
						before = next
					}
					return nil
				}),
		}}
	})
}

// An update shows as unknown only what it can change.
func TestAccBackupScheduleUpdateKeepsOutcomes(t *testing.T) {
	const runs = `
		INSERT INTO brownie.backups (id, schedule_name, engine, type, started_at, ended_at, status, snapshot_at, runner, size_bytes, sha256) VALUES
			('a', 'nightly', 'pg_dump', 'full', '2026-01-01T02:15Z', '2026-01-01T02:20Z', 'succeeded', '2026-01-01T02:15:01Z', 'r', 1, 'x'),
			('b', 'nightly', 'pg_dump', 'full', '2026-01-02T02:15Z', '2026-01-02T02:20Z', 'succeeded', '2026-01-02T02:15:01Z', 'r', 1, 'x'),
			('c', 'nightly', 'pg_dump', 'full', '2026-01-03T02:15Z', '2026-01-03T02:20Z', 'failed', NULL, 'r', 1, 'x');
		UPDATE brownie.backups SET pruned_at = now() WHERE id = 'a';
		INSERT INTO brownie.backup_verifications (backup_id, method, started_at, ended_at, succeeded, restore_seconds, runner) VALUES
			('b', 'restore', '2026-01-02T03:00Z', '2026-01-02T03:05Z', true, 12.5, 'r'),
			('b', 'restore', '2026-01-02T04:00Z', '2026-01-02T04:05Z', false, NULL, 'r')`
	outcomes := map[string]string{
		"last_success_at": "2026-01-02T02:20:00Z", "last_verified_at": "2026-01-02T03:05:00Z",
		"restorable_from": "2026-01-02T02:15:01Z", "restorable_until": "2026-01-02T02:15:01Z", "last_restore_seconds": "12.5",
	}
	unknown := func(attribute string) plancheck.PlanCheck {
		return plancheck.ExpectUnknownValue(address, tfjsonpath.New(attribute))
	}
	known := func(attribute string, value knownvalue.Check) plancheck.PlanCheck {
		return plancheck.ExpectKnownValue(address, tfjsonpath.New(attribute), value)
	}
	before := func(checks ...plancheck.PlanCheck) resource.ConfigPlanChecks {
		return resource.ConfigPlanChecks{PreApply: append(checks, plancheck.ExpectResourceAction(address, plancheck.ResourceActionUpdate))}
	}
	acctest.Run(t, func(database string) []resource.TestStep {
		return []resource.TestStep{
			{Config: nightly(nil)},
			{
				PreConfig: acctest.BehindTerraformsBack(t, database, runs), Config: nightly(nil), PlanOnly: true,
			},
			{
				Config: nightly(map[string]string{"timeout": `"2h"`}),
				ConfigPlanChecks: before(known("next_runs", knownvalue.ListSizeExact(3)),
					known("last_success_at", knownvalue.StringExact("2026-01-02T02:20:00Z")), unknown("updated_at")),
				Check: acctest.Attributes(address, outcomes),
			},
			{
				Config: nightly(map[string]string{"timeout": `"2h"`, "timezone": `"Asia/Tokyo"`}),
				ConfigPlanChecks: before(unknown("next_runs"),
					known("last_restore_seconds", knownvalue.Float64Exact(12.5))),
				Check: acctest.Attributes(address, outcomes),
			},
			{
				Config:           nightly(map[string]string{"name": `"other"`, "timezone": `"Asia/Tokyo"`}),
				ConfigPlanChecks: before(known("next_runs", knownvalue.ListSizeExact(3)), unknown("last_success_at"), unknown("restorable_from")),
				Check:            resource.TestCheckNoResourceAttr(address, "last_success_at"),
			},
			{ // The records stay when the schedule goes.
				Config: "# none\n",
				Check: func(*terraform.State) error {
					if left := testdb.Value[int64](t, database, `SELECT count(*) FROM brownie.backups`); left != 3 {
						return fmt.Errorf("%d records are left", left)
					}
					return nil
				},
			},
		}
	})
}

func TestAccBackupScheduleNameTaken(t *testing.T) {
	acctest.Run(t, func(database string) []resource.TestStep {
		return []resource.TestStep{
			{Config: nightly(nil)},
			{
				Config: nightly(nil) + strings.Replace(nightly(nil), `"nightly" {`, `"second" {`, 1),
				ExpectError: acctest.Says(`backup schedule "nightly": the name "nightly" is taken by another backup schedule. Choose another
					name; or, if no other resource manages that backup schedule and this one shall, import it: add this block, with this
					resource's own name instead of NAME, and apply again: import { to = brownie_backup_schedule.NAME`),
			},
			{ // Somebody changes it between plan and apply: nothing of that is lost.
				Config: nightly(map[string]string{"timeout": `"3h"`}),
				ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{acctest.BetweenPlanAndApply(t, database,
					`UPDATE brownie.backup_schedules SET cron = '0 0 * * *', updated_at = now()`)}},
				ExpectError: acctest.Says(`backup schedule "nightly": somebody else has changed it since this was planned`),
			},
		}
	})
}

func TestAccBackupScheduleRefused(t *testing.T) {
	acctest.Run(t, func(string) []resource.TestStep {
		var steps []resource.TestStep
		for _, wrong := range []struct {
			arguments      map[string]string
			attribute, say string
		}{
			{map[string]string{"name": `"Nightly"`}, "name", `the name "Nightly" cannot be part of an object's key. Use at most 63 lower-case letters, digits, hyphens and underscores, and begin and end with a letter or digit.`},
			{map[string]string{"cron": `"0 15 2 * * *"`}, "cron", `the cron expression "0 15 2 * * *" has 6 fields. It takes five: minute, hour, day of month, month, day of week. Leave out the seconds, which some programs put first, and the year, which some put last.`},
			{map[string]string{"timezone": `"Europe/Atlantis"`}, "timezone", `there is no time zone "Europe/Atlantis". Use a name of the IANA database, such as ` + "`UTC` or `Europe/Berlin`."},
			{map[string]string{"type": `"incr"`}, "type", "engine pg_dump makes no backups of type \"incr\". Each of its backups is a full one; use `full`, or engine pgbackrest."},
			{map[string]string{"retention": `{}`}, "retention", "the retention keeps nothing, not even the last good backup. Give at least `keep_last = 1`."},
			{map[string]string{"retention": `{ keep_last = 0, keep_daily = 0 }`}, "retention", "the retention keeps nothing"},
			{map[string]string{"retention": `{ keep_last = -1 }`}, "retention", "the retention has a negative number. Give how many are kept, or leave the rule out."},
			{map[string]string{"destinations": `[for i in range(4) : { type = "file", path = "/var/${i}" }]`}, "destinations", "a schedule has 4 destinations. Name one to three."},
			{map[string]string{"destinations": `[]`}, "destinations", "a schedule has 0 destinations. Name one to three."},
			{map[string]string{"destinations": `[{ type = "file", path = "backups/" }]`}, "destinations", "the destination file://backups/ has the path \"backups/\". Give the absolute path of a folder, without `.`, `..` or a slash at the end, such as `/var/backups/brownie`."},
			{map[string]string{"destinations": `[{ type = "s3", bucket = "s3://acme" }]`}, "destinations", `has the bucket "s3://acme". Give the bucket's name alone: 3 to 63 letters, digits, dots, hyphens or underscores. What follows it belongs into ` + "`path`."},
			{map[string]string{"destinations": `[{ type = "s3", bucket = "acme", path = "/a" }]`}, "destinations", "the destination s3://acme/a has the path \"/a\". Give what keys shall begin with, without a slash at either end, `.` or `..`, such as `brownie/production`."},
			{map[string]string{"destinations": `[{ type = "s3", bucket = "acme" }, { type = "s3", bucket = "acme" }]`}, "destinations", "the destination s3://acme is named twice. A second copy has to be elsewhere; leave this one out."},
			{map[string]string{"engine": `"pgbackrest"`, "destinations": `[{ type = "s3", bucket = "acme", endpoint = "http://s3.example" }]`}, "destinations", "the destination s3://acme has the endpoint \"http://s3.example\", and pgBackRest reaches no store without TLS. Give one that begins with https://"},
			{map[string]string{"encryption": `{ recipients = [] }`}, "", "nobody could read the backups. Name the public keys of age whose owners can"},
			{map[string]string{"encryption": `{ recipients = ["ssh-rsa x"] }`}, "", "recipient 1 is no public key of age. Give one that begins with age1, as `age-keygen` tells it."},
			{map[string]string{"verify": `"none"`, "verify_cron": `"0 6 * * *"`}, "verify_cron", "nothing is verified, so that it has no time. Leave it out, or use another `verify`."},
			{map[string]string{"verify_cron": `"0 25 * * *"`}, "verify_cron", `the cron expression "0 25 * * *" cannot be read`},
			{map[string]string{"verify": `"checksum"`, "max_restore_seconds": `60`}, "max_restore_seconds", "nothing is restored that could take too long. Use `verify = \"restore\"`, or leave this out."},
			{map[string]string{"timeout": `"soon"`}, "timeout", "the timeout \"soon\" is no positive duration with a unit. Use one such as `1h` or `90m`."},
		} {
			summary, line := "Invalid "+wrong.attribute, wrong.attribute+" = "
			if wrong.attribute == "" { // The line of a wrong recipient is not shown.
				summary, line = "Invalid encryption.recipients", "resource "
			}
			steps = append(steps, resource.TestStep{
				Config: nightly(wrong.arguments), PlanOnly: true,
				ExpectError: regexp.MustCompile(acctest.Says(summary).String() + `(?s:.*)\d+: +` + line + `(?s:.*)` + acctest.Says(wrong.say).String()),
			})
		}
		return append(steps,
			resource.TestStep{Config: nightly(map[string]string{"max_restore_seconds": "0"}), PlanOnly: true, ExpectError: acctest.Says("max_restore_seconds value must be between 1 and")},
			resource.TestStep{Config: nightly(map[string]string{"destinations": "[null]"}), PlanOnly: true, ExpectError: acctest.Says("Null List Value")},
			resource.TestStep{Config: nightly(map[string]string{"engine": `"barman"`}), PlanOnly: true, ExpectError: acctest.Says("engine value must be one of")},
			resource.TestStep{ // What is not known yet is left for later, all else is not.
				Config: "resource \"terraform_data\" \"later\" {}\n" + nightly(map[string]string{
					"destinations": `[{ type = "s3", bucket = terraform_data.later.id }]`, "cron": `"@daily"`,
				}),
				PlanOnly: true, ExpectError: acctest.Says(`the cron expression "@daily" is a nickname that not every cron knows`),
			},
			resource.TestStep{
				Config: "resource \"terraform_data\" \"later\" {\n  input = \"pgbackrest\"\n}\n" + nightly(map[string]string{
					"destinations": `[{ type = "s3", bucket = terraform_data.later.id }]`, "engine": "terraform_data.later.output", "type": `"incr"`,
				}),
				PlanOnly: true, ExpectNonEmptyPlan: true,
			})
	})
}

// A secret key in the wrong place is told from what is no key, and shown nowhere, not even as a line of the configuration.
func TestAccBackupScheduleNeverShowsASecretKey(t *testing.T) {
	t.Parallel()
	database := testdb.Migrated(t)
	for name, config := range map[string]string{
		"variable": "variable \"key\" {\n  default = \"" + secretKey + "\"\n}\n" + nightly(map[string]string{"encryption": `{ recipients = [var.key] }`}),
		"literal":  nightly(map[string]string{"encryption": `{ recipients = ["` + secretKey + `"] }`}),
		"known beside one that is not": "resource \"terraform_data\" \"later\" {\n  input = \"" + offlineKey + "\"\n}\n" +
			nightly(map[string]string{"encryption": `{ recipients = ["` + secretKey + `", terraform_data.later.output] }`}),
		"lower": nightly(map[string]string{"encryption": `{ recipients = ["` + strings.ToLower(secretKey) + `"] }`}),
	} {
		output, err := acctest.NewWorkspace(t, database, config).Apply()
		if err == nil || !acctest.Says("recipient 1 is a secret key. It belongs into no configuration").MatchString(output) {
			t.Errorf("%s: %v\n%s", name, err, output)
		}
		if strings.Contains(strings.ToLower(output), strings.ToLower(secretKey)) {
			t.Errorf("%s shows it:\n%s", name, output)
		}
	}
}

func TestAccBackupScheduleWarns(t *testing.T) {
	for name, c := range map[string]struct {
		arguments map[string]string
		want      string
	}{
		"one recipient": {map[string]string{"encryption": fmt.Sprintf("{ recipients = [%q] }", runnerKey)}, "Warning: One recipient is all that can read the backups"},
		"pgbackrest":    {map[string]string{"engine": `"pgbackrest"`, "type": `"incr"`}, ""},
		"neither":       {nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			output := acctest.NewWorkspaceWith(t, nil, nightly(c.arguments)).MustRun("validate")
			if !strings.Contains(output, c.want) || c.want == "" && strings.Contains(output, "schedule") {
				t.Errorf("want %q, got\n%s", c.want, output)
			}
		})
	}
}
