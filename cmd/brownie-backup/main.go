// Command brownie-backup runs the backup schedules of a database (brownie_backup_schedule): it makes backups, proves that they restore,
// restores them, and removes those that no rule keeps.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	_ "time/tzdata" // The image that it runs in may have no time zones.

	"filippo.io/age"
	"github.com/spf13/cobra"

	"github.com/longyi-brownie/terraform-provider-brownie/cmd/internal/program"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/dump"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/runner"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// version is set when a release is built.
var version = "dev"

func main() { program.Main("brownie-backup", run) }

// settings are what the flags say that all commands have.
type settings struct {
	getenv func(string) string
	stdout io.Writer
	stderr io.Writer

	output, logFormat    string
	bin, serverBin       string
	scratch, identity    string
	cluster              string
	checks               []string
	jobs, bytesPerSecond int
}

// These are what scripts can tell apart, beside 1 for a failure that wants a person.
const (
	exitUsage     = 2
	exitRetryable = 75 // EX_TEMPFAIL of sysexits(3)
)

// coded is an error with the code that the process ends with.
type coded struct {
	error
	code int
}

func (c coded) ExitCode() int { return c.code }
func (c coded) Unwrap() error { return c.error }

func run(ctx context.Context, arguments []string, getenv func(string) string, stderr io.Writer) error {
	s := &settings{getenv: getenv, stdout: os.Stdout, stderr: stderr}
	command := s.command() //nolint:contextcheck // Cobra hands it on.
	command.SetArgs(arguments)
	command.SetErr(stderr)
	return command.ExecuteContext(ctx)
}

const long = `Runs the backup schedules of a database: those that brownie_backup_schedule declares.

The server is found, and logged in to, with libpq's variables: PGHOST, PGPORT, PGDATABASE, PGUSER, PGSSLMODE, PGSSLROOTCERT, PGSSLCERT
and PGSSLKEY. The role needs access "backup" (brownie_role). PostgreSQL's client programs have to be those of the server's major version,
or of a later one. Object stores are logged in to with what is in the environment, or the platform's identity.

It ends with 0; with 1 after a failure that wants a person; with 2 when it was called wrongly; with 75 after one that may pass by itself.`

func (s *settings) command() *cobra.Command {
	root := &cobra.Command{
		Use: "brownie-backup", Short: "Runs backup schedules", Long: long, Version: version,
		SilenceErrors: true, SilenceUsage: true, CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return coded{err, exitUsage} })
	flags := root.PersistentFlags()
	flags.StringVarP(&s.output, "output", "o", "text", "text or json")
	flags.StringVar(&s.logFormat, "log-format", "text", "text or json, for what goes to standard error")
	flags.StringVar(&s.bin, "bin", "", "folder of PostgreSQL's client programs (default that of PATH)")
	flags.StringVar(&s.serverBin, "server-bin", "", "folder of initdb and postgres, for verifications (default that of PATH)")
	flags.StringVar(&s.cluster, "cluster", "",
		"name that tells clusters apart which archive to the same place (default the server's cluster_name)")
	flags.StringVar(&s.scratch, "scratch", "", "folder in which verifications keep what they restore (default that for temporary files)")
	flags.StringVar(&s.identity, "identity", "", "file with identities of age, which can read backups (BROWNIE_BACKUP_IDENTITY)")
	flags.StringArrayVar(&s.checks, "check", nil,
		"file of SQL for verifications: one that fails, or ends with rows, makes them fail; may be repeated")
	flags.IntVarP(&s.jobs, "jobs", "j", 2, "how many processes read or write rows at the same time")
	flags.IntVar(&s.bytesPerSecond, "bytes-per-second", 0, "how much is sent to a store at most; 0 is no limit")
	root.Args = cobra.NoArgs
	root.RunE = func(*cobra.Command, []string) error {
		return coded{errors.New("name a command; --help lists them"), exitUsage}
	}
	root.AddCommand(s.serveCommand(), s.backupCommand(), s.listCommand(), s.statusCommand(), s.verifyCommand(), s.restoreCommand(),
		s.exportCommand(), s.moveCommand(), s.pruneCommand(), s.holdCommand(), s.releaseCommand(), s.rotateCommand(),
		s.reportCommand(), s.pgbackrestPushCommand(), s.pgbackrestGetCommand())
	root.Args = usage(root.Args)
	for _, each := range root.Commands() {
		each.DisableFlagsInUseLine = true
		each.Args = usage(each.Args)
	}
	return root
}

// usage gives wrong arguments their code.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(command *cobra.Command, arguments []string) error {
		if err := check(command, arguments); err != nil {
			return coded{fmt.Errorf("%w; usage: %s", err, command.UseLine()), exitUsage}
		}
		return nil
	}
}

