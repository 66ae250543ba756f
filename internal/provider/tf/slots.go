package tf

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// slots is how many objects Terraform works on at once. It does not tell a provider, so that the command that started this process is
// asked, and the variables that add to its arguments. Where several tell, the least is taken: whoever waits must not take the last one.
var slots = sync.OnceValue(func() int {
	told := []string{commandOf(os.Getppid())}
	for _, variable := range os.Environ() {
		if strings.HasPrefix(variable, "TF_CLI_ARGS") {
			told = append(told, variable)
		}
	}
	return slotsIn(told)
})

var parallelism = regexp.MustCompile(`\B--?parallelism[=\s\x00]["']?(\d{1,9})`)

func slotsIn(commands []string) int {
	least := 0
	for _, command := range commands {
		for _, found := range parallelism.FindAllStringSubmatch(command, -1) {
			if n, _ := strconv.Atoi(found[1]); n > 0 && (least == 0 || n < least) {
				least = n
			}
		}
	}
	if least == 0 {
		return 10 // Terraform's default
	}
	return least
}

// commandOf is empty where it cannot be found out, as on Windows.
func commandOf(process int) string {
	if command, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", process)); err == nil {
		return string(command)
	}
	return commandByPS(process)
}

func commandByPS(process int) string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	command, _ := exec.CommandContext(ctx, "ps", "-ww", "-o", "args=", "-p", strconv.Itoa(process)).Output() //nolint:gosec // A number.
	return string(command)
}
