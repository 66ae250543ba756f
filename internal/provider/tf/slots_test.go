package tf

import (
	"os"
	"strings"
	"testing"
)

func TestSlotsIn(t *testing.T) {
	t.Parallel()
	for command, want := range map[string]int{
		"":                      10,
		"terraform\x00plan\x00": 10,
		"terraform\x00plan\x00-parallelism=3\x00-out=x\x00":         3,
		"terraform\x00-chdir=x\x00apply\x00--parallelism\x0020\x00": 20,
		"TF_CLI_ARGS_plan=-parallelism=2":                           2,
		`TF_CLI_ARGS=-no-color -parallelism="4"`:                    4,
		"terraform plan -parallelism 5 -parallelism=1":              1,
		"terraform plan -parallelism=0":                             10,
		"terraform plan -var=x-parallelism=1":                       10,
	} {
		if got := slotsIn([]string{command}); got != want {
			t.Errorf("%q: got %d, want %d", command, got, want)
		}
	}
	if got := slotsIn([]string{"terraform plan -parallelism=8", "TF_CLI_ARGS=-parallelism=6"}); got != 6 {
		t.Errorf("of two that tell, the greater was taken: %d", got)
	}
}

func TestCommandOf(t *testing.T) {
	t.Parallel()
	for name, command := range map[string]func(int) string{"the kernel": commandOf, "ps": commandByPS} {
		if got := command(os.Getpid()); !strings.Contains(got, "-test.") {
			t.Errorf("%s tells %q of this process", name, got)
		}
	}
}
