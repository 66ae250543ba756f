package move_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/move"
)

// TestCommand calls the command as a person does.
func TestCommand(t *testing.T) {
	t.Parallel()
	c := newCells(t)
	program := filepath.Join(t.TempDir(), "brownie-backup")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../../cmd/brownie-backup").CombinedOutput(); err != nil {
		t.Fatalf("%s: %s", err, out)
	}
	call := func(without string, arguments ...string) (stdout, stderr string, code int) {
		cmd := exec.CommandContext(t.Context(), program, arguments...)
		for _, variable := range c.process(0, "").Env {
			variable = strings.TrimPrefix(variable, "SOURCE_")
			if !strings.HasPrefix(variable, "MOVE_") && (without == "" || !strings.HasPrefix(variable, without)) {
				cmd.Env = append(cmd.Env, variable)
			}
		}
		var out, told bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &told
		var ended *exec.ExitError
		if err := cmd.Run(); err != nil && !errors.As(err, &ended) {
			t.Fatal(err)
		}
		return out.String(), told.String(), cmd.ProcessState.ExitCode()
	}
	for problem, arguments := range map[string][]string{
		"no target is named: set TARGET_PGHOST":  {"TARGET_PGHOST", "move", "org-2"},
		"--abort and --finish exclude each":      {"", "move", "org-2", "--abort", "--finish"},
		"--wait and --grace are not negative":    {"", "move", "org-2", "--wait", "-1s"},
		"accepts 1 arg(s), received 0":           {"", "move"},
		`there is no organization "org-9"`:       {"", "move", "org-9"},
		`"org-2" is not moving out of this data`: {"", "move", "org-2", "--abort"},
	} {
		_, told, code := call(arguments[0], arguments[1:]...)
		if strings.Contains(problem, "org-") != (code == 1) || !strings.Contains(told, problem) || code == 0 {
			t.Errorf("%v ends with %d: %s", arguments[1:], code, told)
		}
	}
	out, told, code := call("", "move", "org-2", "--grace", "0s", "-o", "json")
	var moved move.Moved
	if err := json.Unmarshal([]byte(out), &moved); err != nil || code != 0 || moved.Step != "left" || moved.Rows["public.teams"] != 2 {
		t.Fatalf("it ends with %d (%v): %s\n%s", code, err, out, told)
	}
	out, told, code = call("", "move", "org-2", "--finish")
	if fields := strings.Fields(out); code != 0 || !slices.Contains(fields, "dropped") || !slices.Contains(fields, "org-2") {
		t.Fatalf("it ends with %d: %s\n%s", code, out, told)
	}
}
