package tf

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

	"github.com/longyi-brownie/terraform-provider-brownie/internal/identity"
)

// check is a validator of a string: it returns what is wrong with a value, or an empty string.
type check struct {
	allowed string // what is allowed, as a sentence without a subject
	Wrong   func(value string) string
}

// Check makes a validator of a string. What is wrong with a value is a sentence without a subject, or empty.
func Check(allowed string, wrong func(value string) string) check { return check{allowed, wrong} }

func (c check) Description(context.Context) string         { return c.allowed }
func (c check) MarkdownDescription(context.Context) string { return c.allowed }

func (c check) ValidateString(_ context.Context, req validator.StringRequest, resp *validator.StringResponse) {
	if req.ConfigValue.IsNull() || req.ConfigValue.IsUnknown() {
		return
	}
	if problem := c.Wrong(req.ConfigValue.ValueString()); problem != "" {
		resp.Diagnostics.AddAttributeError(req.Path, fmt.Sprintf("Invalid %s", req.Path),
			fmt.Sprintf("%s %s: %s.", req.Path, problem, c.allowed))
	}
}

// Matching is for values of a pattern.
func Matching(pattern *regexp.Regexp, allowed string) check {
	return Check(allowed, func(value string) string {
		if pattern.MatchString(value) {
			return ""
		}
		return fmt.Sprintf("is %q", value)
	})
}

var (
	// Identity is for names of roles, which are common names of the certificates that log in.
	Identity = Check(identity.Form+", and be none that PostgreSQL or the group roles use", func(value string) string {
		switch reason := identity.Reserved(value); {
		case reason != "":
			return fmt.Sprintf("is %q, which %s", value, reason)
		case !identity.WellFormed(value):
			return fmt.Sprintf("is %q", value)
		}
		return ""
	})
	// UUIDFormat is as PostgreSQL writes it.
	UUIDFormat = Matching(uuidPattern, "it must be a UUID in lower case, such as the id of another resource")
	// SlugFormat is for slugs, which are parts of URLs and of import keys, hence no slash, capital or space.
	SlugFormat = Rule{Matching(regexp.MustCompile(`^[a-z0-9]([a-z0-9_-]*[a-z0-9])?$`),
		"it must consist of lower-case letters, digits, hyphens and underscores, and begin and end with a letter or digit")}
	// EmailFormat is an address without a name.
	EmailFormat = Rule{Check("it must be an e-mail address such as jane@example.com", func(value string) string {
		if address, err := mail.ParseAddress(value); err == nil && address.Address == value {
			return ""
		}
		return fmt.Sprintf("is %q", value)
	})}
	// NotBlank is for texts that people shall see.
	NotBlank = Check("it must contain more than white space", func(value string) string {
		if strings.TrimSpace(value) == "" {
			return "is blank"
		}
		return ""
	})
	// NoSpaces is for login names.
	NoSpaces = Rule{Matching(regexp.MustCompile(`^\S*$`), "it must not contain white space")}
	// PositiveDuration is a Go duration.
	PositiveDuration = Check("it must be a positive duration with units (h, m, s), such as \"10s\" or \"720h\"", func(value string) string {
		if duration, err := time.ParseDuration(value); err != nil || duration <= 0 {
			return fmt.Sprintf("is %q", value)
		}
		return ""
	})
	// WholeMilliseconds is for a setting, which is a number of milliseconds of type integer.
	WholeMilliseconds = Check("it must be a duration of whole milliseconds with a unit, such as \"30s\", and less than 24 days",
		func(value string) string {
			if d, err := time.ParseDuration(value); err != nil || d <= 0 || d%time.Millisecond != 0 || d.Milliseconds() > math.MaxInt32 {
				return fmt.Sprintf("is %q", value)
			}
			return ""
		})
	// YearOne is for times, beside timetypes, which reports what is no time at all. PostgreSQL's calendar has no year 0.
	YearOne = Check("it must be a time after the year 0", func(value string) string {
		if t, err := time.Parse(time.RFC3339, value); err == nil && t.UTC().Year() < 1 {
			return fmt.Sprintf("is %q", value)
		}
		return ""
	})
	// jsonContainer is for JSON. The database refuses bare values, too.
	jsonContainer = Check("it must be a JSON object or array, as jsonencode({…}) returns", func(value string) string {
		return wrongJSON(value, "{[")
	})
	// jsonContainerOrNull is for a column that cannot be NULL: the platform's models write JSON's null instead.
	jsonContainerOrNull = Check("it must be a JSON object or array, as jsonencode({…}) returns, or jsonencode(null)",
		func(value string) string { return wrongJSON(value, "{[n") })
	// Storable is for all texts.
	Storable = Check("it must not contain the character U+0000, which PostgreSQL cannot store", func(value string) string {
		if strings.ContainsRune(value, 0) {
			return "is not storable"
		}
		return ""
	})
	// PatternFormat is for patterns. The platform matches with Python's re, so look-around and (?P<name>…) must pass.
	PatternFormat = Rule{Check("it must be a regular expression", func(value string) string {
		if _, err := regexp2.Compile(value, regexp2.RE2); err != nil {
			return fmt.Sprintf("is %q, which does not compile (%s)", value, strings.TrimSpace(err.Error()))
		}
		return ""
	})}
)

// DisplayName is for columns of type varchar(255).
var DisplayName = []validator.String{Rule{NotBlank}, stringvalidator.UTF8LengthAtMost(255)}

// AtLeast bounds a number that is stored in a PostgreSQL integer.
func AtLeast(minimum int64) validator.Int64 { return int64validator.Between(minimum, math.MaxInt32) }

// KeyFile refuses keys themselves: the arguments of a data source are stored in the state.
var KeyFile = Check("it must be the path of a PEM file, because Terraform stores this argument in the state", func(value string) string {
	if strings.Contains(value, "-----BEGIN") {
		return "holds a private key itself"
	}
	return ""
})
