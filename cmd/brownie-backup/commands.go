package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/longyi-brownie/terraform-provider-brownie/cmd/internal/program"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/runner"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

func (s *settings) serveCommand() *cobra.Command {
	listen, socket := "", ""
	c := &cobra.Command{
		Use: "serve", Short: "Runs schedules when they are due, until it is told to stop", Args: cobra.NoArgs,
		Long: "Runs schedules when they are due, until it is told to stop. Several may run: each schedule is one's at a time.",
		RunE: func(c *cobra.Command, _ []string) error {
			return s.with(c.Context(), func(ctx context.Context, r *runner.Runner) error {
				server := runner.NewServer(r)
				if listen != "" {
					stop, err := program.Serve(ctx, listen, server.Handler(), r.Log)
					if err != nil {
						return err
					}
					defer stop()
				}
				if socket != "" {
					stop, err := serveArchive(ctx, socket, server.Archive(), r.Log)
					if err != nil {
						return err
					}
					defer stop()
				}
				return server.Serve(ctx)
			})
		},
	}
	c.Flags().StringVar(&socket, "archive-socket", "",
		"unix socket on which archive_command hands over segments (brownie-backup pgbackrest-push), for engine pgbackrest")
	c.Flags().StringVar(&listen, "listen", "", "address of /metrics (Prometheus) and /healthz, such as :9645")
	return c
}

func (s *settings) backupCommand() *cobra.Command {
	return &cobra.Command{
		Use: "backup NAME", Short: "Runs a schedule now", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, arguments []string) error {
			return s.with(c.Context(), func(ctx context.Context, r *runner.Runner) error {
				r.Progress = s.progress()
				made, err := r.Backup(ctx, arguments[0], nil)
				if made.ID == "" {
					return err
				}
				return errors.Join(err, s.showBackups([]backup.Backup{made}))
			})
		},
	}
}

// progress is for a terminal: what was sent, how fast, and how long it may still take by what the last backup had.
func (s *settings) progress() func(sent, last int64) {
	if s.output != "text" || !term.IsTerminal(int(os.Stderr.Fd())) {
		return nil
	}
	start := time.Now()
	return func(sent, last int64) {
		rate := float64(sent) / time.Since(start).Seconds()
		line := fmt.Sprintf("%s, %s/s", humanize.IBytes(uint64(max(sent, 0))), humanize.IBytes(uint64(rate)))
		if last > sent && rate > 0 {
			line += fmt.Sprintf(", about %s to go", (time.Duration(float64(last-sent)/rate) * time.Second).String())
		}
		_, _ = fmt.Fprintf(s.stderr, "\r\033[K%s\r", line)
	}
}

func (s *settings) listCommand() *cobra.Command {
	var filter backup.Filter
	status, limit, from, asOf := "", 0, "", ""
	c := &cobra.Command{
		Use: "list", Short: "Lists backups, newest first", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := noneEmpty(c, "from", "schedule", "as-of"); err != nil {
				return err
			}
			return s.with(c.Context(), func(ctx context.Context, r *runner.Runner) error {
				switch {
				case from != "":
					return s.listStore(ctx, from, filter.Schedule, asOf)
				case asOf != "":
					return coded{errAsOfWhere, exitUsage}
				}
				if err := oneOf("--status", status, append([]string{""}, backup.Statuses...)); err != nil {
					return err
				}
				filter.Status, filter.Limit = backup.Status(status), limit
				found, err := backup.New(r.DB).Backups(ctx, filter)
				if err != nil {
					return err
				}
				return s.showBackups(found)
			})
		},
	}
	c.Flags().StringVar(&filter.Schedule, "schedule", "", "only those of one schedule")
	c.Flags().StringVar(&from, "from", "", fromUsage+", with --schedule")
	c.Flags().StringVar(&asOf, "as-of", "", asOfUsage)
	c.Flags().StringVar(&status, "status", "", "only those that are "+strings.Join(backup.Statuses, ", "))
	c.Flags().BoolVar(&filter.Present, "present", false, "only those that are not pruned")
	c.Flags().IntVar(&limit, "limit", 50, "how many; 0 is all")
	return c
}

const fromUsage = "URL of a destination, whatever is on record: file:///folder, s3://bucket/path?region=…&endpoint=…&path_style=true, " +
	"gs://… or azblob://…"

