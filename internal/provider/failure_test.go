package provider_test

import (
	"context"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/acctest"
)

// twoHundred makes 200 resources: a migration, an organization, 9 teams, 99 users, 45 agent configs and 45 configs.
const twoHundred = `
resource "brownie_migration" "this" {}
resource "brownie_organization" "acme" {
  name                = "Acme"
  slug                = "acme"
  max_users_per_team  = 11
  deletion_protection = false
  depends_on          = [brownie_migration.this]
}
resource "brownie_team" "t" {
  count           = 9
  organization_id = brownie_organization.acme.id
  name            = "Team ${count.index}"
  slug            = "team-${count.index}"
}
resource "brownie_user" "u" {
  count           = 99
  organization_id = brownie_organization.acme.id
  team_id         = brownie_team.t[count.index % 9].id
  email           = "user${count.index}@acme.example"
  username        = "user${count.index}"
}
resource "brownie_agent_config" "a" {
  count           = 45
  organization_id = brownie_organization.acme.id
  team_id         = brownie_team.t[count.index % 9].id
  name            = "agent ${count.index}"
  agent_type      = "custom"
  config          = jsonencode({ n = count.index })
}
resource "brownie_config" "c" {
  count           = 45
  organization_id = brownie_organization.acme.id
  team_id         = brownie_team.t[count.index % 9].id
  name            = "config ${count.index}"
  config_type     = "team"
}
`

const countRows = `SELECT coalesce(to_regclass('brownie.organization_options')::text, '') <> '' AND
	(SELECT count(*) FROM public.organizations) + (SELECT count(*) FROM public.teams) + (SELECT count(*) FROM public.users)
	+ (SELECT count(*) FROM public.agent_configs) + (SELECT count(*) FROM public.configs) >= $1`

var (
	failedAddress = regexp.MustCompile(`with (brownie_\w+\.\w+(?:\[\d+\])?),`)
	importID      = regexp.MustCompile(`id = "([0-9a-f-]{36})"`)
)

// converge applies until it succeeds: once, and after errors that contain import blocks once more with those blocks.
// It returns how many rows had been committed without reaching the state.
func converge(w acctest.Workspace, config string) (imported int) {
	w.T.Helper()
	output, err := w.Apply()
	if err != nil {
		blocks := ""
		for _, problem := range strings.Split(output, "Error: ")[1:] {
			problem = strings.ReplaceAll(problem, "│", "")
			address, id := failedAddress.FindStringSubmatch(problem), importID.FindStringSubmatch(problem)
			if address == nil || id == nil {
				w.T.Fatalf("an error of the apply after the failure contains no import block:\n%s", problem)
			}
			blocks += fmt.Sprintf("import {\n  to = %s\n  id = %q\n}\n", address[1], id[1])
			imported++
		}
		w.Write(config + blocks)
		if output, err := w.Apply(); err != nil {
			w.T.Fatalf("the apply with import blocks failed, too:\n%s\n%s", blocks, output)
		}
	}
	w.NoChanges()
	return imported
}

func wantRows(w acctest.Workspace, url string) {
	w.T.Helper()
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		w.T.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	var counts string
	err = conn.QueryRow(context.Background(), `SELECT concat_ws(' ', (SELECT count(*) FROM public.organizations), (SELECT count(*) FROM public.teams),
		(SELECT count(*) FROM public.users), (SELECT count(*) FROM public.agent_configs), (SELECT count(*) FROM public.configs))`).Scan(&counts)
	if err != nil || counts != "1 9 99 45 45" {
		w.T.Errorf("the rows are %s (%v), want 1 9 99 45 45", counts, err)
	}
}

// awaitRows waits until a running apply has written that many rows.
func awaitRows(t *testing.T, url string, rows int) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		var reached bool
		// Before the migration the tables are missing; that only means to go on waiting.
		if err := conn.QueryRow(context.Background(), countRows, rows).Scan(&reached); err == nil && reached {
			return
		}
	}
	t.Fatalf("the apply did not write %d rows within a minute", rows)
}

