package access

import (
	"testing"
	"time"
)

func TestParseTimeout(t *testing.T) {
	t.Parallel()
	for setting, want := range map[string]time.Duration{
		"1500": 1500 * time.Millisecond, " 2min ": 2 * time.Minute, "1.5s": 1500 * time.Millisecond, "0x3e8": time.Second,
		"1e3": time.Second,
		"010": 8 * time.Millisecond, "1d": 24 * time.Hour, "3 h": 3 * time.Hour, "2500us": 3 * time.Millisecond,
		"1.5": 2 * time.Millisecond,
		"0":   0, "5.": 5 * time.Millisecond, "2147483647": 2147483647 * time.Millisecond,
		"9999d": 2147483647 * time.Millisecond, "soon": -time.Millisecond, "": -time.Millisecond,
	} {
		if got := parseTimeout(setting); got != want {
			t.Errorf("%q: got %s, want %s", setting, got, want)
		}
	}
}
