package provider_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/acctest"
)

// tenantsYAML lists so many organizations as the guide's file does.
func tenantsYAML(database string, n int) string {
	var text strings.Builder
	for i := range n {
		// Roles belong to the cluster, which tests share.
		fmt.Fprintf(&text, "t%02d-%s:\n  name: Tenant %[1]d\n  teams: { core: Core, edge: Edge }\n  users:\n", i, database)
		for user := range 3 {
			fmt.Fprintf(&text, "    u%d: { email: u%[1]d@t%02d.example, team: core }\n", user, i)
		}
	}
	return text.String()
}

// useTenantsExample gives a workspace the example's configuration, without its file of tenants.
func useTenantsExample(t *testing.T, w acctest.Workspace) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(testdb.Repository(t), "examples", "tenants-from-yaml", "*.tf"))
	if err != nil || len(files) == 0 {
		t.Fatalf("the example has no files (%v)", err)
	}
	for _, file := range files {
		if err := os.WriteFile(filepath.Join(w.Dir, filepath.Base(file)), testdb.Must(os.ReadFile(file))(t), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// guideBlocks are the blocks in a language of a section of the guide, without those of its subsections.
func guideBlocks(t *testing.T, section, language string) string {
	t.Helper()
	text := testdb.Must(os.ReadFile(filepath.Join(testdb.Repository(t), "templates", "guides", "many-tenants.md.tmpl")))(t)
	_, rest, found := strings.Cut(string(text), "# "+section+"\n")
	if !found {
		t.Fatalf("the guide has no section %q", section)
	}
	rest, _, _ = strings.Cut(rest, "\n##")
	var blocks strings.Builder
	for _, block := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(rest, -1) {
		blocks.WriteString(block[1])
	}
	return blocks.String()
}

// The guide's way of many tenants: from one file, through growth, renaming, a lost state and offboarding.
func TestAccManyTenantsFromOneFile(t *testing.T) {
	t.Parallel()
	const tenants = 15 // of 7 objects each; the guide's 40 take no other way
	database := testdb.Migrated(t, testdb.Certificates)
	w := acctest.NewWorkspace(t, database, "")
	write := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(w.Dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	useTenantsExample(t, w)
	expect := func(summary string, arguments ...string) {
		t.Helper()
		output, err := w.Run(append([]string{"plan", "-input=false"}, arguments...)...)
		if err != nil || !strings.Contains(output, summary) {
			t.Fatalf("terraform plan %s: %v, want %q\n%s", strings.Join(arguments, " "), err, summary, output)
		}
	}
	write("tenants.yaml", tenantsYAML(database, tenants))
	w.MustRun("apply", "-auto-approve", "-input=false")
	w.NoChanges()

	// One more organization.
	write("tenants.yaml", tenantsYAML(database, tenants+1))
	expect("Plan: 7 to add, 0 to change, 0 to destroy.")
	w.MustRun("apply", "-auto-approve", "-input=false")

	// Another key and slug, with a moved block for each object, which the guide's command writes.
	slug := "t00-" + database
	command := exec.Command("sh", "-ec", strings.NewReplacer("terraform state", w.Command().Path+" state", "acme-corp", "new-"+slug, "acme", slug).
		Replace(guideBlocks(t, "Names and keys", "sh")))
	command.Dir, command.Env = w.Dir, w.Command().Env
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	write("tenants.yaml", strings.Replace(tenantsYAML(database, tenants+1), slug, "new-"+slug, 1))
	expect("Plan: 0 to add, 5 to change, 0 to destroy.") // the organization, its role, and names of users
	w.MustRun("apply", "-auto-approve", "-input=false")
	w.NoChanges()

	// Two organizations swap their slugs, by way of a third one, and keep their roles.
	one, other := "t01-"+database, "t02-"+database
	slugs := func(ofOne, ofOther string, n int) string {
		return strings.NewReplacer(slug, "new-"+slug, one+":\n", one+":\n  slug: "+ofOne+"\n", other+":\n", other+":\n  slug: "+ofOther+"\n").
			Replace(tenantsYAML(database, n))
	}
	if err := os.Remove(filepath.Join(w.Dir, "moved.tf")); err != nil {
		t.Fatal(err)
	}
	write("tenants.yaml", slugs(other, one, tenants+1))
	if output, err := w.Run("plan", "-input=false"); err == nil || !acctest.Says("Swap them in two applies").MatchString(output) {
		t.Errorf("%v\n%s", err, output)
	}
	for _, step := range []struct{ first, summary string }{{"third", "0 to add, 1 to change"}, {other, "0 to add, 2 to change"}} {
		second := one
		if step.first == "third" {
			second = other
		}
		write("tenants.yaml", slugs(step.first, second, tenants+1))
		expect(step.summary)
		w.MustRun("apply", "-auto-approve", "-input=false")
	}
	w.NoChanges()

	// The state is lost; what the database has is imported.
	for _, file := range []string{"terraform.tfstate", "terraform.tfstate.backup"} {
		if err := os.Remove(filepath.Join(w.Dir, file)); err != nil {
			t.Fatal(err)
		}
	}
	write("imports.tf", guideBlocks(t, "Taking over what exists", "terraform"))
	expect(fmt.Sprintf("Plan: %d to import, 1 to add, 0 to change", tenants+1), "-target=brownie_organization.tenant")
	write("imports.tf", guideBlocks(t, "A lost state", "terraform"))

	// The file has an organization that the database has not, then the database has one that the file has not.
	write("tenants.yaml", slugs(other, one, tenants+2))
	if output, err := w.Run("plan", "-input=false"); err == nil ||
		!acctest.Says(fmt.Sprintf("t%02d-%s", tenants+1, database)).MatchString(output) {
		t.Errorf("%v\n%s", err, output)
	}
	write("tenants.yaml", slugs(other, one, tenants))
	write("surplus.tf", guideBlocks(t, "What the file does not have", "terraform"))
	surplus := fmt.Sprintf(`"t%02d-%s",\s+\]\s+\+ users\s+= \[\s+\+ "u0@t%02[1]d.example"`, tenants, database)
	if output := w.MustRun("plan", "-input=false"); !regexp.MustCompile(`organizations = \[\s+\+ ` + surplus).MatchString(output) {
		t.Errorf("the surplus is not told, want %s\n%s", surplus, output)
	}
	if err := os.Remove(filepath.Join(w.Dir, "surplus.tf")); err != nil {
		t.Fatal(err)
	}
	write("tenants.yaml", slugs(other, one, tenants+1))
	expect(fmt.Sprintf("Plan: %d to import, 0 to add, 0 to change, 0 to destroy.", 7*(tenants+1)+1))
	w.MustRun("apply", "-auto-approve", "-input=false")
	if err := os.Remove(filepath.Join(w.Dir, "imports.tf")); err != nil {
		t.Fatal(err)
	}
	w.NoChanges()

	// The last organization leaves. It has an incident, which Terraform does not manage.
	leaving := fmt.Sprintf("t%02d-%s", tenants, database)
	testdb.Exec(t, database, `INSERT INTO incidents (organization_id, org_id, team_id, title, status, priority)
		SELECT organization_id, organization_id, id, 'x', 'OPEN', 'LOW' FROM teams
		WHERE slug = 'core' AND organization_id = (SELECT id FROM organizations WHERE slug = $1)`, leaving)
	write("tenants.yaml", slugs(other, one, tenants))
	if output, err := w.Run("plan", "-input=false"); err == nil || !acctest.Says("is protected").MatchString(output) ||
		!acctest.Says("a YAML file makes it, by what they have for that (such as stage: leaving or leaving: true)").MatchString(output) {
		t.Errorf("%v\n%s", err, output)
	}
	// It is shut out before, which means the same as the module's "suspended".
	write("tenants.yaml", strings.Replace(slugs(other, one, tenants+1), leaving+":\n", leaving+":\n  locked: true\n", 1))
	expect("Plan: 0 to add, 5 to change, 0 to destroy.") // the organization, its role and users
	w.MustRun("apply", "-auto-approve", "-input=false")
	if n := testdb.Value[int](t, database, `SELECT count(*) FROM users u JOIN organizations o ON o.id = u.organization_id
		WHERE o.slug = $1 AND NOT o.is_active AND NOT u.is_active`, leaving); n != 3 {
		t.Errorf("%d users of a locked organization are shut out, want 3", n)
	}
	write("tenants.yaml", strings.Replace(slugs(other, one, tenants+1), leaving+":\n", leaving+":\n  leaving: true\n", 1))
	w.MustRun("apply", "-auto-approve", "-input=false")
	write("tenants.yaml", slugs(other, one, tenants))
	expect("Plan: 0 to add, 0 to change, 7 to destroy.")
	w.MustRun("apply", "-auto-approve", "-input=false")
	w.NoChanges()

	// All of them leave, since the roles belong to the cluster.
	write("tenants.yaml", strings.ReplaceAll(slugs(other, one, tenants), "  name:", "  leaving: true\n  name:"))
	w.MustRun("apply", "-auto-approve", "-input=false")
	w.MustRun("destroy", "-auto-approve", "-input=false")
}

// onlyError is the text of a plan's one error.
func onlyError(t *testing.T, w acctest.Workspace) string {
	t.Helper()
	switch diagnostics := w.PlanErrors(); len(diagnostics) {
	case 0:
		t.Fatal("the plan has no error")
	case 1:
		return diagnostics[0].Text
	default:
		t.Fatalf("one error is expected: %q", diagnostics)
	}
	return ""
}

// What is misspelt or misshapen in the file stops the plan, which names the tenant: nothing counts as a tenant without people.
func TestAccFaultsInTheTenantsFile(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorkspaceWith(t, nil, "")
	useTenantsExample(t, w)
	const file = `
misspelt: { name: A, user: {}, state: suspended, leaveing: true, lockd: true }
lists:
  name: B
  teams: [Core]
  users:
    - ada: { email: ada@b.example, team: core }
shallow:
  name: C
  users:
  ada: { email: ada@c.example, team: core }
nothing:
words: D
incomplete:
  slug: e
  locked:
  leaving: "perhaps"
  teams: { core: Core, edge: , far: { name: Far } }
  users:
    ada:
    alan: { email: alan@e.example, team: cor }
    grace: grace@e.example
    edith: { mail: edith@e.example, team: core, is_active: false }
no:
  name: F
  teams: { y: Yes }
  users: { on: { email: on@f.example, team: true } }
fine: { name: G, teams: , users: }
`
	if err := os.WriteFile(filepath.Join(w.Dir, "tenants.yaml"), []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	const allowed = "name, slug, teams, users, max_teams, max_users_per_team, locked, leaving."
	const read = `false: YAML reads a key such as no, y or on as "%s"; put it in quotes, or choose another.`
	want := []string{
		`misspelt: unknown key "user"; allowed are ` + allowed,
		`misspelt: unknown key "state"; allowed are ` + allowed,
		`misspelt: unknown key "leaveing"; allowed are ` + allowed,
		`misspelt: unknown key "lockd"; allowed are ` + allowed,
		`lists: teams must have its entries as "key: value", without hyphens.`,
		`lists: users must have its entries as "key: value", without hyphens.`,
		`shallow: unknown key "ada"; allowed are ` + allowed,
		`nothing: name is missing.`,
		`words: name is missing.`,
		`incomplete: name is missing.`,
		`incomplete: locked must be true or false.`,
		`incomplete: leaving must be true or false.`,
		`incomplete, team edge: must be its name alone.`,
		`incomplete, team far: must be its name alone.`,
		`incomplete, user ada: email is missing.`,
		`incomplete, user ada: team is missing.`,
		`incomplete, user alan: there is no team "cor".`,
		`incomplete, user edith: email is missing.`,
		`incomplete, user edith: unknown key "mail"; allowed are email, team, role.`,
		`incomplete, user edith: unknown key "is_active"; allowed are email, team, role.`,
		`incomplete, user grace: email is missing.`,
		`incomplete, user grace: team is missing.`,
		fmt.Sprintf(read, "false"), fmt.Sprintf(read, "true"), fmt.Sprintf(read, "true"),
	}
	first, rest, _ := strings.Cut(onlyError(t, w), "\n")
	got := strings.Split(rest, "\n")
	slices.Sort(want)
	slices.Sort(got)
	if first != "Resource precondition failed: tenants.yaml has faults:" || !slices.Equal(got, want) {
		t.Errorf("%s\n%s\nwant\n%s", first, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
