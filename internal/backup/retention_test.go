package backup_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup"
)

// kept reads backups such as "2026-01-31T02:00Z verified", whose IDs are their times. Others are good, "bad", or "broken": one that was
// verified well before somebody found it to be broken.
func kept(t *testing.T, lines ...string) []backup.Kept {
	t.Helper()
	backups := make([]backup.Kept, len(lines))
	for i, line := range lines {
		at, kind, _ := strings.Cut(line, " ")
		started, err := time.Parse("2006-01-02T15:04Z07:00", at)
		if err != nil {
			t.Fatal(err)
		}
		backups[i] = backup.Kept{
			ID: at, At: started, Good: kind == "" || kind == "verified", Verified: kind == "verified" || kind == "broken",
		}
	}
	return backups
}

func TestPrunable(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what      string
		retention backup.Retention
		timezone  string
		backups   []string
		prunable  []string
	}{
		{
			"the last ones",
			backup.Retention{KeepLast: 2},
			"UTC",
			[]string{"2026-06-01T02:00Z", "2026-06-02T02:00Z", "2026-06-03T02:00Z", "2026-06-04T02:00Z"},
			[]string{"2026-06-02T02:00Z", "2026-06-01T02:00Z"},
		},
		{"nothing", backup.Retention{KeepLast: 2}, "UTC", nil, nil},
		{
			"bad ones are not counted",
			backup.Retention{KeepLast: 2},
			"UTC",
			[]string{"2026-06-01T02:00Z", "2026-06-02T02:00Z", "2026-06-03T02:00Z bad", "2026-06-04T02:00Z"},
			[]string{"2026-06-03T02:00Z", "2026-06-01T02:00Z"},
		},
		{
			"bad ones after the last good one stay",
			backup.Retention{KeepLast: 1},
			"UTC",
			[]string{"2026-06-01T02:00Z bad", "2026-06-02T02:00Z", "2026-06-03T02:00Z bad", "2026-06-04T02:00Z bad"},
			[]string{"2026-06-01T02:00Z"},
		},
		{
			"only bad ones",
			backup.Retention{KeepLast: 1},
			"UTC",
			[]string{"2026-06-01T02:00Z bad", "2026-06-02T02:00Z bad"},
			nil,
		},
		{
			"the last verified one",
			backup.Retention{KeepLast: 1},
			"UTC",
			[]string{"2026-06-01T02:00Z verified", "2026-06-02T02:00Z verified", "2026-06-03T02:00Z", "2026-06-04T02:00Z"},
			[]string{"2026-06-03T02:00Z", "2026-06-01T02:00Z"},
		},
		{
			"what was verified once and is broken is no proof",
			backup.Retention{KeepLast: 1},
			"UTC",
			[]string{"2026-06-01T02:00Z verified", "2026-06-02T02:00Z broken", "2026-06-03T02:00Z"},
			[]string{"2026-06-02T02:00Z"},
		},
		{
			"the last of each day",
			backup.Retention{KeepDaily: 2},
			"UTC",
			[]string{"2026-06-01T22:00Z", "2026-06-02T02:00Z", "2026-06-02T12:00Z", "2026-06-02T22:00Z", "2026-06-04T02:00Z", "2026-06-04T03:00Z"},
			[]string{"2026-06-04T02:00Z", "2026-06-02T12:00Z", "2026-06-02T02:00Z", "2026-06-01T22:00Z"},
		},
		{ // 22:30 UTC is half past midnight there
			"days of the time zone",
			backup.Retention{KeepDaily: 2},
			"Europe/Berlin",
			[]string{"2026-06-01T21:30Z", "2026-06-01T22:30Z", "2026-06-02T21:30Z", "2026-06-02T22:30Z"},
			[]string{"2026-06-01T22:30Z", "2026-06-01T21:30Z"},
		},
		{ // from Monday to Sunday, and the one of the New Year belongs to two years
			"weeks of ISO 8601",
			backup.Retention{KeepWeekly: 2},
			"UTC",
			[]string{"2025-12-28T12:00Z", "2025-12-29T12:00Z", "2025-12-31T12:00Z", "2026-01-01T12:00Z", "2026-01-04T12:00Z", "2026-01-05T12:00Z"},
			[]string{"2026-01-01T12:00Z", "2025-12-31T12:00Z", "2025-12-29T12:00Z", "2025-12-28T12:00Z"},
		},
		{
			"months",
			backup.Retention{KeepMonthly: 2},
			"UTC",
			[]string{"2026-03-31T12:00Z", "2026-04-01T00:00Z", "2026-04-30T23:59Z", "2026-05-01T00:00Z"},
			[]string{"2026-04-01T00:00Z", "2026-03-31T12:00Z"},
		},
		{
			"years",
			backup.Retention{KeepYearly: 2},
			"UTC",
			[]string{"2024-12-31T12:00Z", "2025-01-01T12:00Z", "2025-12-31T12:00Z", "2026-01-01T12:00Z"},
			[]string{"2025-01-01T12:00Z", "2024-12-31T12:00Z"},
		},
		{ // now is the 10th at noon
			"all of some days, bad ones too",
			backup.Retention{KeepDays: 3},
			"UTC",
			[]string{"2026-06-07T11:59Z", "2026-06-07T12:01Z bad", "2026-06-08T12:00Z", "2026-06-08T13:00Z"},
			[]string{"2026-06-07T11:59Z"},
		},
		{
			"what any rule keeps",
			backup.Retention{KeepLast: 1, KeepMonthly: 2},
			"UTC",
			[]string{"2026-04-30T12:00Z", "2026-05-30T12:00Z", "2026-06-01T12:00Z", "2026-06-02T12:00Z"},
			[]string{"2026-06-01T12:00Z", "2026-04-30T12:00Z"},
		},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			location, err := time.LoadLocation(c.timezone)
			if err != nil {
				t.Fatal(err)
			}
			now := time.Date(2026, 6, 10, 12, 0, 0, 0, time.UTC)
			backups := kept(t, c.backups...)
			rand.Shuffle(len(backups), func(i, j int) { backups[i], backups[j] = backups[j], backups[i] })
			if got := c.retention.Prunable(backups, location, now); !slices.Equal(got, c.prunable) {
				t.Errorf("got %v, want %v", got, c.prunable)
			}
		})
	}
}

