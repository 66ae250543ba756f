package provider

import (
	"context"
	"fmt"
	"math"
	"net/mail"
	"regexp"
	"strings"
	"time"

	"github.com/dlclark/regexp2/v2"
	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
)

// check is a validator of a string: it returns what is wrong with a value, or an empty string.
type check struct {
	allowed string // what is allowed, as a sentence without a subject
	wrong   func(value string) string
}

// newCheck makes a validator of a string. What is wrong with a value is a sentence without a subject, or empty.
func newCheck(allowed string, wrong func(value string) string) check { return check{allowed, wrong} }

func (c check) Description(context.Context) string         { return c.allowed }
func (c check) MarkdownDescription(context.Context) string { return c.allowed }

func (c check) ValidateString(_ context.Context, req validator.StringRequest, resp *validator.StringResponse) {
	if req.ConfigValue.IsNull() || req.ConfigValue.IsUnknown() {
		return
	}
	if problem := c.wrong(req.ConfigValue.ValueString()); problem != "" {
		resp.Diagnostics.AddAttributeError(req.Path, fmt.Sprintf("Invalid %s", req.Path),
			fmt.Sprintf("%s %s: %s.", req.Path, problem, c.allowed))
	}
}

func matching(pattern *regexp.Regexp, allowed string) check {
	return newCheck(allowed, func(value string) string {
		if pattern.MatchString(value) {
			return ""
		}
		return fmt.Sprintf("is %q", value)
	})
}

var (
	uuidFormat = matching(uuidPattern, "it must be a UUID in lower case, such as the id of another resource")
	// Slugs are parts of URLs and of import keys, hence no slash, capital or space.
	slugFormat = matching(regexp.MustCompile(`^[a-z0-9]([a-z0-9_-]*[a-z0-9])?$`),
		"it must consist of lower-case letters, digits, hyphens and underscores, and begin and end with a letter or digit")
	emailFormat = newCheck("it must be an e-mail address such as jane@example.com", func(value string) string {
		if address, err := mail.ParseAddress(value); err == nil && address.Address == value {
			return ""
		}
		return fmt.Sprintf("is %q", value)
	})
	notBlank = newCheck("it must contain more than white space", func(value string) string {
		if strings.TrimSpace(value) == "" {
			return "is blank"
		}
		return ""
	})
	noSpaces         = matching(regexp.MustCompile(`^\S*$`), "it must not contain white space")
	positiveDuration = newCheck("it must be a positive duration with units (h, m, s), such as \"10s\" or \"720h\"", func(value string) string {
		if duration, err := time.ParseDuration(value); err != nil || duration <= 0 {
			return fmt.Sprintf("is %q", value)
		}
		return ""
	})
	// The setting that stores it is a number of milliseconds of type integer.
	wholeMilliseconds = newCheck("it must be a duration of whole milliseconds with a unit, such as \"30s\", and less than 24 days", func(value string) string {
		if d, err := time.ParseDuration(value); err != nil || d <= 0 || d%time.Millisecond != 0 || d.Milliseconds() > math.MaxInt32 {
			return fmt.Sprintf("is %q", value)
		}
		return ""
	})
	// timetypes reports what is no time at all. PostgreSQL's calendar has no year 0.
	yearOne = newCheck("it must be a time after the year 0", func(value string) string {
		if t, err := time.Parse(time.RFC3339, value); err == nil && t.UTC().Year() < 1 {
			return fmt.Sprintf("is %q", value)
		}
		return ""
	})
	// jsontypes reports what is no JSON at all. The database refuses bare values, too.
	jsonContainer = newCheck("it must be a JSON object or array, as jsonencode({…}) returns", func(value string) string {
		if trimmed := strings.TrimLeft(value, " \t\r\n"); trimmed != "" && strings.ContainsAny(trimmed[:1], "{[") {
			return ""
		}
		return "holds something else"
	})
	// The platform matches with Python's re, so look-around and (?P<name>…) must pass.
	patternFormat = newCheck("it must be a regular expression", func(value string) string {
		if _, err := regexp2.Compile(value, regexp2.RE2); err != nil {
			return fmt.Sprintf("is %q, which does not compile (%s)", value, strings.TrimSpace(err.Error()))
		}
		return ""
	})
)

// displayName is for columns of type varchar(255).
var displayName = []validator.String{notBlank, stringvalidator.LengthAtMost(255)}

// atLeast bounds a number that is stored in a PostgreSQL integer.
func atLeast(minimum int64) []validator.Int64 {
	return []validator.Int64{int64validator.Between(minimum, math.MaxInt32)}
}
