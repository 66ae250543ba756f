package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/artifact"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/dump"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/object"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/pgbackrest"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// cluster asks the server what pgBackRest has to know of it.
func (r *Runner) cluster(ctx context.Context) (pgbackrest.Cluster, error) {
	c, err := pgbackrest.Look(ctx, r.DB)
	if err != nil {
		return c, err
	}
	c.Name = cmp.Or(r.ClusterName, c.Name)
	return c, c.Check()
}

// repositoryOf is the part of a schedule's repository that belongs to a cluster.
func (r *Runner) repositoryOf(ctx context.Context, store *object.Store, schedule, stanza string) (pgbackrest.Repository, error) {
	repository := pgbackrest.Repository{
		Tools: r.Tools, Destination: store.Destination, Schedule: schedule, Stanza: stanza, Jobs: r.Jobs,
	}
	var err error
	repository.Passphrase, err = pgbackrest.Passphrase(ctx, store, schedule, stanza, r.Identities)
	return repository, err
}

// ready tells whether the cluster's part of a schedule's repository is there.
func (r *Runner) ready(ctx context.Context, store *object.Store, schedule string, c pgbackrest.Cluster) (
	repository pgbackrest.Repository, is bool, err error,
) {
	repository, err = r.repositoryOf(ctx, store, schedule, c.Stanza())
	if errors.Is(err, problem.ErrNotFound) {
		return repository, false, nil
	}
	if err == nil {
		is, err = repository.Exists(ctx, store)
	}
	return repository, is, err
}

// prepare makes the cluster's part of a schedule's repository where there is none yet: a cluster that was made anew has one of its own.
// The caller holds the schedule's lock.
func (r *Runner) prepare(ctx context.Context, s backup.Schedule, store *object.Store) (pgbackrest.Repository, pgbackrest.Cluster, error) {
	c, err := r.cluster(ctx)
	if err != nil {
		return pgbackrest.Repository{}, c, err
	}
	if !c.Primary {
		return pgbackrest.Repository{}, c, problem.New("this server is a standby, and the primary archives", "Connect to the primary")
	}
	repository, ready, err := r.ready(ctx, store, s.Name, c)
	if err != nil || ready {
		return repository, c, err
	}
	if repository.Passphrase != "" { // A run ended between the two.
		return repository, c, repository.Create(ctx, c)
	}
	if len(r.Identities) == 0 {
		return repository, c, errNoIdentity
	}
	recipients, err := age.ParseRecipients(strings.NewReader(strings.Join(s.Recipients, "\n")))
	if err != nil {
		return repository, c, err
	}
	// Another runner may have made one at the same time. Read by an identity at hand, it is known to be readable.
	_, made := pgbackrest.MakePassphrase(ctx, store, s.Name, c.Stanza(), recipients)
	if repository, err = r.repositoryOf(ctx, store, s.Name, c.Stanza()); err != nil {
		return repository, c, errors.Join(made, err)
	}
	r.Log.Info("A repository begins", "schedule", s.Name, "cluster", c.Stanza(), "where", store.String())
	return repository, c, repository.Create(ctx, c)
}

// clusterEngine makes a backup of the cluster's files in each destination. pgBackRest keeps them; the manifest alone is ours.
type clusterEngine struct {
	*Runner
	schedule backup.Schedule
	backup   backup.Backup
	copies   []*artifact.Copy
}

func (e clusterEngine) Backup(ctx context.Context, _ *artifact.Writer) (m artifact.Manifest, err error) {
	for _, c := range e.copies {
		if c.Err == nil {
			c.Err = e.backUp(ctx, c.Store, &m)
		}
		err = errors.Join(err, c.Err)
	}
	if len(m.Clusters) > 0 {
		err = nil // One is a backup; what became of the others is on record.
	}
	return m, err
}

func (e clusterEngine) backUp(ctx context.Context, store *object.Store, m *artifact.Manifest) error {
	repository, c, err := e.prepare(ctx, e.schedule, store)
	if err != nil {
		return err
	}
	return repository.Backup(ctx, c, e.backup.Type, e.backup.ID, m)
}

// longestChain is how old the full backup may be that others build upon.
const longestChain = 7 * 24 * time.Hour

// kind is the type of the next backup: a full one also where there is none yet, or none that is new enough, to build upon.
func (r *Runner) kind(ctx context.Context, s backup.Schedule) (string, error) {
	if s.Engine != backup.PgBackRest || s.Type == "full" {
		return s.Type, nil
	}
	copies, closeAll := openAll(ctx, s.Destinations)
	defer closeAll()
	for _, c := range copies {
		if c.Err != nil {
			continue // What is wrong with it, the backup tells.
		}
		repository, _, err := r.prepare(ctx, s, c.Store)
		if err != nil {
			continue
		}
		sets, err := repository.Sets(ctx)
		if err != nil {
			continue
		}
		if !slices.ContainsFunc(sets, func(set pgbackrest.Set) bool {
			return set.Type == "full" && time.Since(set.StoppedAt()) < longestChain
		}) {
			return "full", nil
		}
	}
	return s.Type, nil
}

