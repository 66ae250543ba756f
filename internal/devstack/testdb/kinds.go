package testdb

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
)

// Kinds of databases as they are found in the wild, which a test can ask for. BROWNIE_TEST_DATABASE makes one of them that of all
// tests that ask for none.
const (
	// Turkish is one in which upper('i') is 'İ' and lower('I') is 'ı'.
	Turkish Need = iota + Certificates + 1
	// Latin1 is one that cannot hold most characters.
	Latin1
	// Odd is one whose every setting is another than usual.
	Odd
	// OddInPublic is an odd one that applications can use without naming schema public.
	OddInPublic
	// Unicode is for a test whose texts the usual kind may be unable to hold.
	Unicode
)

// kind is what makes a database one of a kind.
type kind struct {
	create   []string // options of CREATE DATABASE
	settings []string
}

var kinds = map[Need]kind{
	Turkish:     {create: []string{"TEMPLATE template0", "ENCODING 'UTF8'", "LOCALE_PROVIDER icu", "ICU_LOCALE 'tr-TR'", "LOCALE 'C'"}},
	Unicode:     {create: []string{"TEMPLATE template0", "ENCODING 'UTF8'", "LOCALE 'C'"}},
	Latin1:      {create: []string{"TEMPLATE template0", "ENCODING 'LATIN1'", "LOCALE 'C'"}},
	Odd:         {settings: append(oddSettings, "search_path = nowhere")},
	OddInPublic: {settings: append(oddSettings, "search_path = nowhere, public")},
}

var oddSettings = []string{
	"standard_conforming_strings = off", "quote_all_identifiers = on", "DateStyle = 'German, DMY'", "TimeZone = 'Asia/Kathmandu'",
	"IntervalStyle = sql_standard", "array_nulls = off", "transform_null_equals = on",
	"default_transaction_isolation = serializable", "statement_timeout = '5s'",
}

const kindVariable = "BROWNIE_TEST_DATABASE"

// Kinds are the names of the kinds, for tests that run in each.
var Kinds = map[string]Need{"turkish": Turkish, "latin1": Latin1, "odd": Odd, "odd-in-public": OddInPublic}

// usualKind is the kind of databases for tests that ask for none.
func usualKind() (kind, error) {
	name := os.Getenv(kindVariable)
	if need, ok := Kinds[name]; ok {
		return kinds[need], nil
	}
	if name != "" {
		return kind{}, fmt.Errorf("%s is %q; it must be one of %s", kindVariable, name,
			strings.Join(slices.Sorted(maps.Keys(Kinds)), ", "))
	}
	return kind{}, nil
}

// make makes a database of the kind, as a copy of a template that is of the same kind unless that is empty.
func (k kind) make(ctx context.Context, server *devstack.Postgres, database, template string) error {
	options := k.create
	if template != "" {
		options = nil
	}
	if err := server.CreateDatabase(ctx, database, template, options...); err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, server.URL("postgres"))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	for _, setting := range k.settings {
		if _, err := conn.Exec(ctx, `ALTER DATABASE `+database+` SET `+setting); err != nil {
			return err
		}
	}
	return nil
}

// WritesPlainly makes new sessions read and write SQL as usual, for a test that looks at what the server writes.
func WritesPlainly(t testing.TB, database string) {
	t.Helper()
	Exec(t, database, `ALTER DATABASE `+database+` SET quote_all_identifiers = off`)
	Exec(t, database, `ALTER DATABASE `+database+` SET standard_conforming_strings = on`)
}
