package migrate

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// Size words a number of bytes for people, such as "16.6 MB". Units are decimal.
func Size(bytes int64) string {
	if bytes < 1000 {
		return fmt.Sprintf("%d bytes", bytes)
	}
	size, unit := float64(bytes)/1000, 0
	const units = "kMGTPE"
	for ; size >= 999.95 && unit < len(units)-1; unit++ {
		size /= 1000
	}
	return fmt.Sprintf("%.1f %cB", size, units[unit])
}

// SizeRule says in words what [ParseSize] reads.
const SizeRule = `a number of bytes, or a number with a unit: "500kB", "16.6 MB", "1GB", "1TB" (powers of 1000) or "16MiB", "1GiB", ` +
	`"1TiB" (of 1024)`

var sizePattern = regexp.MustCompile(`^(\d+(?:\.\d+)?(?:e\+?\d+)?)\s*(?:([kmgt])(i?))?(b?)$`)

// ParseSize reads what [SizeRule] says.
func ParseSize(text string) (bytes int64, ok bool) {
	parts := sizePattern.FindStringSubmatch(strings.ToLower(text))
	if len(parts) == 0 || parts[2] != "" && parts[4] == "" {
		return 0, false
	}
	if bytes, err := strconv.ParseInt(parts[1], 10, 64); err == nil && parts[2] == "" {
		return bytes, true
	}
	base := 1000.0
	if parts[3] != "" {
		base = 1024
	}
	number, err := strconv.ParseFloat(parts[1], 64)
	if err != nil {
		return 0, false
	}
	if parts[2] != "" {
		number *= math.Pow(base, float64(1+strings.Index("kmgt", parts[2])))
	}
	if number >= math.MaxInt64 || parts[2] == "" && number != math.Trunc(number) {
		return 0, false
	}
	return int64(math.Round(number)), true
}
