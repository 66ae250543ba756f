package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/runner"
)

const rotateHelp = `Encrypts the backups of a schedule again, for the recipients that it has now: who was a recipient before reads none of
them any more, and who is one now reads all. It needs an identity that reads them (--identity), which may be a former recipient's.

Before, what no rule keeps is pruned. Each backup is written anew beside what there is, is read again, goes on record, and only then is the
former one removed; at whatever moment this ends, it restores, and the next rotate-keys goes on. Where a store does not let the former one
go, RETAINED names it. Backups that are not on this database's record stay as they are.`

func (s *settings) rotateCommand() *cobra.Command {
	dryRun := false
	c := &cobra.Command{
		Use: "rotate-keys NAME", Short: "Encrypts the backups of a schedule again, for the recipients that it has now",
		Long: rotateHelp, Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, arguments []string) error {
			return s.with(c.Context(), func(ctx context.Context, r *runner.Runner) error {
				r.Progress = s.progress()
				all, err := r.RotateKeys(ctx, arguments[0], dryRun)
				return errors.Join(err, s.show(all, func(w *tabwriter.Writer) {
					_, _ = fmt.Fprintln(w, "BACKUP\tRESULT\tSIZE\tRETAINED\tPROBLEMS")
					for _, each := range all {
						_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", each.ID, each.Result, humanize.IBytes(uint64(max(each.Bytes, 0))),
							strings.Join(each.Retained, " "), strings.Join(each.Problems, "; "))
					}
				}))
			})
		},
	}
	c.Flags().BoolVar(&dryRun, "dry-run", false, "only tell which would be encrypted again; needs no identity")
	return c
}