// with runs something by a runner, and gives its error the code that fits.
func (s *settings) with(ctx context.Context, do func(context.Context, *runner.Runner) error) error {
	formats := []string{"text", "json"}
	if err := errors.Join(oneOf("--output", s.output, formats), oneOf("--log-format", s.logFormat, formats)); err != nil {
		return err
	}
	if s.jobs < 1 || s.bytesPerSecond < 0 {
		return coded{errors.New("--jobs is at least 1, and --bytes-per-second not negative"), exitUsage}
	}
	config, err := s.config()
	if err != nil {
		return coded{err, exitUsage}
	}
	identities, err := s.identities()
	if err != nil {
		return coded{err, exitUsage}
	}
	db := postgres.New(config) //nolint:contextcheck // Its connections outlive each call.
	defer db.Close()
	host, _ := os.Hostname() // Without a name it has none.
	r := &runner.Runner{
		DB: db, Name: fmt.Sprintf("brownie-backup %s on %s", version, host), Tools: tools(s.bin, config, s.getenv),
		ServerPrograms: s.serverBin, ScratchFolder: s.scratch, Identities: identities, Jobs: s.jobs, Checks: s.checks,
		BytesPerSecond: s.bytesPerSecond, ClusterName: s.cluster, Log: s.log(),
	}
	err = do(ctx, r)
	var wrong coded
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrong):
		return err
	case ctx.Err() != nil:
		return coded{errors.New("interrupted"), exitRetryable}
	case runner.Retryable(err):
		return coded{r.Explain(err), exitRetryable}
	}
	return r.Explain(err)
}

// oneOf is a usage error for a value that is none of those that there are.
func oneOf(flag, value string, allowed []string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return coded{fmt.Errorf("%s is %q; it is one of %s", flag, value, strings.Join(allowed, ", ")), exitUsage}
}

func (s *settings) log() *slog.Logger {
	if s.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(s.stderr, nil))
	}
	return slog.New(slog.NewTextHandler(s.stderr, nil))
}

func (s *settings) config() (postgres.Config, error) {
	config, err := postgres.Config{ApplicationName: "brownie-backup", MaxConnections: 4}.WithEnvironment(s.getenv)
	if err != nil {
		return config, err
	}
	if config.Host == "" {
		return config, errors.New("no server is named: set PGHOST")
	}
	for name, value := range map[string]string{
		"PGSSLROOTCERT": config.SSLRootCert, "PGSSLCERT": config.SSLCert, "PGSSLKEY": config.SSLKey,
	} {
		if strings.Contains(value, "-----BEGIN") {
			return config, fmt.Errorf("%s holds PEM text: PostgreSQL's own programs want the path of a file", name)
		}
	}
	config = config.WithDefaults()
	return config, config.Validate()
}

// identities reads those that can read backups.
func (s *settings) identities() ([]age.Identity, error) {
	path := s.identity
	if path == "" {
		path = s.getenv("BROWNIE_BACKUP_IDENTITY")
	}
	if path == "" {
		return nil, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, problem.New("the identity cannot be read: "+err.Error(), "Name a file that `age-keygen` wrote").Because(err)
	}
	defer func() { _ = file.Close() }()
	found, err := age.ParseIdentities(file)
	if err != nil {
		// What the file holds is secret, and so may be the error's text.
		return nil, problem.New(fmt.Sprintf("%s holds no identity of age", path), "Name a file that `age-keygen` wrote")
	}
	return found, nil
}

// tools gives PostgreSQL's programs the same way to the server, and nothing else of the environment: credentials of stores are none of
// theirs.
func tools(bin string, config postgres.Config, getenv func(string) string) dump.Tools {
	env := []string{
		"PGHOST=" + config.Host, fmt.Sprintf("PGPORT=%d", config.Port), "PGDATABASE=" + config.Database, "PGUSER=" + config.Username,
		"PGAPPNAME=brownie-backup", "PGTARGETSESSIONATTRS=read-write",
		fmt.Sprintf("PGCONNECT_TIMEOUT=%d", max(2, int(config.ConnectTimeout.Seconds()))),
	}
	for name, value := range map[string]string{
		"PGSSLMODE": config.SSLMode, "PGSSLROOTCERT": config.SSLRootCert, "PGSSLCERT": config.SSLCert, "PGSSLKEY": config.SSLKey,
		"PGPASSFILE": config.PassFile, "PGPASSWORD": config.Password, "PGSSLNEGOTIATION": config.SSLNegotiation,
		"PGCHANNELBINDING": config.ChannelBinding, "PGREQUIREAUTH": config.RequireAuth, "HOME": getenv("HOME"),
	} {
		if value != "" {
			env = append(env, name+"="+value)
		}
	}
	return dump.Tools{Dir: bin, Env: env}
}
