package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/move"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/runner"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

const moveHelp = `Moves one organization, with its roles, into another cell: a database of another cluster, at the same migration. The
source is what PGHOST and libpq's other variables name. The target is what the same variables name with TARGET_ before them (TARGET_PGHOST,
TARGET_PGSSLCERT …); what is not set is as at the source. Both logins have to be owners of the tables that may create roles.

First everything is checked, and the copy is tried, while the organization can be written. Then its rows become read-only in the source for
everybody; transactions that are open are waited for (--wait), and after that sessions of its own roles that are in one are ended. The rows
are copied from one snapshot, and hashes of them are compared; the roles are made; the target accepts writes, and the source's roles are
locked. Never both can be written.

After a failure before that switch, the organization is where it was. After a kill, the same command goes on, and --abort goes back.
The source keeps its copy, which nobody can log in to, for the time that --grace tells. After that --finish drops it, with the roles.`

func (s *settings) moveCommand() *cobra.Command {
	m, abort, finish := move.Mover{}, false, false
	c := &cobra.Command{
		Use: "move SLUG", Short: "Moves one organization into another cell", Long: moveHelp, Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, arguments []string) error {
			if m.Wait < 0 || m.Grace < 0 {
				return coded{errors.New("--wait and --grace are not negative"), exitUsage}
			}
			if abort && finish {
				return coded{errors.New("--abort and --finish exclude each other"), exitUsage}
			}
			target, err := s.moveTarget()
			if err != nil {
				return coded{err, exitUsage}
			}
			return s.with(c.Context(), func(ctx context.Context, r *runner.Runner) error {
				m.Source, m.Target, m.Log = r.DB, postgres.New(target), r.Log //nolint:contextcheck // Its connections outlive each call.
				defer m.Target.Close()
				run := m.Move
				switch {
				case abort:
					run = m.Abort
				case finish:
					run = m.Finish
				}
				moved, err := run(ctx, arguments[0])
				if err != nil {
					return err
				}
				return s.showMoved(moved)
			})
		},
	}
	c.Flags().DurationVar(&m.Wait, "wait", 10*time.Second,
		"how long transactions are waited for that are open when the organization becomes read-only")
	c.Flags().DurationVar(&m.Grace, "grace", 7*24*time.Hour, "how long the source keeps its copy")
	c.Flags().BoolVar(&abort, "abort", false, "before the switch: give writing back to the source, and empty the target")
	c.Flags().BoolVar(&finish, "finish", false, "after the time of --grace: drop the source's copy, and its roles")
	return c
}

// moveTarget is the login at the database that an organization moves into.
func (s *settings) moveTarget() (postgres.Config, error) {
	const prefix = "TARGET_"
	if s.getenv(prefix+"PGHOST") == "" {
		return postgres.Config{}, errors.New("no target is named: set TARGET_PGHOST")
	}
	at := *s
	at.getenv = func(name string) string {
		if value := s.getenv(prefix + name); value != "" {
			return value
		}
		return s.getenv(name)
	}
	return at.config()
}

func (s *settings) showMoved(moved move.Moved) error {
	return s.show(moved, func(w *tabwriter.Writer) {
		kept := ""
		if moved.KeepUntil != nil {
			kept = moved.KeepUntil.UTC().Format(time.RFC3339)
		}
		_, _ = fmt.Fprintf(w, "ORGANIZATION\tSOURCE\tREAD-ONLY\tKEPT UNTIL\tROLES\n%s\t%s\t%.1f s\t%s\t%s\n", moved.Slug, moved.Step,
			moved.ReadOnlySeconds, kept, strings.Join(moved.Roles, " "))
		if len(moved.Rows) > 0 {
			_, _ = fmt.Fprintln(w, "\nTABLE\tROWS")
		}
		for _, name := range slices.Sorted(maps.Keys(moved.Rows)) {
			_, _ = fmt.Fprintf(w, "%s\t%d\n", name, moved.Rows[name])
		}
	})
}
