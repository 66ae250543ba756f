package backup

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// Engine is what makes backups.
type Engine string

// The engines. PgDump writes the rows of one moment; PgBackRest copies the cluster's files and the write-ahead log.
const (
	PgDump     Engine = "pg_dump"
	PgBackRest Engine = "pgbackrest"
)

// Engines are all of them.
var Engines = []string{string(PgDump), string(PgBackRest)}

// Types are what a backup holds: everything, what has changed since the last full one, or since the last of any type.
var Types = []string{"full", "diff", "incr"}

// Verification is how it is proved that a backup restores.
type Verification string

// The ways to verify. Checksum reads all parts again; Restore restores them into a scratch server and compares what is there.
const (
	Restore  Verification = "restore"
	Checksum Verification = "checksum"
	None     Verification = "none"
)

// Verifications are all of them.
var Verifications = []string{string(Restore), string(Checksum), string(None)}

// Schedule says when backups are made, of what kind, where they go, and how long they are kept.
type Schedule struct {
	ID           string
	Name         string
	Cron         string
	Timezone     string
	Engine       Engine
	Type         string
	Destinations []Destination
	Retention    Retention
	// Recipients are public keys of age. Who holds the identity of one of them can read the backups, and nobody else.
	Recipients []string
	Verify     Verification
	// VerifyCron is when backups are verified. nil means after each run.
	VerifyCron *string
	// MaxRestoreSeconds is how long a restore may take until its verification fails.
	MaxRestoreSeconds *int32
	// Timeout ends a run that takes longer. It is a Go duration.
	Timeout string
	Enabled bool

	UpdatedAt time.Time
	// TimingChangedAt is since when it asks for runs at these times.
	TimingChangedAt time.Time
	Outcome
}

// Outcome is what became of a schedule's runs.
type Outcome struct {
	LastSuccessAt, LastVerifiedAt   *time.Time
	RestorableFrom, RestorableUntil *time.Time
	LastRestoreSeconds              *float64
	// ArchiveFailedSince is when the archive of the write-ahead log was found not to keep up, and ArchiveError why. nil means that it does.
	ArchiveFailedSince *time.Time
	ArchiveError       *string
}

// Destination is a place for backups.
type Destination struct {
	Type string `json:"type"` // file, s3, gcs, azure
	// Bucket is its name, or that of Azure's container. A file destination has none.
	Bucket string `json:"bucket,omitempty"`
	// Path is a folder's absolute path for type file, and the beginning of all keys otherwise.
	Path     string `json:"path,omitempty"`
	Region   string `json:"region,omitempty"`
	Endpoint string `json:"endpoint,omitempty"`
	// PathStyle puts the bucket into the URL's path instead of its host's name.
	PathStyle bool `json:"path_style,omitempty"`
}

// DestinationTypes are the kinds of places.
var DestinationTypes = []string{"file", "s3", "gcs", "azure"}

// String is the destination as a URL without what belongs to nobody else, such as `s3://bucket/path`.
func (d Destination) String() string {
	if d.Type == "file" {
		return "file://" + d.Path
	}
	scheme := map[string]string{"s3": "s3", "gcs": "gs", "azure": "azblob"}[d.Type]
	return strings.TrimSuffix(scheme+"://"+path.Join(d.Bucket, d.Path), "/")
}

// ParseDestination reads what [Destination.String] writes, with region, endpoint and path_style as parameters:
// `s3://bucket/path?endpoint=https://s3.example&path_style=true`.
func ParseDestination(text string) (Destination, error) {
	u, err := url.Parse(text)
	if err != nil {
		return Destination{}, problem.New(fmt.Sprintf("%q is no URL", text), "Give one such as `s3://bucket/path`").Because(err)
	}
	query := u.Query()
	d := Destination{
		Bucket: u.Host, Path: strings.Trim(u.Path, "/"), Region: query.Get("region"), Endpoint: query.Get("endpoint"),
		PathStyle: query.Get("path_style") == "true",
	}
	switch u.Scheme {
	case "file":
		d.Type, d.Path = u.Scheme, u.Path
	case "s3":
		d.Type = "s3"
	case "gs":
		d.Type = "gcs"
	case "azblob":
		d.Type = "azure"
	default:
		return Destination{}, problem.New(fmt.Sprintf("%q is in no kind of store", text),
			"Begin it with file://, s3://, gs:// or azblob://")
	}
	return d, d.validate()
}

