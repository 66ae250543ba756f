package benchmark

import (
	"flag"
	"fmt"
	"runtime"
	"strings"
	"time"
)

// Report is what a benchmark found.
type Report struct {
	folder, title string
	on            []string
	body          strings.Builder
	excesses      []error
}

func newReport(folder, title string) *Report {
	return &Report{
		folder: folder, title: title,
		on: []string{fmt.Sprintf("%d processors, %s/%s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH)},
	}
}

// On adds to what was measured on. The machine is there already, without its name.
func (r *Report) On(what string) { r.on = append(r.on, what) }

// Text adds a paragraph.
func (r *Report) Text(format string, args ...any) { fmt.Fprintf(&r.body, "\n"+format+"\n", args...) }

// Section adds a heading.
func (r *Report) Section(title string) { r.Text("## %s", title) }

// Code adds a block of text as it is.
func (r *Report) Code(text string) { r.Text("```\n%s\n```", text) }

// Table adds a table. The first row is its head.
func (r *Report) Table(rows ...[]string) {
	r.body.WriteByte('\n')
	for i, row := range rows {
		r.body.WriteString("| " + strings.Join(row, " | ") + " |\n")
		if i == 0 {
			r.body.WriteString(strings.Repeat("|---", len(row)) + "|\n")
		}
	}
}

// Limit makes the benchmark fail if a figure is above its limit.
func (r *Report) Limit(what string, figure, limit float64) {
	if figure > limit {
		r.Fail("%s: %.2f, and the limit is %.2f", what, figure, limit)
	}
}

// Fail makes the benchmark fail after all is reported.
func (r *Report) Fail(format string, args ...any) {
	r.excesses = append(r.excesses, fmt.Errorf(format, args...))
}

// String is the page, with the command that makes it again.
func (r *Report) String() string {
	command := "go run ./bench/" + r.folder
	flag.Visit(func(f *flag.Flag) { command += fmt.Sprintf(" -%s=%s", f.Name, f.Value) })
	return fmt.Sprintf("<!-- Written by: %s > bench/%s/results.md -->\n# %s\n\n`%[1]s` on: %[4]s.\n%[5]s",
		command, r.folder, r.title, strings.Join(r.on, ", "), r.body.String())
}

// Micros writes a duration for people.
func Micros(d time.Duration) string {
	return fmt.Sprintf("%.0f µs", float64(d)/float64(time.Microsecond))
}

// Millis writes a duration for people.
func Millis(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) }

// Seconds writes a duration for people.
func Seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

// Times writes a ratio for people.
func Times(ratio float64) string { return fmt.Sprintf("%.2f", ratio) }
