// Command testsummary closes `make test`: it reads the event files that gotestsum wrote, tells how many tests of each
// suite ran, and ends with one line of totals. It fails when a test failed, when a suite ran no test, and when a test
// of a suite marked "required" was skipped, unless it is excepted, or wrote a text that is allowed. All that were skipped are named.
//
//	testsummary unit=unit.json acceptance=acceptance.json,required,except=TestNeedsMore,allow=ALLOW_MISSING_TOOLS
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
)

// event is the part of a `go test -json` event that counts.
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
}

type test struct{ pkg, name string }

// suite is one event file and what it says.
type suite struct {
	name                    string
	required                bool     // a skipped test is a failure
	except                  []string // but not these
	allow                   []string // nor those that write this
	passed, failed, skipped int
	skips                   []string
}

func main() {
	good, err := summarize(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	if !good {
		os.Exit(1)
	}
}

// summarize prints a table of the suites, the reasons to fail, and the line of totals last.
func summarize(args []string) (good bool, err error) {
	var total suite
	var problems []string
	fmt.Printf("\n%-12s %6s %7s %7s %8s\n", "suite", "ran", "passed", "failed", "skipped")
	for _, arg := range args {
		s, err := read(arg)
		if err != nil {
			return false, err
		}
		fmt.Printf("%-12s %6d %7d %7d %8d\n", s.name, s.passed+s.failed, s.passed, s.failed, s.skipped)
		for _, t := range s.skips {
			fmt.Printf("%s: NOT RUN: %s, see above for the reason\n", s.name, t)
		}
		problems = append(problems, s.problems()...)
		total.passed += s.passed
		total.failed += s.failed
		total.skipped += s.skipped
	}
	for _, problem := range problems {
		fmt.Println(problem)
	}
	fmt.Printf("%d passed, %d failed, %d skipped\n", total.passed, total.failed, total.skipped)
	return len(problems) == 0, nil
}

// read counts the tests of "name=file", "name=file,required" or "name=file,required,except=test,allow=text,allow=text". Subtests
// count, as they do in gotestsum's own line. A test without an end (its process died) and a package that failed without a failed test
// (it did not build) count as failed.
func read(arg string) (suite, error) {
	name, path, _ := strings.Cut(arg, "=")
	path, settings, _ := strings.Cut(path, ",")
	s := suite{name: name}
	for setting := range strings.SplitSeq(settings, ",") {
		key, value, _ := strings.Cut(setting, "=")
		switch key {
		case "required":
			s.required = true
		case "except":
			s.except = append(s.except, value)
		case "allow":
			s.allow = append(s.allow, value)
		}
	}

	file, err := os.Open(path)
	if err != nil {
		return s, err
	}
	defer file.Close()

	results := map[test]string{}
	packages := map[string]string{}
	allowed := map[test]bool{}
	decoder := json.NewDecoder(file)
	for decoder.More() {
		var e event
		if err := decoder.Decode(&e); err != nil {
			return s, fmt.Errorf("%s: %w", path, err)
		}
		switch e.Action {
		case "run", "pass", "fail", "skip":
			if e.Test != "" {
				results[test{e.Package, e.Test}] = e.Action
			} else if e.Package != "" {
				packages[e.Package] = e.Action
			}
		case "output":
			if slices.ContainsFunc(s.allow, func(text string) bool { return strings.Contains(e.Output, text) }) {
				allowed[test{e.Package, e.Test}] = true
			}
		}
	}

	explained := map[string]bool{}
	for t, result := range results {
		switch result {
		case "pass":
			s.passed++
		case "skip":
			s.skipped++
			s.skips = append(s.skips, t.pkg+" "+t.name)
			if allowed[t] {
				s.except = append(s.except, t.pkg+" "+t.name)
			}
		default:
			s.failed++
			explained[t.pkg] = true
		}
	}
	for pkg, result := range packages {
		if result == "fail" && !explained[pkg] {
			s.failed++
		}
	}
	slices.Sort(s.skips)
	return s, nil
}

func (s suite) problems() []string {
	var found []string
	if s.failed > 0 {
		found = append(found, fmt.Sprintf("%s: %d failed", s.name, s.failed))
	}
	if s.passed+s.failed == 0 {
		found = append(found, s.name+": no test ran")
	}
	if s.required {
		for _, t := range s.skips {
			if _, name, _ := strings.Cut(t, " "); slices.Contains(s.except, name) || slices.Contains(s.except, t) {
				continue
			}
			found = append(found, fmt.Sprintf("%s: %s was skipped; none may be", s.name, t))
		}
	}
	return found
}