var (
	namePattern   = regexp.MustCompile(`^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$`)
	bucketPattern = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$`)
)

// Validate checks what a plan can know. A problem is on the guilty attribute.
func (s Schedule) Validate() error {
	if problems := s.Problems(nil); len(problems) > 0 {
		return problems[0]
	}
	return nil
}

// Problems are all that is wrong, without what depends on arguments that are not known yet. Where `recipients` is not, the known ones are
// checked, and the others are empty.
func (s Schedule) Problems(unknown map[string]bool) (problems []error) {
	for _, rule := range []struct {
		arguments []string
		check     func() error
	}{
		{[]string{"name"}, s.validateName},
		{[]string{"timezone"}, func() error { return lastOf(parseTimezone(s.Timezone)) }},
		{[]string{"cron"}, func() error { return lastOf(ParseCron(s.Cron, "UTC")) }},
		{[]string{"verify_cron", "verify"}, s.validateVerifyCron},
		{[]string{"engine", "type"}, s.validateType},
		{[]string{"destinations"}, func() error { return validateDestinations(s.Destinations) }},
		{[]string{"engine", "destinations"}, s.validateEndpoints},
		{[]string{"retention"}, s.Retention.validate},
		{[]string{"max_restore_seconds", "verify"}, s.validateMaxRestoreSeconds},
		{[]string{"timeout"}, s.validateTimeout},
		{[]string{"encryption"}, func() error { return validateRecipients(s.Recipients, unknown["recipients"]) }},
	} {
		if slices.ContainsFunc(rule.arguments, func(argument string) bool { return unknown[argument] }) {
			continue
		}
		if err := rule.check(); err != nil {
			problems = append(problems, err)
		}
	}
	return problems
}

func lastOf[T any](_ T, err error) error { return err }

func (s Schedule) validateName() error {
	if namePattern.MatchString(s.Name) {
		return nil
	}
	return problem.New(fmt.Sprintf("the name %q cannot be part of an object's key", s.Name), "Use at most 63 lower-case letters, "+
		"digits, hyphens and underscores, and begin and end with a letter or digit").On("name")
}

func (s Schedule) validateType() error {
	if s.Engine != PgDump || s.Type == "full" {
		return nil
	}
	return problem.New(fmt.Sprintf("engine pg_dump makes no backups of type %q", s.Type),
		"Each of its backups is a full one; use `full`, or engine pgbackrest").On("type")
}

func (s Schedule) validateEndpoints() error {
	for _, d := range s.Destinations {
		if s.Engine == PgBackRest && strings.HasPrefix(d.Endpoint, "http://") {
			return destinationProblem(d, fmt.Sprintf("has the endpoint %q, and pgBackRest reaches no store without TLS", d.Endpoint),
				"Give one that begins with https://")
		}
	}
	return nil
}

func (s Schedule) validateMaxRestoreSeconds() error {
	if s.MaxRestoreSeconds == nil || s.Verify == Restore {
		return nil
	}
	return problem.New("nothing is restored that could take too long", "Use `verify = \"restore\"`, or leave this out").
		On("max_restore_seconds")
}

func (s Schedule) validateTimeout() error {
	if d, err := time.ParseDuration(s.Timeout); err == nil && d > 0 {
		return nil
	}
	return problem.New(fmt.Sprintf("the timeout %q is no positive duration with a unit", s.Timeout), "Use one such as `1h` or `90m`").
		On("timeout")
}