func TestAccProviderKilled(t *testing.T) {
	for _, rows := range []int{1, 30, 120, 180} {
		t.Run(fmt.Sprintf("after %d rows", rows), func(t *testing.T) {
			t.Parallel()
			database := testdb.Empty(t)
			url := testdb.Server(t, database).URL(database)
			w := acctest.NewWorkspace(t, database, twoHundred)
			apply := w.Command("apply", "-auto-approve", "-input=false")
			if err := apply.Start(); err != nil {
				t.Fatal(err)
			}
			awaitRows(t, url, rows)
			killed := 0
			for _, pid := range acctest.Children(t, apply.Process.Pid) {
				if syscall.Kill(pid, syscall.SIGKILL) == nil {
					killed++
				}
			}
			if err := apply.Wait(); err == nil {
				t.Logf("the apply was done before the provider was killed")
			} else if killed == 0 {
				t.Fatalf("the apply failed (%s), but there was no provider process to kill", err)
			}
			t.Logf("%d rows had been committed without reaching the state", converge(w, twoHundred))
			wantRows(w, url)
		})
	}
}

func TestAccServerRestarted(t *testing.T) {
	for _, rows := range []int{1, 60, 150} {
		t.Run(fmt.Sprintf("after %d rows", rows), func(t *testing.T) {
			t.Parallel()
			// A server of its own, since the other tests need theirs.
			server, err := devstack.StartPostgres(t.Context(), devstack.Options{HBA: []string{"# a server of its own"}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = server.Stop(context.Background()) })
			if err := server.CreateDatabase(t.Context(), "restarted", ""); err != nil {
				t.Fatal(err)
			}
			w := acctest.NewWorkspaceWith(t, server.Env("restarted"), twoHundred)
			apply := w.Command("apply", "-auto-approve", "-input=false")
			var output strings.Builder
			apply.Stdout, apply.Stderr = &output, &output
			if err := apply.Start(); err != nil {
				t.Fatal(err)
			}
			awaitRows(t, server.URL("restarted"), rows)
			if err := server.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := apply.Wait(); err != nil {
				// What to do depends on the moment: the connection broke, or none could be made.
				remedy := acctest.Says("Run terraform apply again").MatchString(output.String()) ||
					acctest.Says("Check that the server runs").MatchString(output.String())
				if !remedy || strings.Contains(output.String(), "SQLSTATE") {
					t.Errorf("the errors are not clear:\n%s", output.String())
				}
			}
			t.Logf("%d rows had been committed without reaching the state", converge(w, twoHundred))
			wantRows(w, server.URL("restarted"))
		})
	}
}

// What a kill at the worst moment leaves is made here on purpose: rows that are in the database, but not in the state.
func TestAccRowsThatNeverReachedTheState(t *testing.T) {
	t.Parallel()
	database := testdb.Empty(t)
	w := acctest.NewWorkspace(t, database, twoHundred)
	if output, err := w.Apply(); err != nil {
		t.Fatal(output)
	}
	// A row that others refer to is lost only before those exist, so the team has a turn of its own.
	for _, lost := range [][]string{{"brownie_user.u[5]", "brownie_agent_config.a[7]", "brownie_config.c[9]"}, {"brownie_team.t[3]"}} {
		w.Write(twoHundred)
		w.MustRun(append([]string{"state", "rm"}, lost...)...)
		if imported := converge(w, twoHundred); imported != len(lost) {
			t.Errorf("%d errors contained an import block, want %d", imported, len(lost))
		}
	}
	wantRows(w, testdb.Server(t, database).URL(database))
}

func TestAccTwoAppliesAtOnce(t *testing.T) {
	t.Parallel()
	database := testdb.Empty(t)
	outputs, errs := make([]string, 2), make([]error, 2)
	workspaces := []acctest.Workspace{acctest.NewWorkspace(t, database, twoHundred), acctest.NewWorkspace(t, database, twoHundred)}
	var group sync.WaitGroup
	for i, w := range workspaces {
		group.Go(func() { outputs[i], errs[i] = w.Apply() })
	}
	group.Wait()
	if (errs[0] == nil) == (errs[1] == nil) {
		t.Fatalf("one of the two must win and the other lose; got %v and %v\n%s\n%s", errs[0], errs[1], outputs[0], outputs[1])
	}
	winner, loser := 0, 1
	if errs[0] != nil {
		winner, loser = 1, 0
	}
	if !strings.Contains(outputs[loser], `already has`) {
		t.Errorf("the loser did not get the duplicate message:\n%s", outputs[loser])
	}
	for _, bad := range []string{"SQLSTATE", "deadlock", "concurrently"} {
		if strings.Contains(outputs[loser], bad) {
			t.Errorf("the loser's output contains %q:\n%s", bad, outputs[loser])
		}
	}
	workspaces[winner].NoChanges()
	wantRows(workspaces[winner], testdb.Server(t, database).URL(database))
}

