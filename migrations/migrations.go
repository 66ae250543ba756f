// Package migrations holds the SQL files that make and change the platform's database schema. The number in front of a
// file's name is its version; an applied file is never edited, a new one is added.
package migrations

import "embed"

// Files holds every migration.
//
//go:embed *.sql
var Files embed.FS
