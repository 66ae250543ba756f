// Package backup declares when backups are made, of what kind, where they go, and how long they are kept. It links neither an object
// store nor an engine.
package backup

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/hashicorp/cronexpr"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// Cron is when something recurs, by the clock of a time zone (crontab(5)). A run whose time daylight saving skips is due at the first
// moment after, once; one whose time comes twice is due the first time. Where the minute or the hour is `*` or `*/n`, runs follow elapsed
// time instead: none is made up for, and those of the repeated hour are due twice. So do cron programs since Vixie's.
type Cron struct {
	expression *cronexpr.Expression
	location   *time.Location
	// elapsed: runs follow elapsed time.
	elapsed bool
}

// fieldNames are the fields of an expression, in order.
var fieldNames = []string{"minute", "hour", "day of month", "month", "day of week"}

const fiveFields = "It takes five: minute, hour, day of month, month, day of week"

// element is one of a field's list: a number or a name, a range, or steps of a range or of `*`. What else libraries understand is no cron.
const element = `(?:(?:\*|[0-9]+-[0-9]+|[A-Za-z]{3}-[A-Za-z]{3})(?:/[0-9]+)?|[0-9]+|[A-Za-z]{3})`

var fieldPattern = regexp.MustCompile(`^` + element + `(?:,` + element + `)*$`)

// ParseCron reads an expression of five fields, and the IANA name of a time zone. A problem is on `cron` or on `timezone`.
func ParseCron(expression, timezone string) (Cron, error) {
	location, err := parseTimezone(timezone)
	if err != nil {
		return Cron{}, err
	}
	fields := strings.FieldsFunc(expression, func(r rune) bool { return r == ' ' || r == '\t' })
	switch n := len(fields); {
	case strings.HasPrefix(expression, "@"):
		return Cron{}, cronProblem(expression, "is a nickname that not every cron knows",
			"Write its five fields: `0 0 * * *` is each midnight")
	case n == 6 || n == 7:
		return Cron{}, cronProblem(expression, fmt.Sprintf("has %d fields", n), fiveFields+
			". Leave out the seconds, which some programs put first, and the year, which some put last")
	case n != 5:
		return Cron{}, cronProblem(expression, fmt.Sprintf("has %d fields", n), fiveFields)
	}
	for i, field := range fields {
		if !fieldPattern.MatchString(field) {
			return Cron{}, cronProblem(expression, fmt.Sprintf("has %q as its %s", field, fieldNames[i]),
				"A field has `*`, a number, a range such as `1-5`, a step such as `*/15` or `0-30/10`, or a list of them with commas")
		}
	}
	parsed, err := cronexpr.Parse(strings.Join(fields, " "))
	if err != nil {
		return Cron{}, cronProblem(expression, "cannot be read: "+err.Error(), "Minutes go from 0 to 59, hours to 23, days from 1 to 31, "+
			"months from 1 to 12, days of the week from 0 (Sunday) to 7 (Sunday, too)").Because(err)
	}
	c := Cron{
		expression: parsed, location: location,
		elapsed: strings.HasPrefix(fields[0], "*") || strings.HasPrefix(fields[1], "*"),
	}
	if parsed.Next(time.Now().UTC()).IsZero() {
		return Cron{}, cronProblem(expression, "is never due", "No month that it names has such a day, or a range ends before it begins")
	}
	return c, nil
}

func cronProblem(expression, what, remedy string) *problem.Problem {
	return problem.New(fmt.Sprintf("the cron expression %q %s", expression, what), remedy).On("cron")
}

// parseTimezone finds a time zone. Local is whatever the machine says, which is another one for the runner than for who plans.
func parseTimezone(name string) (*time.Location, error) {
	location, err := time.LoadLocation(name)
	if err != nil || name == "" || name == "Local" {
		return nil, problem.New(fmt.Sprintf("there is no time zone %q", name),
			"Use a name of the IANA database, such as `UTC` or `Europe/Berlin`").On("timezone").Because(err)
	}
	return location, nil
}

// Next is the first time after another one when a run is due, in the time zone.
func (c Cron) Next(after time.Time) time.Time {
	after = after.In(c.location)
	if c.elapsed {
		return c.nextElapsed(after)
	}
	// The same wall clock can come twice: what was due the first time is not due again.
	for wall := c.expression.Next(wallOf(after)); !wall.IsZero(); wall = c.expression.Next(wall) {
		if due := firstAt(wall, c.location); due.After(after) {
			return due
		}
	}
	return time.Time{}
}

// nextElapsed looks in one stretch after another in which the zone's clocks go on evenly.
func (c Cron) nextElapsed(after time.Time) time.Time {
	for start := after; ; {
		_, offset := start.Zone()
		wall := c.expression.Next(after.UTC().Add(time.Duration(offset) * time.Second))
		if wall.IsZero() {
			return time.Time{}
		}
		due := wall.Add(-time.Duration(offset) * time.Second).In(c.location)
		_, end := start.ZoneBounds()
		if end.IsZero() || due.Before(end) {
			return due
		}
		// A run may be due at the very end, which is where the next stretch starts.
		start, after = end, end.Add(-time.Second)
	}
}

// wallOf is what a clock of the zone shows, as if it were one of UTC.
func wallOf(t time.Time) time.Time {
	_, offset := t.Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// firstAt is when clocks of the zone first show that, or, where they skip it, the moment after the skip.
func firstAt(wall time.Time, location *time.Location) time.Time {
	guess := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), 0, location)
	start, end := guess.ZoneBounds()
	var first time.Time
	for _, in := range []time.Time{start.Add(-time.Second), guess, end} {
		_, offset := in.Zone()
		t := wall.Add(-time.Duration(offset) * time.Second).In(location)
		if wallOf(t).Equal(wall) && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	if !first.IsZero() {
		return first
	}
	if !start.IsZero() && wallOf(start).After(wall) {
		return start
	}
	return end
}