func (s Schedule) validateVerifyCron() error {
	if s.VerifyCron == nil {
		return nil
	}
	if s.Verify == None {
		return problem.New("nothing is verified, so that it has no time", "Leave it out, or use another `verify`").On("verify_cron")
	}
	_, err := ParseCron(*s.VerifyCron, "UTC")
	if found, ok := errors.AsType[*problem.Problem](err); ok {
		return found.On("verify_cron")
	}
	return err
}

func validateDestinations(destinations []Destination) error {
	seen := map[string]bool{}
	for _, d := range destinations {
		if err := d.validate(); err != nil {
			return err
		}
		where := d.String() + " " + d.Endpoint
		if seen[where] {
			return destinationProblem(d, "is named twice", "A second copy has to be elsewhere; leave this one out")
		}
		seen[where] = true
	}
	if n := len(destinations); n < 1 || n > 3 {
		return problem.New(fmt.Sprintf("a schedule has %d destinations", n), "Name one to three").On("destinations")
	}
	return nil
}

func (d Destination) validate() error {
	clean := path.Clean(d.Path)
	switch {
	case d.Type == "file" && (d.Bucket != "" || d.Region != "" || d.Endpoint != "" || d.PathStyle):
		return destinationProblem(d, "is a folder, which has neither bucket, region, endpoint nor path_style", "Leave them out")
	case d.Type == "file" && (!path.IsAbs(d.Path) || clean != d.Path || clean == "/"):
		return destinationProblem(d, fmt.Sprintf("has the path %q", d.Path),
			"Give the absolute path of a folder, without `.`, `..` or a slash at the end, such as `/var/backups/brownie`")
	case d.Type == "file":
		return nil
	case !bucketPattern.MatchString(d.Bucket) || len(d.Bucket) < 3 || len(d.Bucket) > 63:
		return destinationProblem(d, fmt.Sprintf("has the bucket %q", d.Bucket),
			"Give the bucket's name alone: 3 to 63 letters, digits, dots, hyphens or underscores. What follows it belongs into `path`")
	case d.Path != "" && (path.IsAbs(d.Path) || clean != d.Path || clean == "." || strings.HasPrefix(clean, "..")):
		return destinationProblem(d, fmt.Sprintf("has the path %q", d.Path),
			"Give what keys shall begin with, without a slash at either end, `.` or `..`, such as `brownie/production`")
	case d.Endpoint != "" && !strings.HasPrefix(d.Endpoint, "https://") && !strings.HasPrefix(d.Endpoint, "http://"):
		return destinationProblem(d, fmt.Sprintf("has the endpoint %q", d.Endpoint), "Give a URL, such as `https://s3.example`")
	case d.Type != "s3" && (d.Region != "" || d.PathStyle):
		return destinationProblem(d, "has a region or path_style, which only type s3 has", "Leave them out")
	}
	return nil
}

func destinationProblem(d Destination, what, remedy string) error {
	return problem.New(fmt.Sprintf("the destination %s %s", d, what), remedy).On("destinations")
}

// validateRecipients never shows one: it may be a secret that was put into the wrong place.
func validateRecipients(recipients []string, someUnknown bool) error {
	if len(recipients) == 0 {
		return problem.New("nobody could read the backups",
			"Name the public keys of age whose owners can (`age-keygen` makes a pair, of which the line `public key` is meant)").
			On("encryption")
	}
	for i, text := range recipients {
		if text == "" && someUnknown {
			continue
		}
		if strings.HasPrefix(strings.ToUpper(text), "AGE-SECRET-KEY-") {
			return problem.New(fmt.Sprintf("recipient %d is a secret key", i+1), "It belongs into no configuration, and is now known to "+
				"whoever read this one: make another pair with `age-keygen`, and give its public key, which begins with age1").
				On("encryption")
		}
		if found, err := age.ParseRecipients(strings.NewReader(text)); err != nil || len(found) != 1 {
			return problem.New(fmt.Sprintf("recipient %d is no public key of age", i+1),
				"Give one that begins with age1, as `age-keygen` tells it").On("encryption")
		}
		if slices.Contains(recipients[:i], text) {
			return problem.New(fmt.Sprintf("recipient %d is named twice", i+1), "Leave it out, or name somebody else's").On("encryption")
		}
	}
	return nil
}

