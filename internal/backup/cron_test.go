package backup_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

func TestCronNext(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what, expression, timezone, from string
		want                             []string
	}{
		{"strictly after", "0 3 * * *", "UTC", "2026-01-01T03:00:00Z", []string{"2026-01-02T03:00:00Z"}},
		{"skipped in spring", "30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", []string{"2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"}},
		{"skipped, several at once", "5,35 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", []string{"2026-03-29T03:00:00+02:00", "2026-03-30T02:05:00+02:00"}},
		{"twice in autumn", "30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", []string{"2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"}},
		{
			"twice, from between", "15 2 * * *", "Europe/Berlin", "2026-10-25T00:50:00Z",
			[]string{"2026-10-26T02:15:00+01:00"},
		},
		{
			"each half hour in autumn", "*/30 * * * *", "Europe/Berlin", "2026-10-25T00:00:00Z",
			[]string{"2026-10-25T02:30:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T02:30:00+01:00", "2026-10-25T03:00:00+01:00"},
		},
		{"each hour in spring", "30 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", []string{"2026-03-29T01:30:00+01:00", "2026-03-29T03:30:00+02:00"}},
		{"no midnight", "0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00Z", []string{"2018-11-04T01:00:00-02:00", "2018-11-05T00:00:00-02:00"}},
		{"half an hour", "15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", []string{"2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"}},
		{"no such day", "0 12 * * *", "Pacific/Apia", "2011-12-29T23:00:00Z", []string{"2011-12-31T00:00:00+14:00", "2011-12-31T12:00:00+14:00"}},
		{"leap years", "0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", []string{"2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"}},
		{"either day", "0 0 13 * 5", "UTC", "2026-01-01T00:00:00Z", []string{"2026-01-02T00:00:00Z", "2026-01-09T00:00:00Z", "2026-01-13T00:00:00Z"}},
		{"Sunday is 7, too", "0 0 * * 7", "UTC", "2026-01-01T00:00:00Z", []string{"2026-01-04T00:00:00Z"}},
		{"names", "0 0 1 JAN,jul mon-fri", "UTC", "2026-07-05T00:00:00Z", []string{"2026-07-06T00:00:00Z"}},
		{"odd blanks", " 0\t3  * * * ", "UTC", "2026-01-01T00:00:00Z", []string{"2026-01-01T03:00:00Z"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			cron, err := backup.ParseCron(c.expression, c.timezone)
			if err != nil {
				t.Fatal(err)
			}
			at, err := time.Parse(time.RFC3339, c.from)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range c.want {
				at = cron.Next(at)
				if got := at.Format(time.RFC3339); got != want {
					t.Errorf("got %s, want %s", got, want)
				}
			}
		})
	}
}

// TestCronAgainstAClock compares with somebody who looks at the zone's clock each minute, through changes of many kinds.
func TestCronAgainstAClock(t *testing.T) {
	t.Parallel()
	for _, timezone := range []string{
		"Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kathmandu", "Europe/Dublin",
		"Pacific/Apia", "Antarctica/Troll", "Asia/Gaza", "UTC",
	} {
		location, err := time.LoadLocation(timezone)
		if err != nil {
			t.Fatal(err)
		}
		from := time.Date(2018, 1, 1, 0, 0, 0, 0, time.UTC)
		for range 50 {
			start := from.Add(time.Duration(rand.N(8*365*24*60)) * time.Minute)
			// Near a change, in half of all cases.
			if _, end := start.In(location).ZoneBounds(); !end.IsZero() && rand.N(2) == 0 {
				start = end.Add(-time.Duration(rand.N(26*60)) * time.Minute)
			}
			hour, minute := rand.N(24), rand.N(60)
			if rand.N(2) == 0 {
				hour = rand.N(4)
			}
			expression := time.Date(2000, 1, 1, hour, minute, 0, 0, time.UTC).Format("4 15") + " * * *"
			cron, err := backup.ParseCron(expression, timezone)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := cron.Next(start), watched(start, hour, minute, location); !got.Equal(want) {
				t.Errorf("%s in %s after %s: got %s, want %s", expression, timezone, start.In(location), got, want.In(location))
			}
		}
	}
}

// watched goes on minute by minute until the clock shows the time for the first time that day, or has passed over it.
func watched(after time.Time, hour, minute int, location *time.Location) time.Time {
	of := func(t time.Time) time.Time {
		_, offset := t.In(location).Zone()
		return t.UTC().Add(time.Duration(offset) * time.Second)
	}
	// A day before, so that what was due already is known.
	seen := map[string]bool{}
	for t := after.Add(-49 * time.Hour).Truncate(time.Minute); ; t = t.Add(time.Minute) {
		wall, now := of(t.Add(-time.Minute)).Add(time.Minute), of(t)
		// Clocks that were set back show it again.
		if wall.After(now) {
			wall = now
		}
		for ; !wall.After(now); wall = wall.Add(time.Minute) {
			if day := wall.Format(time.DateOnly); wall.Hour() == hour && wall.Minute() == minute && !seen[day] {
				seen[day] = true
				if t.After(after) {
					return t
				}
			}
		}
	}
}

func TestCronRefused(t *testing.T) {
	t.Parallel()
	for expression, words := range map[string]string{
		"0 0 3 * * *":        "has 6 fields. It takes five",
		"0 0 3 * * * 2027":   "has 7 fields",
		"* * * *":            "has 4 fields",
		"":                   "has 0 fields",
		"@daily":             "nickname",
		"60 * * * *":         "Minutes go from 0 to 59",
		"0 24 * * *":         "hours to 23",
		"0 0 0 * *":          "days from 1 to 31",
		"0 0 L * *":          `has "L" as its day of month`,
		"0 0 ? * 1#2":        `has "?" as its day of month`,
		"0 0 15W * *":        `"15W"`,
		"5/15 * * * *":       `has "5/15" as its minute`,
		"0 5-1 * * *":        "a range ends before it begins",
		"*/0 * * * *":        "cannot be read",
		"0 0 30 2 *":         "is never due",
		"0 0 31 4,6,9,11 *":  "is never due",
		"0 0 * * mon,":       `"mon,"`,
		"0 0 * * xyz":        "cannot be read",
		"TZ=UTC 0 0 * * *":   "has 6 fields",
		"0 0 * foo *":        "cannot be read",
		"1,2,99 * * * *":     "cannot be read",
		"0\u00a00 * * *":     "has 4 fields",
		"-5 * * * *":         `"-5"`,
		"0 0 1-40 * *":       "cannot be read",
		"*/99999999 * * * *": "cannot be read",
	} {
		t.Run(expression, func(t *testing.T) {
			t.Parallel()
			_, err := backup.ParseCron(expression, "UTC")
			found, ok := errors.AsType[problem.Error](err)
			if !ok || found.Attribute() != "cron" || !strings.Contains(err.Error(), words) {
				t.Errorf("want %q, got %v", words, err)
			}
		})
	}
	for _, timezone := range []string{"", "Local", "Europe/Atlantis", "../etc/passwd", "CET+1"} {
		_, err := backup.ParseCron("0 0 * * *", timezone)
		if found, ok := errors.AsType[problem.Error](err); !ok || found.Attribute() != "timezone" {
			t.Errorf("%q: %v", timezone, err)
		}
	}
}