// listStore lists what is in a store.
func (s *settings) listStore(ctx context.Context, from, schedule, asOf string) error {
	source, err := storeSource(from, schedule, asOf)
	if err != nil {
		return coded{err, exitUsage}
	}
	all, err := runner.ListStore(ctx, source)
	return errors.Join(err, s.show(all, func(w *tabwriter.Writer) {
		_, _ = fmt.Fprintln(w, "BACKUP\tSCHEDULE\tDATABASE\tLEADS BACK TO\tSIZE\tSERVER\tMADE BY")
		for _, m := range all {
			_, _ = fmt.Fprintln(w, strings.Join([]string{
				m.ID, m.Schedule, m.Database.Name, m.SnapshotAt.UTC().Format(time.RFC3339), humanize.IBytes(uint64(max(m.Bytes(), 0))),
				m.Server, m.Runner,
			}, "\t"))
		}
	}))
}

func (s *settings) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Tells of each schedule what came of it", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return s.with(c.Context(), func(ctx context.Context, r *runner.Runner) error {
				all, err := backup.New(r.DB).Schedules(ctx)
				return errors.Join(s.showSchedules(all), err)
			})
		},
	}
}

func (s *settings) verifyCommand() *cobra.Command {
	method := ""
	c := &cobra.Command{
		Use: "verify ID", Short: "Proves that a backup restores, and records it", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, arguments []string) error {
			return s.with(c.Context(), func(ctx context.Context, r *runner.Runner) error {
				if err := oneOf("--method", method, []string{"", string(backup.Restore), string(backup.Checksum)}); err != nil {
					return err
				}
				proof, err := r.Verify(ctx, arguments[0], backup.Verification(method))
				if err != nil {
					return err
				}
				return s.show(proof, func(w *tabwriter.Writer) {
					_, _ = fmt.Fprintf(w, "BACKUP\tMETHOD\tRESTORED IN\n%s\t%s\t%s\n", proof.BackupID, proof.Method,
						seconds(proof.RestoreSeconds))
				})
			})
		},
	}
	c.Flags().StringVar(&method, "method", "", "restore or checksum (default the schedule's)")
	return c
}

func (s *settings) pruneCommand() *cobra.Command {
	dryRun := false
	c := &cobra.Command{
		Use: "prune NAME", Short: "Removes the backups of a schedule that no rule keeps, and what is left of runs that did not end",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, arguments []string) error {
			return s.with(c.Context(), func(ctx context.Context, r *runner.Runner) error {
				pruned, err := r.Prune(ctx, arguments[0], dryRun)
				return errors.Join(err, s.show(pruned, func(w *tabwriter.Writer) {
					_, _ = fmt.Fprintln(w, "BACKUP\tWHERE\tWHY\tRETAINED\tHELD")
					for _, p := range pruned {
						_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%v\t%v\n", p.ID, p.Where, p.Why, p.Retained, p.Held)
					}
				}))
			})
		},
	}
	c.Flags().BoolVar(&dryRun, "dry-run", false, "only tell")
	return c
}

// report is a record for auditors.
type report struct {
	MadeAt, Since time.Time
	Database      string
	By            string
	Proofs        []backup.ScheduledProof
	// Held are the backups that stay whatever the retention says.
	Held []backup.Backup
}

func (s *settings) reportCommand() *cobra.Command {
	days := 0
	c := &cobra.Command{
		Use: "report", Short: "Writes a dated record of all verifications, for auditors", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return s.with(c.Context(), func(ctx context.Context, r *runner.Runner) error {
				now := time.Now().UTC()
				made := report{MadeAt: now, Since: now.AddDate(0, 0, -days), By: r.Name}
				database, err := postgres.QueryOne[struct{ Name string }](ctx, r.DB, `SELECT pg_catalog.current_database()::text AS name`)
				if err != nil {
					return err
				}
				made.Database = database.Name
				if made.Proofs, err = backup.New(r.DB).Proofs(ctx, made.Since); err != nil {
					return err
				}
				all, err := backup.New(r.DB).Backups(ctx, backup.Filter{Present: true})
				if err != nil {
					return err
				}
				made.Held = slices.DeleteFunc(all, func(b backup.Backup) bool { return b.HeldAt == nil })
				return s.show(made, made.text)
			})
		},
	}
	c.Flags().IntVar(&days, "days", 90, "of how many days")
	return c
}

