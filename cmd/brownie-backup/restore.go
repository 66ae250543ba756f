package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/pgbackrest"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/runner"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/tenant"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// restoring is what the flags of restore say.
type restoring struct {
	from, schedule     string
	asOf               string
	organization, file string
	data               string
	to, toLSN, toName  string
	target             runner.Target
}

const restoreHelp = `Restores a backup into a new database of the server that PGHOST names, or of another one with --host. The role has
to be one that may create databases and the roles that are missing. When it fails, everything is as it was.

What was deleted since the backup stays deleted: the ledger beside the backups tells which organizations were purged, and which roles were
dropped or locked. They are listed, and purged, dropped and locked in what is restored before anybody else may connect to it.
With --accept-resurrection they are listed only, and come back. A ledger that is damaged refuses the restore without it.

With --organization, one organization alone is restored: with --file its rows are written as SQL. With --database it shows in what the
rows of the organization in that database are others than they were, and with --force makes them what they were, in one transaction; the
role has to be the owner of the tables, or a superuser. The backup is restored into a scratch server for it, as for a verification.

A backup of engine pgbackrest holds the files of a whole cluster, and the archive leads from it to every later moment: --to, --to-lsn and
--to-name say to which; without them it is the backup's own, and --to latest is the end of the archive. With --database, that
database is taken out of it; with --data-directory, the cluster becomes a new data directory, which is ready to be started.`

func (s *settings) restoreCommand() *cobra.Command {
	var r restoring
	c := &cobra.Command{
		Use:   "restore ID (--database NAME | --data-directory FOLDER)",
		Short: "Restores a backup into a new database, or one organization of it",
		Args:  cobra.ExactArgs(1), Long: restoreHelp,
		RunE: func(c *cobra.Command, arguments []string) error {
			if err := noneEmpty(c, "organization", "file", "database", "data-directory", "to", "to-lsn", "to-name", "from", "schedule",
				"as-of", "host", "username", "maintenance-database"); err != nil {
				return err
			}
			source, err := r.source(arguments[0])
			if err != nil {
				return coded{err, exitUsage}
			}
			return s.with(c.Context(), func(ctx context.Context, run *runner.Runner) error {
				config, err := s.target(c)
				if err != nil {
					return err
				}
				switch {
				case r.data != "":
					done, err := run.RestoreFiles(ctx, source, r.data, r.target.AcceptResurrection)
					if err != nil {
						return err
					}
					return s.showRestored(done)
				case r.file != "":
					return s.export(r.file, func(to io.Writer) (tenant.Exported, error) {
						return run.ExportFrom(ctx, source, r.organization, to)
					})
				case r.organization != "":
					config.Database = r.target.Database
					return s.putBack(ctx, run, source, r, config)
				}
				if config.Database == r.target.Database {
					config.Database = "postgres"
				}
				r.target.Server, r.target.Tools = config, tools(s.bin, config, s.getenv)
				done, err := run.Restore(ctx, source, r.target)
				if err != nil {
					return err
				}
				return s.showRestored(done)
			})
		},
	}
	c.Flags().StringVar(&r.target.Database, "database", "", "name of the new database; with --organization, of the present one")
	c.Flags().StringVar(&r.data, "data-directory", "", "new folder for the files of the whole cluster, for engine pgbackrest")
	c.Flags().StringVar(&r.to, "to", "", "moment to restore to, with time zone (RFC 3339: 2026-01-02T15:04:05Z), or latest")
	c.Flags().StringVar(&r.toLSN, "to-lsn", "", "position in the log to restore to, such as 0/3000060")
	c.Flags().StringVar(&r.toName, "to-name", "", "restore point to restore to (pg_create_restore_point)")
	c.Flags().StringVar(&r.organization, "organization", "", "slug of the one organization that is restored")
	c.Flags().StringVar(&r.file, "file", "", "new file for the rows of the organization, as SQL; - is standard output")
	c.Flags().StringVar(&r.from, "from", "", fromUsage+", with --schedule")
	c.Flags().StringVar(&r.schedule, "schedule", "", "the backup's schedule, with --from")
	c.Flags().StringVar(&r.asOf, "as-of", "", asOfUsage)
	c.Flags().BoolVar(&r.target.Replace, "force", false,
		"put it in the place of the database of that name, which is kept under another one; with --organization, write the rows")
	c.Flags().BoolVar(&r.target.AcceptResurrection, "accept-resurrection", false,
		"bring back what was deleted or locked since the backup, too")
	c.Flags().String("host", "", "server to restore into (default PGHOST)")
	c.Flags().String("username", "", "role to restore as (default PGUSER)")
	c.Flags().String("maintenance-database", "", "database to connect to meanwhile (default PGDATABASE)")
	return c
}

