package access

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A number as PostgreSQL reads a setting's, and a unit (PostgreSQL manual, section 20.1.1).
var timeoutPattern = regexp.MustCompile(`^\s*(0[xX][0-9a-fA-F]+|[0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+\.)\s*(us|ms|s|min|h|d)?\s*$`)

// parseTimeout reads a duration setting as the server does: a number without a unit is in milliseconds, and may be
// hexadecimal, octal or a fraction. A role may have set its own, so that no value is an error: what cannot be read is a
// negative duration, which no role should have.
func parseTimeout(setting string) time.Duration {
	parts := timeoutPattern.FindStringSubmatch(setting)
	if parts == nil {
		return -time.Millisecond
	}
	unit := map[string]time.Duration{
		"": time.Millisecond, "us": time.Microsecond, "ms": time.Millisecond, "s": time.Second, "min": time.Minute,
		"h": time.Hour, "d": 24 * time.Hour,
	}[parts[2]]
	var number float64
	if whole, err := strconv.ParseInt(parts[1], 0, 64); err == nil {
		number = float64(whole)
	} else if number, err = strconv.ParseFloat(strings.TrimSuffix(parts[1], "."), 64); err != nil {
		return -time.Millisecond
	}
	// The server's limit is 2147483647 ms.
	milliseconds := min(number*float64(unit)/float64(time.Millisecond), 1<<31-1)
	return time.Duration(milliseconds+0.5) * time.Millisecond
}