// rereadCluster reads the whole repository again. Only what this backup needs for its own moment makes it a damaged one.
func (r *Runner) rereadCluster(ctx context.Context, reader artifact.Reader) error {
	c, err := reader.Manifest.Cluster(reader.Store)
	if err != nil {
		return err
	}
	repository, err := r.repositoryOf(ctx, reader.Store, reader.Manifest.Schedule, c.Stanza)
	if err != nil {
		return err
	}
	labels, err := r.checkParents(ctx, repository, reader, *c)
	if err != nil {
		return err
	}
	return errors.Join(repository.CheckLog(ctx, reader.Store, reader.Manifest, pgbackrest.Target{Latest: true}),
		repository.Verify(ctx, *c, labels))
}

// checkParents tells a backup that pgBackRest does not have, or one that it builds upon, and returns the labels of all.
func (r *Runner) checkParents(ctx context.Context, repository pgbackrest.Repository, reader artifact.Reader, c artifact.Cluster) (
	labels []string, err error,
) {
	sets, err := repository.Sets(ctx)
	if err != nil {
		return nil, err
	}
	has := map[string]string{}
	for _, set := range sets {
		has[set.Annotation.ID] = set.Label
	}
	for _, id := range slices.Concat(c.Parents, []string{reader.Manifest.ID}) {
		if labels = append(labels, has[id]); has[id] == "" {
			return nil, &artifact.DamageError{Problem: problem.New(fmt.Sprintf("pgBackRest's repository in %s has no backup %s, without "+
				"which backup %s does not restore", reader.Store, id, reader.Manifest.ID), "Somebody has removed it; use another backup")}
		}
	}
	return labels, nil
}

// recovered restores a cluster into a server that is removed in the end, unless its files are kept.
func (r *Runner) recovered(ctx context.Context, reader artifact.Reader, to pgbackrest.Target, folder string, keep bool,
	use func(*dump.Scratch) error,
) (err error) {
	c, err := reader.Manifest.Cluster(reader.Store)
	if err != nil {
		return err
	}
	repository, err := r.repositoryOf(ctx, reader.Store, reader.Manifest.Schedule, c.Stanza)
	if err != nil {
		return err
	}
	if _, err := r.checkParents(ctx, repository, reader, *c); err != nil {
		return err
	}
	if err := repository.CheckLog(ctx, reader.Store, reader.Manifest, to); err != nil {
		return err
	}
	program := r.Program
	if program == "" {
		if program, err = os.Executable(); err != nil {
			return err
		}
	}
	where := pgbackrest.Recovery{Programs: r.ServerPrograms, Folder: folder, Keep: keep, GetCommand: []string{program, "pgbackrest-get"}}
	scratch, err := repository.Recover(ctx, reader.Store, *c, reader.Manifest.Database.Name, to, where)
	if pgbackrest.EndsBefore(err) && to.Time != nil && to.ArchivedUntil != nil && !to.Time.After(*to.ArchivedUntil) {
		// PostgreSQL asks for something later than the target. All that was committed before it is there.
		scratch, err = repository.Recover(ctx, reader.Store, *c, reader.Manifest.Database.Name, pgbackrest.Target{Latest: true}, where)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, scratch.Stop()) }()
	return use(scratch)
}

// inRecovered restores a cluster into a server that is removed in the end, and returns how long the restore took.
func (r *Runner) inRecovered(ctx context.Context, reader artifact.Reader, to pgbackrest.Target, use func(dump.Restorer, string) error) (
	took time.Duration, err error,
) {
	start := time.Now()
	//nolint:contextcheck // Connections of the restorer outlive each call.
	err = r.recovered(ctx, reader, to, r.ScratchFolder, false, func(scratch *dump.Scratch) error {
		took = time.Since(start)
		restorer := restorerOn(scratch.Config, scratch.Tools, reader, r.Jobs)
		defer restorer.Server.Close()
		return use(restorer, reader.Manifest.Database.Name)
	})
	return took, err
}

// inOneDatabase gives a reader of the rows of the one database: of a cluster, it recovers a scratch server and dumps from that, for an
// identity that nobody has.
func (r *Runner) inOneDatabase(ctx context.Context, reader artifact.Reader, to pgbackrest.Target, use func(artifact.Reader) error) error {
	if len(reader.Manifest.Clusters) == 0 {
		if !to.IsOwn() {
			return errNoLog(reader.Manifest)
		}
		return use(reader)
	}
	_, err := r.inRecovered(ctx, reader, to, func(restorer dump.Restorer, database string) (err error) {
		folder, remove, err := dump.TempFolder(r.ScratchFolder)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, remove()) }()
		identity, err := age.GenerateX25519Identity()
		if err != nil {
			return err
		}
		store, err := object.Open(ctx, backup.Destination{Type: "file", Path: folder})
		if err != nil {
			return err
		}
		defer func() { _ = store.Close() }()
		m := reader.Manifest
		w := artifact.NewWriter(m.Schedule, m.ID, []age.Recipient{identity.Recipient()}, []*artifact.Copy{{Store: store}})
		db := restorer.Open(database)
		defer db.Close()
		dumped, err := dump.Dumper{DB: db, Tools: restorer.Tools.On(database), Jobs: r.Jobs}.Backup(ctx, w)
		if err != nil {
			return err
		}
		dumped.ID, dumped.Schedule, dumped.Runner = m.ID, m.Schedule, r.Name
		if dumped.SnapshotAt, err = momentOf(ctx, db, m, to); err != nil {
			return err
		}
		if dumped, _, err = w.Commit(ctx, dumped); err != nil {
			return err
		}
		return use(artifact.Reader{Store: store, Manifest: dumped, Identities: []age.Identity{identity}})
	})
	return err
}

