package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/runner"
)

const holdHelp = `Keeps a backup whatever the schedule's retention says, until it is released: prune tells that it is held. Where a bucket
locks objects (S3), each object gets a legal hold, so that nobody removes it; elsewhere the record alone holds: this program removes nothing
of the backup, and whoever has the store's credentials may.`

func (s *settings) holdCommand() *cobra.Command {
	reason := ""
	c := &cobra.Command{
		Use: "hold ID", Short: "Keeps a backup whatever the retention says", Long: holdHelp, Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, arguments []string) error {
			return s.with(c.Context(), func(ctx context.Context, r *runner.Runner) error {
				all, err := r.Hold(ctx, arguments[0], reason)
				return errors.Join(err, s.showHeld(all, "record alone"))
			})
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why, for the record")
	return c
}

func (s *settings) releaseCommand() *cobra.Command {
	return &cobra.Command{
		Use: "release ID", Short: "Lets the retention count again for a backup that was held", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, arguments []string) error {
			return s.with(c.Context(), func(ctx context.Context, r *runner.Runner) error {
				all, err := r.Release(ctx, arguments[0])
				return errors.Join(err, s.showHeld(all, "nobody"))
			})
		},
	}
}

func (s *settings) showHeld(all []runner.Held, without string) error {
	return s.show(all, func(w *tabwriter.Writer) {
		_, _ = fmt.Fprintln(w, "COPY\tHELD BY\tPROBLEM")
		for _, each := range all {
			by := without
			if each.Store {
				by = "record and store"
			}
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\n", each.Location, by, each.Problem)
		}
	})
}