// Neither a password nor a private key reaches state, plan, output or the most talkative log.
func TestAccSecretsStaySecret(t *testing.T) {
	t.Parallel()
	const password = "correct-horse-battery-staple"
	server, err := devstack.StartPostgres(t.Context(), devstack.Options{HBA: []string{"hostssl all bootstrap 127.0.0.1/32 scram-sha-256"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop(context.Background()) })
	conn, err := pgx.Connect(t.Context(), server.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), `CREATE ROLE bootstrap LOGIN SUPERUSER PASSWORD '`+password+`'`); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close(t.Context())
	certificate, err := server.ClientCertificate("postgres")
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(certificate.KeyPEM))
	key := strings.Split(strings.TrimSpace(string(pem.EncodeToMemory(block))), "\n")[1]

	const config = `
variable "password" {
  type      = string
  ephemeral = true
}
variable "key" {
  type      = string
  ephemeral = true
}
variable "certificate" { type = string }
provider "brownie" {
  username = "bootstrap"
  password = var.password
  sslcert  = var.certificate
  sslkey   = var.key
}
resource "brownie_migration" "this" {}
resource "brownie_organization" "acme" {
  name                = "Acme"
  slug                = "acme"
  deletion_protection = false
  depends_on          = [brownie_migration.this]
}
`
	w := acctest.NewWorkspaceWith(t, nil, config)
	log := filepath.Join(w.Dir, "trace.log")
	w.Env = append(w.Env, "PGHOST=127.0.0.1", fmt.Sprintf("PGPORT=%d", server.Port()), "PGDATABASE=postgres",
		"PGSSLROOTCERT="+server.CAFile(),
		"TF_VAR_password="+password, "TF_VAR_certificate="+certificate.CertPEM, "TF_VAR_key="+certificate.KeyPEM,
		"TF_LOG=TRACE", "TF_LOG_PATH="+log)
	searched := map[string]string{
		"plan":       w.MustRun("plan", "-input=false", "-out=tfplan"),
		"plan JSON":  w.MustRun("show", "-json", "tfplan"),
		"apply":      w.MustRun("apply", "-input=false", "tfplan"),
		"state JSON": w.MustRun("show", "-json"),
	}
	for i, argument := range w.Env { // what fails must not tell, either
		if strings.HasPrefix(argument, "TF_VAR_password=") {
			w.Env[i] = argument + "-but-wrong"
		}
	}
	failed, err := w.Run("plan", "-input=false")
	if err == nil || !strings.Contains(failed, "password authentication failed") {
		t.Errorf("a wrong password was not refused:\n%s", failed)
	}
	searched["failed plan"] = failed
	for _, file := range []string{"trace.log", "terraform.tfstate", "tfplan"} {
		content, err := os.ReadFile(filepath.Join(w.Dir, file))
		if err != nil {
			t.Fatal(err)
		}
		searched[file] = string(content)
	}
	for where, text := range searched {
		for _, secret := range []string{password, key, "PRIVATE KEY"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s contains %q", where, secret)
			}
		}
	}
}

// Terraform does not tell a provider while planning that a replacement is forced.
func TestAccProtectedOrganizationIsNotReplaced(t *testing.T) {
	t.Parallel()
	database := testdb.Migrated(t)
	w := acctest.NewWorkspace(t, database, `
resource "brownie_organization" "acme" {
  name = "Acme"
  slug = "acme"
}`)
	if output, err := w.Apply(); err != nil {
		t.Fatal(output)
	}
	before := testdb.Value[string](t, database, `SELECT id::text FROM organizations`)
	output, err := w.Run("apply", "-auto-approve", "-input=false", "-replace=brownie_organization.acme")
	if err == nil || !acctest.Says(`organization "acme" is protected`).MatchString(output) {
		t.Errorf("a forced replacement of a protected organization was not refused:\n%s", output)
	}
	if after := testdb.Value[string](t, database, `SELECT id::text FROM organizations`); after != before {
		t.Error("the organization was replaced")
	}
	w.NoChanges()
}