// noneEmpty refuses flags without a value: what is meant is something else than what happens without the flag.
func noneEmpty(c *cobra.Command, flags ...string) error {
	for _, flag := range flags {
		if c.Flags().Changed(flag) && c.Flag(flag).Value.String() == "" {
			return coded{fmt.Errorf("--%s is empty: is a variable not set?", flag), exitUsage}
		}
	}
	return nil
}

// source is the backup, and an error tells which flags contradict each other.
func (s *settings) showRestored(done runner.Restored) error {
	return s.show(done, func(w *tabwriter.Writer) {
		_, _ = fmt.Fprintf(w, "BACKUP\tLEADS BACK TO\tDATABASE OR DATA DIRECTORY\tFORMER ONE\tSECONDS\n%s\t%s\t%s\t%s\t%.1f\n\n",
			done.Backup, done.LeadsBackTo.UTC().Format(time.RFC3339), done.Database+done.DataDirectory, done.Kept, done.Seconds)
		for _, why := range done.Deletions.Unread {
			_, _ = fmt.Fprintf(w, "Not read: %s\n", why)
		}
		switch {
		case !done.Deletions.Known:
			_, _ = fmt.Fprintln(w, "There is no ledger: what was deleted since the backup is back.")
			return
		case len(done.Deletions.All) == 0:
			_, _ = fmt.Fprintln(w, "By the ledger, nothing that is in the backup was deleted or locked since.")
			return
		}
		_, _ = fmt.Fprintln(w, "SINCE THE BACKUP\tNAME\tSLUG\tAT\tNOW")
		for _, d := range done.Deletions.All {
			_, _ = fmt.Fprintf(w, "%s %s\t%s\t%s\t%s\t%s\n", d.Kind, d.Event, d.Name, d.Slug, d.At.UTC().Format(time.RFC3339), d.Outcome)
		}
	})
}

func (r *restoring) source(id string) (source runner.Source, err error) {
	switch {
	case r.file != "" && r.organization == "":
		return source, errors.New("--file is for one organization: name it with --organization")
	case r.file != "" && (r.target.Database != "" || r.target.Replace):
		return source, errors.New("--file writes to no database: leave out --database and --force")
	case r.target.AcceptResurrection && r.organization != "":
		return source, errors.New("--accept-resurrection is for whole backups: who names an organization wants it back")
	case r.file == "" && r.target.Database == "" && r.organization != "":
		return source, errors.New("name the file with --file, or the database with --database")
	case r.data != "" && (r.target.Database != "" || r.file != "" || r.organization != "" || r.target.Replace):
		return source, errors.New("--data-directory takes the whole cluster: leave out --database, --organization, --file and --force")
	case r.file == "" && r.target.Database == "" && r.data == "":
		return source, errors.New("name the database with --database, or a folder with --data-directory")
	}
	if r.from != "" {
		source, err = storeSource(r.from, r.schedule, r.asOf)
	} else if r.asOf != "" {
		err = errAsOfWhere
	}
	if err != nil {
		return source, err
	}
	source.ID = id
	source.To, err = r.moment()
	return source, err
}

// moment is how far the log is replayed.
func (r *restoring) moment() (to pgbackrest.Target, err error) {
	named := 0
	for _, each := range []string{r.to, r.toLSN, r.toName} {
		if each != "" {
			named++
		}
	}
	switch {
	case named > 1:
		return to, errors.New("--to, --to-lsn and --to-name exclude each other")
	case r.to == "latest":
		return pgbackrest.Target{Latest: true}, nil
	case r.to != "":
		at, err := time.Parse(time.RFC3339Nano, r.to)
		if err != nil {
			return to, fmt.Errorf("--to %s is no moment with a time zone; write it like %s, or latest", r.to, "2026-01-02T15:04:05+01:00")
		}
		return pgbackrest.Target{Time: &at}, nil
	case r.toLSN != "" && !lsn.MatchString(r.toLSN):
		return to, fmt.Errorf("--to-lsn %s is no position in the log, such as 0/3000060", r.toLSN)
	}
	return pgbackrest.Target{LSN: r.toLSN, Name: r.toName}, nil
}

