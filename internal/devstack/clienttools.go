package devstack

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// debianClientTools is where Debian keeps each major version's programs.
const debianClientTools = "/usr/lib/postgresql/*/bin"

// clientTools is a folder with PostgreSQL's client programs.
type clientTools struct {
	folder  string
	version string // "17.6"
}

func (c clientTools) String() string { return c.version + " in " + c.folder }

// ClientTools is the folder of PostgreSQL's client programs (pg_dump, pg_restore, psql), none older than the test servers, since
// pg_dump refuses a newer server. The first of these that will do is used: the folder that BROWNIE_CLIENT_TOOLS names, that of
// pg_dump on PATH, the oldest of Debian's folders, which is nearest to the server.
func ClientTools(ctx context.Context) (string, error) {
	text, err := wantedMajor(Options{})
	if err != nil {
		return "", err
	}
	wanted, err := strconv.Atoi(text)
	if err != nil {
		return "", err
	}
	if folder := os.Getenv("BROWNIE_CLIENT_TOOLS"); folder != "" {
		tools, err := clientToolsIn(ctx, folder)
		switch {
		case err != nil:
			return "", fmt.Errorf("the folder that BROWNIE_CLIENT_TOOLS names cannot be used: %w", err)
		case tools.major() < wanted:
			return "", fmt.Errorf("BROWNIE_CLIENT_TOOLS names PostgreSQL's client programs %s; %d or newer are needed", tools, wanted)
		}
		return folder, nil
	}
	var found []string
	for _, folder := range clientToolsFolders() {
		tools, err := clientToolsIn(ctx, folder)
		switch {
		case err != nil:
			found = append(found, err.Error())
		case tools.major() < wanted:
			found = append(found, tools.String())
		default:
			return folder, nil
		}
	}
	return "", fmt.Errorf("PostgreSQL's client programs (pg_dump, pg_restore, psql) of version %d or newer are needed; found: %s. "+
		"Install them (apt-get install postgresql-client-%d), or name their folder in BROWNIE_CLIENT_TOOLS",
		wanted, cmp.Or(strings.Join(found, ", "), "none"), wanted)
}

// clientToolsFolders are the folders to look into, in this order.
func clientToolsFolders() []string {
	var folders []string
	if path, err := exec.LookPath("pg_dump"); err == nil {
		folders = append(folders, filepath.Dir(path))
	}
	debians, _ := filepath.Glob(debianClientTools) // The pattern is a good one.
	slices.SortFunc(debians, func(a, b string) int {
		majorA, _ := strconv.Atoi(filepath.Base(filepath.Dir(a)))
		majorB, _ := strconv.Atoi(filepath.Base(filepath.Dir(b)))
		return cmp.Compare(majorA, majorB)
	})
	return append(folders, debians...)
}

// ClientToolsMajor is the major version of the programs that [ClientTools] found. What they dump can be restored by a server of
// the same version, which [Options] can ask for; pg_dump 17 writes settings that a server 16 does not know.
func ClientToolsMajor(ctx context.Context, folder string) (string, error) {
	tools, err := clientToolsIn(ctx, folder)
	return strconv.Itoa(tools.major()), err
}

var versionOfProgram = regexp.MustCompile(`^\S+ \(PostgreSQL\) (\d+\S*)`)

// clientToolsIn asks the programs of a folder for their version, which is that of the oldest.
func clientToolsIn(ctx context.Context, folder string) (clientTools, error) {
	oldest := clientTools{folder: folder}
	for _, program := range []string{"pg_dump", "pg_restore", "psql"} {
		path := filepath.Join(folder, program)
		output, err := exec.CommandContext(ctx, path, "--version").Output()
		if err != nil {
			return clientTools{}, fmt.Errorf("%s does not tell its version: %w", path, err)
		}
		version := versionOfProgram.FindSubmatch(output)
		if version == nil {
			return clientTools{}, fmt.Errorf("%s does not tell its version but says %q", path, output)
		}
		each := clientTools{folder: folder, version: string(version[1])}
		if oldest.version == "" || each.major() < oldest.major() {
			oldest = each
		}
	}
	return oldest, nil
}

func (c clientTools) major() int {
	digits := strings.IndexFunc(c.version+".", func(r rune) bool { return r < '0' || r > '9' })
	major, _ := strconv.Atoi(c.version[:digits]) // "19beta1" is 19, too
	return major
}
