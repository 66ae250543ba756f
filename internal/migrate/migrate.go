// Package migrate brings a database schema to a version by running numbered SQL files, each exactly once. It says before
// what it will do and what it will lock.
package migrate

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// DefaultLockTimeout is how long a statement waits for a lock before it lets go and tries again.
const DefaultLockTimeout = 5 * time.Second

// Options change how migrations run.
type Options struct {
	// LockTimeout bounds how long a statement waits for one lock, and with it how long others queue up behind it. Zero
	// means [DefaultLockTimeout].
	LockTimeout time.Duration
	// MaxLockedBytes is the size up to which a table may be locked against writes for a time that grows with the table.
	// Nil means any size.
	MaxLockedBytes *int64
	// ProviderVersion and RunID, of HCP Terraform, are recorded with each migration.
	ProviderVersion, RunID string
	// Log receives progress. Nil means silence.
	Log func(ctx context.Context, message string, fields map[string]any)
	// Warn receives the warnings that migrations raise, each once. Nil means that they are only logged.
	Warn func(file, warning string)
}

// Engine runs the migrations of one source on one database.
type Engine struct {
	db      *postgres.DB
	source  Source
	options Options
	known   func() ([]Migration, error)

	analyses sync.Map // by version and direction: each section is parsed once
}

// New returns an engine. It neither connects nor reads the files.
func New(db *postgres.DB, source Source, options Options) *Engine {
	if options.LockTimeout == 0 {
		options.LockTimeout = DefaultLockTimeout
	}
	known := sync.OnceValues(source.load)
	if source.Name == PlatformName {
		known = loadPlatform
	}
	return &Engine{db: db, source: source, options: options, known: known}
}

// loadPlatform reads the platform's migrations once in a process.
var loadPlatform = sync.OnceValues(Platform.load)

func (e *Engine) log(ctx context.Context, message string, fields map[string]any) {
	if e.options.Log != nil {
		e.options.Log(ctx, message, fields)
	}
}

// Known returns all migrations in ascending order of their versions. There is at least one. Errors are, or join,
// [*BadFileError].
func (e *Engine) Known() ([]Migration, error) { return e.known() }

// migration returns a known one.
func (e *Engine) migration(version int64) Migration {
	known, _ := e.known() // Whoever has a version has it from there.
	m, _ := find(known, version)
	return m
}

// analysed parses a section of a known migration, once.
func (e *Engine) analysed(version int64, down bool) (analysis, error) {
	type section struct {
		version int64
		down    bool
	}
	parse := sync.OnceValues(func() (analysis, error) { return e.migration(version).analyse(down) })
	once, _ := e.analyses.LoadOrStore(section{version, down}, parse)
	return once.(func() (analysis, error))() //nolint:errcheck,forcetypeassert // Nothing else is stored.
}

func find(known []Migration, version int64) (m Migration, found bool) {
	i := slices.IndexFunc(known, func(m Migration) bool { return m.Version == version })
	if i < 0 {
		return Migration{}, false
	}
	return known[i], true
}

// Latest returns the highest known version.
func (e *Engine) Latest() (int64, error) {
	known, err := e.known()
	if err != nil {
		return 0, err
	}
	return known[len(known)-1].Version, nil
}

// Up brings the database to a version, whatever version it has now, and returns the version that it then has.
// Concurrent calls queue up: one migrates, the others then find nothing to do.
func (e *Engine) Up(ctx context.Context, version int64) (int64, error) {
	plan, err := e.outline(ctx, version)
	if err != nil {
		return plan.From, err
	}
	if plan.From > version {
		return plan.From, downError(plan.From, version, "is another method's")
	}
	plan.upOnly = true
	return e.Run(ctx, plan)
}