var lsn = regexp.MustCompile(`^[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}$`)

// target is the login at the server that is restored into.
func (s *settings) target(c *cobra.Command) (postgres.Config, error) {
	config, err := s.config()
	if err != nil {
		return config, err
	}
	for _, each := range []struct {
		flag string
		into *string
	}{{"host", &config.Host}, {"username", &config.Username}, {"maintenance-database", &config.Database}} {
		if value := c.Flag(each.flag).Value.String(); value != "" {
			*each.into = value
		}
	}
	return config, nil
}

func (s *settings) exportCommand() *cobra.Command {
	file := ""
	c := &cobra.Command{
		Use: "export SLUG --file FILE", Short: "Writes the rows of one organization as SQL, as they are now", Args: cobra.ExactArgs(1),
		Long: "Writes the rows of one organization as SQL, as they are now: what a customer who leaves can take along, and what can be " +
			"put into another database of the same schema version.",
		RunE: func(c *cobra.Command, arguments []string) error {
			if file == "" {
				return coded{errors.New("name the file with --file"), exitUsage}
			}
			return s.with(c.Context(), func(ctx context.Context, r *runner.Runner) error {
				return s.export(file, func(to io.Writer) (tenant.Exported, error) { return r.Export(ctx, arguments[0], to) })
			})
		},
	}
	c.Flags().StringVar(&file, "file", "", "new file; - is standard output")
	return c
}

// export writes a file that exists only when all is in it, and that only its owner reads.
func (s *settings) export(file string, write func(io.Writer) (tenant.Exported, error)) error {
	if file == "-" {
		_, err := write(s.stdout)
		return err
	}
	if _, err := os.Lstat(file); err == nil {
		return coded{fmt.Errorf("there is a file %s already", file), exitUsage}
	}
	temporary, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temporary.Name()) }()
	done, err := write(temporary)
	if err == nil {
		err = temporary.Sync()
	}
	err = errors.Join(err, temporary.Close())
	if err != nil {
		return err
	}
	// Unlike a rename, a link never takes the place of another file.
	if err := os.Link(temporary.Name(), file); err != nil {
		return err
	}
	return s.show(done, func(w *tabwriter.Writer) {
		_, _ = fmt.Fprintf(w, "ORGANIZATION\tAS OF\tFILE\n%s\t%s\t%s\n\nTABLE\tROWS\n", done.Organization,
			done.At.UTC().Format(time.RFC3339), file)
		for _, name := range slices.Sorted(maps.Keys(done.Rows)) {
			_, _ = fmt.Fprintf(w, "%s\t%d\n", name, done.Rows[name])
		}
		for _, name := range done.LeftOut {
			_, _ = fmt.Fprintf(w, "%s\tleft out: it does not say whose its rows are\n", name)
		}
	})
}

// putBack shows how the rows differ, and puts them back if that is wanted.
func (s *settings) putBack(ctx context.Context, run *runner.Runner, source runner.Source, r restoring, into postgres.Config) error {
	all, err := run.PutBack(ctx, source, r.organization, into, r.target.Replace)
	if len(all) == 0 && err != nil {
		return err
	}
	return errors.Join(s.show(all, func(w *tabwriter.Writer) {
		if len(all) == 0 {
			_, _ = fmt.Fprintf(w, "All rows of organization %s are as they were.\n", r.organization)
			return
		}
		_, _ = fmt.Fprintln(w, "TABLE\tMISSING\tCHANGED\tADDED SINCE")
		for _, d := range all {
			_, _ = fmt.Fprintf(w, "%s\t%d\t%d\t%d\n", d.Table, d.Missing, d.Changed, d.Added)
		}
		for _, d := range all {
			_, _ = fmt.Fprintf(w, "\n%s: %s\n", d.Table, strings.Join(d.Keys, ", "))
		}
		switch {
		case err != nil:
		case r.target.Replace:
			_, _ = fmt.Fprintln(w, "\nThe rows are what they were.")
		default:
			_, _ = fmt.Fprintln(w, "\nNothing was changed. --force makes the rows what they were, and deletes what was added since.")
		}
	}), err)
}
