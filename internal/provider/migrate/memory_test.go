package migrate_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/acctest"
)

var reattach = regexp.MustCompile(`TF_REATTACH_PROVIDERS='(.*)'`)

// What the provider's own migrations lock is known when it is built: neither plan nor apply loads the parser of SQL, which takes
// hundreds of megabytes and more than a second.
func TestAccOwnMigrationsAreCheap(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorkspace(t, testdb.Empty(t), `resource "brownie_migration" "this" {}`)
	provider := exec.Command(provider(t, w), "-debug")
	provider.Env = w.Env
	output := testdb.Must(provider.StdoutPipe())(t)
	if err := provider.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = provider.Process.Kill()
		_ = provider.Wait()
	})
	for lines := bufio.NewScanner(output); lines.Scan(); {
		if found := reattach.FindStringSubmatch(lines.Text()); found != nil {
			w.Env = append(w.Env, "TF_REATTACH_PROVIDERS="+found[1])
			break
		}
	}
	for _, arguments := range [][]string{{"plan", "-input=false", "-out=planned"}, {"apply", "-input=false", "planned"}} {
		before := spent(t, provider.Process.Pid)
		w.MustRun(arguments...)
		peak, took := peak(t, provider.Process.Pid), spent(t, provider.Process.Pid)-before
		t.Logf("%s: peak memory %d MiB, processor time %s", arguments[0], peak>>20, took)
		const most = 150 << 20
		if peak > most {
			t.Errorf("%s: the provider's peak memory is %d MiB", arguments[0], peak>>20)
		}
		if took > 300*time.Millisecond {
			t.Errorf("%s: the provider took %s of the processor", arguments[0], took)
		}
	}
}

// provider is the program that a workspace runs.
func provider(t *testing.T, w acctest.Workspace) string {
	t.Helper()
	for _, variable := range slices.Backward(w.Env) { // The last one counts.
		if file, found := strings.CutPrefix(variable, "TF_CLI_CONFIG_FILE="); found {
			return filepath.Join(filepath.Dir(file), "terraform-provider-brownie")
		}
	}
	t.Fatal("the workspace names no program")
	return ""
}

// peak is the greatest memory that a process had.
func peak(t *testing.T, pid int) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skipf("this system does not tell: %s", err)
	}
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	return testdb.Must(strconv.ParseInt(strings.Fields(after)[0], 10, 64))(t) << 10
}

// spent is the processor time of a process, which is told in hundredths of a second.
func spent(t *testing.T, pid int) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Skipf("this system does not tell: %s", err)
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	var ticks int
	for _, field := range strings.Fields(after)[11:13] {
		ticks += testdb.Must(strconv.Atoi(field))(t)
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