// Whatever the rules and whatever went wrong: the last good backup and the last verified one stay, and so does what is younger than the
// last good one; what is pruned today is not kept by the same rules tomorrow.
func TestPrunableNeverTakesTheLast(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for range 2000 {
		few := func() int { return max(0, random.IntN(6)-3) }
		retention := backup.Retention{
			KeepLast: few(), KeepDaily: few(), KeepWeekly: few(), KeepMonthly: few(), KeepYearly: few(), KeepDays: few(),
		}
		var backups []backup.Kept
		lastGood, lastVerified := -1, -1
		for i := range random.IntN(40) {
			b := backup.Kept{ID: fmt.Sprint(i), At: start.Add(time.Duration(i*7) * time.Hour), Good: random.IntN(3) > 0}
			b.Verified = random.IntN(3) == 0
			if backups = append(backups, b); b.Good {
				lastGood = i
				if b.Verified {
					lastVerified = i
				}
			}
		}
		now := start.Add(time.Duration(len(backups)*7+random.IntN(100)) * time.Hour)
		pruned := retention.Prunable(backups, time.UTC, now)
		var left []backup.Kept
		for i, b := range backups {
			if gone := slices.Contains(pruned, b.ID); !gone {
				left = append(left, b)
			} else if i >= lastGood || i == lastVerified {
				t.Fatalf("%+v prunes %d of %+v, of which %d is the last good and %d the last verified", retention, i, backups, lastGood, lastVerified)
			}
		}
		if again := retention.Prunable(left, time.UTC, now); len(again) > 0 {
			t.Fatalf("%+v prunes %v of %+v only the second time", retention, again, backups)
		}
	}
}

func TestNextRuns(t *testing.T) {
	t.Parallel()
	s := backup.Schedule{Cron: "30 2 * * *", Timezone: "Europe/Berlin", Enabled: true}
	from := time.Date(2026, 3, 28, 0, 0, 0, 0, time.UTC)
	var got []string
	for _, next := range s.NextRuns(from, 3) {
		got = append(got, next.Format(time.RFC3339))
	}
	// Clocks go from 2:00 to 3:00 on the second day.
	if want := []string{"2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if s.Enabled = false; len(s.NextRuns(from, 3)) > 0 {
		t.Error("a schedule that is not enabled has runs")
	}
}
