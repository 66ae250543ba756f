package backup_test

import (
	"fmt"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/acctest"
)

func TestAccCronNext(t *testing.T) {
	acctest.Run(t, func(string) []resource.TestStep {
		config := func(expression, timezone, from string) string {
			return fmt.Sprintf("output \"next\" {\n  value = provider::brownie::cron_next(%q, %q, %q)\n}\n", expression, timezone, from)
		}
		is := func(want string) []statecheck.StateCheck {
			return []statecheck.StateCheck{statecheck.ExpectKnownOutputValue("next", knownvalue.StringExact(want))}
		}
		return []resource.TestStep{
			{Config: config("30 2 * * *", "UTC", "2026-03-28T02:30:00Z"), ConfigStateChecks: is("2026-03-29T02:30:00Z")},
			// Clocks go from 2:00 to 3:00 there.
			{Config: config("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00+01:00"), ConfigStateChecks: is("2026-03-29T01:00:00Z")},
			{Config: config("30 2 * * *", "Europe/Berlin", "2026-10-25T02:30:00+02:00"), ConfigStateChecks: is("2026-10-26T01:30:00Z")},
			{Config: config("0 0 3 * * *", "UTC", "2026-01-01T00:00:00Z"), ExpectError: acctest.Says(`while calling provider::brownie::cron_next(expr, timezone, from) Invalid value for "expr" parameter: the cron expression "0 0 3 * * *" has 6 fields`)},
			{Config: config("0 3 * * *", "Europe/Atlantis", "2026-01-01T00:00:00Z"), ExpectError: acctest.Says(`Invalid value for "timezone" parameter: there is no time zone "Europe/Atlantis"`)},
			{Config: config("0 3 * * *", "UTC", "yesterday"), ExpectError: acctest.Says(`Invalid value for "from" parameter: "yesterday" is no RFC 3339 time`)},
			{Config: config("0 3 29 2 *", "UTC", "2996-01-01T00:00:00Z"), ExpectError: acctest.Says(`is not due after 2996-01-01T00:00:00Z`)},
		}
	})
}
