package migrate_test

import (
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/migrate"
)

func TestSizes(t *testing.T) {
	t.Parallel()
	for bytes, want := range map[int64]string{
		0: "0 bytes", 999: "999 bytes", 1000: "1.0 kB", 16_590_000: "16.6 MB", 999_999: "1.0 MB", 1 << 30: "1.1 GB", 1<<63 - 1: "9.2 EB",
	} {
		if got := migrate.Size(bytes); got != want {
			t.Errorf("%d is %q, want %q", bytes, got, want)
		}
	}
	for text, want := range map[string]int64{
		"0": 0, "100000": 100_000, "1073741824": 1 << 30, "1GB": 1_000_000_000, "1 gb": 1_000_000_000, "16.6 MB": 16_600_000, "500kB": 500_000,
		"1GiB": 1 << 30, "64MiB": 64 << 20, "1TB": 1e12, "7b": 7, "1e9": 1e9, "9223372036854775807": 1<<63 - 1,
	} {
		if got, ok := migrate.ParseSize(text); !ok || got != want {
			t.Errorf("%q is %d, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "-1", "1.5", "1 PB", "1G", "GB", "1GBs", "1,5 GB", "10000000000 GB", "9223372036854775808", "1e30"} {
		if got, ok := migrate.ParseSize(text); ok {
			t.Errorf("%q is %d", text, got)
		}
	}
}
