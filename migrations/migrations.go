// Package migrations holds the SQL files that make and change the platform's database schema. The number in front of a
// file's name is its version; an applied file is never edited, a new one is added.
package migrations

import "embed"

// Files holds every migration.
//
//go:embed *.sql
var Files embed.FS

// Catalog lists every object that the migrations make: the first and the last version that has it, its kind, the table
// or type that it belongs to, and its definition, separated by tabs. It is how a schema that was made by others is
// recognised. The test TestCatalog of internal/migrate writes it, when it is run with -update.
//
//go:embed catalog.txt
var Catalog string

// Statements tells where the statements of each file are and what they lock. `make generate` writes it.
//
//go:embed statements.json
var Statements []byte