// momentOf is that of a backup, or that to which a server has replayed the log.
func momentOf(ctx context.Context, db *postgres.DB, m artifact.Manifest, to pgbackrest.Target) (time.Time, error) {
	switch {
	case to.Time != nil:
		return to.Time.UTC(), nil
	case to.IsOwn():
		return m.SnapshotAt, nil
	}
	row, err := postgres.QueryOne[struct{ At *time.Time }](ctx, db, `SELECT pg_catalog.pg_last_xact_replay_timestamp() AS at`)
	if err != nil || row.At == nil { // Nothing was written after the backup.
		return m.SnapshotAt, err
	}
	return row.At.UTC(), nil
}

const rolesOfClusterSQL = `SELECT rolname::text AS name FROM pg_catalog.pg_roles WHERE oid >= 16384`

// deleteAgain deletes in a cluster what was deleted since. All its roles are what the restore made.
func (r *Runner) deleteAgain(ctx context.Context, reader artifact.Reader, scratch *dump.Scratch, x *resurrection) error {
	restorer := restorerOn(scratch.Config, scratch.Tools, reader, r.Jobs) //nolint:contextcheck // Its connections outlive each call.
	defer restorer.Server.Close()
	roles, err := postgres.Query[struct{ Name string }](ctx, restorer.Server, rolesOfClusterSQL)
	if err != nil {
		return err
	}
	made := make([]string, len(roles))
	for i, role := range roles {
		made[i] = role.Name
	}
	if err := x.apply(ctx, restorer, reader.Manifest.Database.Name, made); err != nil {
		return err
	}
	x.drop(ctx, restorer, reader.Manifest.Database.Name)
	return nil
}

// knownUntil is the target, with what the record says of the archive, if there is one.
func (r *Runner) knownUntil(ctx context.Context, from Source) pgbackrest.Target {
	to := from.To
	if from.Destination != nil || to.Time == nil {
		return to
	}
	if b, err := r.Find(ctx, from.ID); err == nil {
		if schedule, err := r.Schedule(ctx, b.ScheduleName); err == nil {
			to.ArchivedUntil = schedule.RestorableUntil
		}
	}
	return to
}

func errNoLog(m artifact.Manifest) error {
	return problem.New(fmt.Sprintf("backup %s holds the rows of one moment, %s, and no log", m.ID, m.SnapshotAt.Format(time.RFC3339)),
		"Leave out --to, --to-lsn and --to-name, or use a backup of engine pgbackrest")
}

// removeFiles removes what pgBackRest has of backups that were pruned. A cluster that has no repository yet has nothing to be removed.
func (r *Runner) removeFiles(ctx context.Context, schedule string, store *object.Store) error {
	c, err := r.cluster(ctx)
	if err != nil {
		return err
	}
	repository, err := r.repositoryOf(ctx, store, schedule, c.Stanza())
	if errors.Is(err, problem.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return r.removeOrphans(ctx, repository, store)
}

// orphanAge is how old a backup has to be that is not on record until it counts as nobody's.
const orphanAge = 24 * time.Hour

// removeOrphans removes what pgBackRest has of runs that wrote no manifest, and of backups that were pruned. What is not on record may be
// that of another database, which is about to write its manifest.
func (r *Runner) removeOrphans(ctx context.Context, repository pgbackrest.Repository, store *object.Store) error {
	found, err := artifact.List(ctx, store, repository.Schedule)
	if err != nil {
		return err
	}
	onRecord, err := r.store().Backups(ctx, backup.Filter{Schedule: repository.Schedule})
	if err != nil {
		return err
	}
	ended := map[string]bool{}
	needed := map[string]bool{}
	for _, b := range onRecord {
		ended[b.ID] = b.Status == backup.Failed || b.Status == backup.Lost || b.PrunedAt != nil || b.Status == backup.Succeeded
	}
	for _, each := range found {
		if !each.Whole {
			continue
		}
		m, _, err := artifact.ReadManifest(ctx, store, repository.Schedule, each.ID, "")
		if err != nil {
			return err
		}
		needed[each.ID] = true
		for _, parent := range m.Parents {
			needed[parent] = true
		}
	}
	return repository.Remove(ctx, func(s pgbackrest.Set) bool {
		return !needed[s.Annotation.ID] && (ended[s.Annotation.ID] || time.Since(s.StoppedAt()) > orphanAge)
	})
}
