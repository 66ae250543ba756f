package migrate

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// BadFileError is a file that is not a migration.
type BadFileError struct {
	*problem.Problem

	Line int // 0 for the file as a whole
}

func badFile(file string, line int, what string) *BadFileError {
	if line == 0 {
		return &BadFileError{problem.New(file+" "+what, "").On("source_dir"), line}
	}
	return &BadFileError{problem.New(fmt.Sprintf("%s, line %d: %s", file, line, what), "").On("source_dir"), line}
}

// AheadError says that the database has a version that the files do not reach.
type AheadError struct {
	*problem.Problem

	Current, Latest int64
}

func aheadError(current, latest int64) *AheadError {
	return &AheadError{problem.New(fmt.Sprintf("the database is at version %d, but the latest known migration is %d. Nothing was changed; "+
		"use a provider version, or a folder, that has migration %d", current, latest, current), ""), current, latest}
}

// HistoryError says where the files differ from what was applied.
type HistoryError struct {
	*problem.Problem

	Problems []string
}

func (s Source) historyError(problems ...string) *HistoryError {
	found := problem.New("the files are not those that were applied, so nothing was changed: "+strings.Join(problems, "; "), "")
	if s.Name != PlatformName {
		found = found.On("source_dir")
	}
	return &HistoryError{found, problems}
}

// DownError says why the database is not taken down to a lower version.
type DownError struct {
	*problem.Problem

	Current, Wanted int64
}

func downError(current, wanted int64, why string) *DownError {
	return &DownError{problem.New(fmt.Sprintf("the database is at version %d, and going down to version %d %s", current, wanted, why),
		"").On("version"), current, wanted}
}

func unknownVersion(wanted, latest int64) error {
	if wanted > latest {
		return problem.New(fmt.Sprintf("version is %d, but the latest known migration is %d", wanted, latest),
			"Use that, or a newer provider or folder").On("version")
	}
	return problem.New(fmt.Sprintf("there is no migration with version %d; the latest is %d", wanted, latest), "").On("version")
}

// StalePlanError says that somebody migrated the database after the plan was made.
type StalePlanError struct {
	*problem.Problem

	Planned, Found, Wanted int64
}

func stalePlan(planned, found, wanted int64) *StalePlanError {
	return &StalePlanError{problem.New(fmt.Sprintf("the plan takes the database from version %d to %d, but it is at version %d now: "+
		"somebody else migrated it after the plan was made. Nothing was changed; plan "+
		"again", planned, wanted, found), ""), planned, found, wanted}
}

// BudgetError says which locks would block writes for longer than allowed.
type BudgetError struct{ *problem.Problem }

func budgetError(limit int64, problems []string) *BudgetError {
	return &BudgetError{problem.New(fmt.Sprintf("writes would have to wait too long, since max_locked_bytes is %s: %s",
		Size(limit), strings.Join(problems, "; ")), "").On("max_locked_bytes")}
}

// InvalidIndexError names indexes that an interrupted CREATE INDEX CONCURRENTLY left behind.
type InvalidIndexError struct{ *problem.Problem }

func invalidIndexError(file string, indexes []string) *InvalidIndexError {
	var repairs []string
	for _, index := range indexes {
		repairs = append(repairs, "DROP INDEX CONCURRENTLY "+index+";")
	}
	return &InvalidIndexError{problem.New(fmt.Sprintf("%s builds an index that an interrupted attempt has left behind as INVALID "+
		"(PostgreSQL manual, CREATE INDEX, "+
		"\"Building Indexes Concurrently\"): nothing can use it, and it slows down writes. Run this, and apply again: %s Or begin "+
		"the migration with DROP INDEX CONCURRENTLY IF EXISTS", file, strings.Join(repairs, " ")), "")}
}

// StepError says which migration failed and where that leaves the database.
type StepError struct {
	*problem.Problem

	Failed Migration
	// Current is the version that the database is left at.
	Current int64
}

func stepName(m Migration, down bool) string {
	if down {
		return "the down step of migration " + m.Name
	}
	return "migration " + m.Name
}

// stepError words the failure of a step.
func stepError(failed failedStepError) *StepError {
	m, cause := failed.migration, failed.cause
	var invalid *InvalidIndexError
	isInvalid := errors.As(cause, &invalid)
	var sentences []string
	if isInvalid {
		sentences = append(sentences, invalid.Error()+".")
	}
	if len(failed.ran) > 0 {
		sentences = append(sentences, "Applied before it: "+strings.Join(failed.ran, ", ")+".")
	}
	if m.transaction {
		done := "applied"
		if failed.down {
			done = "done"
		}
		sentences = append(sentences, fmt.Sprintf("Nothing of %s was %s.", m.Name, done))
	} else {
		sentences = append(sentences, m.Name+" runs without a transaction, so that what its earlier statements did has remained; it "+
			"must be able to run again.")
	}
	interrupted := errors.Is(cause, context.Canceled)
	remedy := "repair the cause and apply again"
	if interrupted {
		remedy = "apply again"
	}
	if failed.unread {
		sentences = append(sentences, fmt.Sprintf("The database was at version %d before; nobody answered what it is at now. When the "+
			"server is back, %s", failed.current, remedy))
	} else {
		sentences = append(sentences, fmt.Sprintf("The database stays at version %d; %s", failed.current, remedy))
	}
	where := " failed: " + strings.TrimRight(serverMessage(cause), ".") + ". "
	at := new(statementError)
	switch {
	case interrupted:
		where = " was interrupted. "
	case errors.As(cause, &at):
		where = fmt.Sprintf(" failed at line %d: %s.\n\n%s\n\n", at.line, strings.TrimRight(at.Error(), "."), indent(at.sql))
	case isInvalid:
		where = " failed. "
	}
	return &StepError{problem.New(stepName(m, failed.down)+where+strings.Join(sentences, " "), "").Because(cause), m, failed.current}
}

// interruptedError is for somebody who pressed Ctrl-C while no migration was running.
func interruptedError(current int64, cause error) error {
	return problem.New(fmt.Sprintf("the run was interrupted before a migration began. The database is at version %d", current),
		"Apply again").Because(cause)
}

// statementError is the statement that failed, with the line of the file where the server saw the fault.
type statementError struct {
	statement
	text  string
	cause error
}

func (e *statementError) Error() string { return e.text }
func (e *statementError) Unwrap() error { return e.cause }

// indent shows the beginning of a statement.
func indent(sql string) string {
	const most = 12
	lines := strings.Split(sql, "\n")
	if len(lines) > most {
		lines = append(lines[:most], "…")
	}
	return "    " + strings.Join(lines, "\n    ")
}

func serverMessage(err error) string {
	var server *pgconn.PgError
	if !errors.As(err, &server) {
		return err.Error()
	}
	if server.Hint == "" {
		return server.Message
	}
	return strings.TrimRight(server.Message, ".") + ". " + server.Hint
}