func (r report) text(w *tabwriter.Writer) {
	_, _ = fmt.Fprintf(w, "Verifications of the backups of database %s since %s, as recorded there on %s, told by %s.\n\n",
		r.Database, r.Since.Format(time.DateOnly), r.MadeAt.Format(time.RFC3339), r.By)
	_, _ = fmt.Fprintln(w, "STARTED\tENDED\tSCHEDULE\tBACKUP\tMETHOD\tRESULT\tRESTORED IN\tBY\tERROR")
	for _, p := range r.Proofs {
		failed := ""
		if p.Error != nil {
			failed = *p.Error
		}
		_, _ = fmt.Fprintln(w, strings.Join([]string{
			p.StartedAt.UTC().Format(time.RFC3339), p.EndedAt.UTC().Format(time.RFC3339), p.Schedule, p.BackupID, string(p.Method),
			map[bool]string{true: "succeeded", false: "FAILED"}[p.Succeeded], seconds(p.RestoreSeconds), p.Runner, failed,
		}, "\t"))
	}
	_, _ = fmt.Fprintf(w, "\nBackups under hold, which no rule removes: %d\n", len(r.Held))
	for _, b := range r.Held {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\n", b.ID, b.ScheduleName, held(b))
	}
}

// held tells since when a backup is held, and why.
func held(b backup.Backup) string {
	if b.HeldAt == nil {
		return ""
	}
	since := b.HeldAt.UTC().Format(time.RFC3339)
	if b.HoldReason == nil {
		return since
	}
	return since + ": " + *b.HoldReason
}

// show writes a value as JSON, or as a person reads it.
func (s *settings) show(value any, text func(*tabwriter.Writer)) error {
	if s.output == "json" {
		encoder := json.NewEncoder(s.stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(value)
	}
	w := tabwriter.NewWriter(s.stdout, 0, 0, 2, ' ', 0)
	text(w)
	return w.Flush()
}

func (s *settings) showBackups(all []backup.Backup) error {
	return s.show(all, func(w *tabwriter.Writer) {
		_, _ = fmt.Fprintln(w, "BACKUP\tSCHEDULE\tSTATUS\tSTARTED\tTOOK\tSIZE\tVERIFIED\tRESTORED IN\tHELD\tERROR")
		for _, b := range all {
			took, size, verified, restored, failed := "", "", "", "", ""
			if b.EndedAt != nil {
				took = b.EndedAt.Sub(b.StartedAt).Round(time.Second / 10).String()
			}
			if b.SizeBytes != nil {
				size = humanize.IBytes(uint64(max(*b.SizeBytes, 0)))
			}
			if v := b.Verified; v != nil {
				verified, restored = map[bool]string{true: "yes", false: "FAILED"}[v.Succeeded], seconds(v.RestoreSeconds)
			}
			if b.Error != nil {
				failed = *b.Error
			}
			status := string(b.Status)
			if b.PrunedAt != nil {
				status = "pruned"
			}
			_, _ = fmt.Fprintln(w, strings.Join([]string{
				b.ID, b.ScheduleName, status, b.StartedAt.UTC().Format(time.RFC3339), took, size, verified, restored, held(b), failed,
			}, "\t"))
		}
	})
}

func (s *settings) showSchedules(all []backup.Schedule) error {
	return s.show(all, func(w *tabwriter.Writer) {
		_, _ = fmt.Fprintln(w, "SCHEDULE\tENGINE\tNEXT RUN\tLAST SUCCESS\tLAST VERIFIED\tRESTORED IN\tRESTORABLE FROM\tUNTIL")
		at := func(t *time.Time) string {
			if t == nil {
				return "never"
			}
			return t.UTC().Format(time.RFC3339)
		}
		for _, each := range all {
			next := "disabled"
			if runs := each.NextRuns(time.Now(), 1); len(runs) > 0 {
				next = at(&runs[0])
			}
			_, _ = fmt.Fprintln(w, strings.Join([]string{
				each.Name, string(each.Engine), next, at(each.LastSuccessAt), at(each.LastVerifiedAt), seconds(each.LastRestoreSeconds),
				at(each.RestorableFrom), at(each.RestorableUntil),
			}, "\t"))
		}
	})
}

func seconds(value *float64) string {
	if value == nil {
		return ""
	}
	return fmt.Sprintf("%.1f s", *value)
}