// Retention says how long backups are kept. One that any rule keeps stays.
type Retention struct {
	KeepLast    int `json:"keep_last,omitempty"`
	KeepDaily   int `json:"keep_daily,omitempty"`
	KeepWeekly  int `json:"keep_weekly,omitempty"`
	KeepMonthly int `json:"keep_monthly,omitempty"`
	KeepYearly  int `json:"keep_yearly,omitempty"`
	KeepDays    int `json:"keep_days,omitempty"`
}

func (r Retention) validate() error {
	if min(r.KeepLast, r.KeepDaily, r.KeepWeekly, r.KeepMonthly, r.KeepYearly, r.KeepDays) < 0 {
		return problem.New("the retention has a negative number", "Give how many are kept, or leave the rule out").On("retention")
	}
	if r == (Retention{}) {
		return problem.New("the retention keeps nothing, not even the last good backup", "Give at least `keep_last = 1`").On("retention")
	}
	return nil
}

// Kept is a backup as the retention sees it.
type Kept struct {
	ID string
	// At is when its run started.
	At time.Time
	// Good means that it succeeded, and was not found to be broken.
	Good bool
	// Verified means that it was restored, or read again.
	Verified bool
}

// Prunable returns which backups no rule keeps. The days are those of a time zone. Of each day, week (ISO 8601), month or year the last
// good one counts. The last good one and the last verified one always stay, and so does what is younger than the last good one.
func (r Retention) Prunable(backups []Kept, location *time.Location, now time.Time) []string {
	newestFirst := slices.SortedFunc(slices.Values(backups), func(a, b Kept) int {
		return cmp.Or(b.At.Compare(a.At), strings.Compare(b.ID, a.ID))
	})
	rules := []struct {
		keep   int
		period func(time.Time) string
	}{
		{r.KeepLast, func(t time.Time) string { return t.Format(time.RFC3339Nano) }},
		{r.KeepDaily, func(t time.Time) string { return t.Format(time.DateOnly) }},
		{r.KeepWeekly, func(t time.Time) string { year, week := t.ISOWeek(); return fmt.Sprint(year, " ", week) }},
		{r.KeepMonthly, func(t time.Time) string { return t.Format("2006-01") }},
		{r.KeepYearly, func(t time.Time) string { return t.Format("2006") }},
	}
	periods := make([]map[string]bool, len(rules))
	var prunable []string
	good, verified := false, false
	for _, b := range newestFirst {
		keep := !good || b.Good && b.Verified && !verified || b.At.After(now.AddDate(0, 0, -r.KeepDays))
		good, verified = good || b.Good, verified || b.Good && b.Verified
		for i, rule := range rules {
			if !b.Good {
				continue
			}
			if periods[i] == nil {
				periods[i] = map[string]bool{}
			}
			if period := rule.period(b.At.In(location)); !periods[i][period] && len(periods[i]) < rule.keep {
				periods[i][period], keep = true, true
			}
		}
		if !keep {
			prunable = append(prunable, b.ID)
		}
	}
	return prunable
}

// NextRuns are the next times at which a run is due. A schedule that is not enabled has none.
func (s Schedule) NextRuns(after time.Time, count int) []time.Time {
	cron, err := ParseCron(s.Cron, s.Timezone)
	if err != nil || !s.Enabled {
		return nil
	}
	var runs []time.Time
	for next := cron.Next(after); !next.IsZero() && len(runs) < count; next = cron.Next(next) {
		runs = append(runs, next.UTC())
	}
	return runs
}

func encode(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // All of it is texts, numbers and booleans.
	}
	return string(text)
}
