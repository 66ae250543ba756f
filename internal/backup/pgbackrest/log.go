package pgbackrest

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/artifact"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/object"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// segmentName is how PostgreSQL names a segment, and pgBackRest its object: timeline, log and segment, and a checksum.
var segmentName = regexp.MustCompile(`^([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})-([0-9a-f]{40})`)

// IsSegment tells a name that PostgreSQL archives: a segment, also one that is not full, a history of timelines, or a mark of a backup.
func IsSegment(name string) bool { return archivable.MatchString(name) }

var archivable = regexp.MustCompile(`^[0-9A-F]{8}(\.history|[0-9A-F]{16}(\.partial|\.[0-9A-F]{8}\.backup)?)$`)

// segment is one of the log.
type segment struct {
	timeline uint64
	number   uint64 // counts from the beginning of the log
	at       time.Time
	sum      string // SHA-1, by the object's name
}

func parse(timeline, log, low string, bytes int64) (s segment) {
	// The pattern has digits alone.
	s.timeline, _ = strconv.ParseUint(timeline, 16, 32)
	high, _ := strconv.ParseUint(log, 16, 32)
	last, _ := strconv.ParseUint(low, 16, 32)
	s.number = high*perLog(bytes) + last
	return s
}

// perLog is how many segments have the same middle of their names.
func perLog(bytes int64) uint64 { return (1 << 32) / uint64(max(bytes, 1<<20)) }

func (s segment) name(bytes int64) string {
	return fmt.Sprintf("%08X%08X%08X", s.timeline, s.number/perLog(bytes), s.number%perLog(bytes))
}

// segments are those in the archive, in their order.
func (r Repository) segments(ctx context.Context, store *object.Store, bytes int64) ([]segment, error) {
	stored, err := store.List(ctx, Prefix(r.Schedule)+"archive/"+r.Stanza+"/")
	if err != nil {
		return nil, err
	}
	var all []segment
	for _, each := range stored {
		if found := segmentName.FindStringSubmatch(path.Base(each.Key)); found != nil {
			one := parse(found[1], found[2], found[3], bytes)
			one.at, one.sum = each.ModifiedAt, found[4]
			all = append(all, one)
		}
	}
	slices.SortFunc(all, func(a, b segment) int { return cmp.Compare(a.number, b.number) })
	return all, nil
}

// CheckLog looks for the segments without which a backup restores to nothing, and, for a target behind the backup, for a gap on the way
// there. It reads names alone.
func (r Repository) CheckLog(ctx context.Context, store *object.Store, m artifact.Manifest, to Target) error {
	c, err := m.Cluster(store)
	if err != nil {
		return err
	}
	all, err := r.segments(ctx, store, c.WALSegmentBytes)
	if err != nil {
		return err
	}
	first, last := whole(c.FirstWAL, c.WALSegmentBytes), whole(c.LastWAL, c.WALSegmentBytes)
	has := map[segment]bool{}
	for _, each := range all {
		has[segment{timeline: each.timeline, number: each.number}] = true
	}
	for needed := first; needed.number <= last.number; needed.number++ {
		if !has[needed] {
			return r.damaged("segment "+needed.name(c.WALSegmentBytes),
				fmt.Sprintf("is missing, so that backup %s restores to nothing", c.Label))
		}
	}
	if err := r.within(all, m, *c, to); err != nil {
		return err
	}
	before := last
	for _, next := range all {
		switch {
		case to.IsOwn():
			return nil
		case next.number <= before.number:
			if next.number == before.number {
				before = next
			}
			continue
		// A segment is archived after what is in it was written.
		case to.Time != nil && before.at.After(*to.Time):
			return nil
		case next.number > before.number+1:
			missing := segment{timeline: next.timeline, number: before.number + 1}
			return problem.New(fmt.Sprintf("segment %s of cluster %s is missing in %s: no moment after about %s can be reached until the "+
				"next backup", missing.name(c.WALSegmentBytes), r.Stanza, r.Destination, before.at.UTC().Format(time.RFC3339)),
				"Restore to an earlier moment, or from a later backup; make a new one now")
		}
		before = next
	}
	return nil
}

// within refuses a moment to which neither the backup nor the archive leads.
func (r Repository) within(all []segment, m artifact.Manifest, c artifact.Cluster, to Target) error {
	if to.Time == nil || len(all) == 0 {
		return nil
	}
	from, until := c.StoppedAt.Add(time.Second), all[0].at // pgBackRest tells whole seconds.
	if to.ArchivedUntil != nil && to.ArchivedUntil.After(until) {
		until = *to.ArchivedUntil
	}
	for _, each := range all {
		if each.at.After(until) {
			until = each.at
		}
	}
	if !to.Time.Before(from) && !to.Time.After(until) {
		return nil
	}
	return problem.New(fmt.Sprintf("backup %s and the archive of cluster %s lead from %s to %s at the latest, and not to %s", m.ID,
		r.Stanza, from.UTC().Format(time.RFC3339), until.UTC().Format(time.RFC3339), to),
		"Name a moment between the two, or an earlier backup")
}

func whole(name string, bytes int64) segment { return parse(name[:8], name[8:16], name[16:24], bytes) }

// Follows tells whether a segment is the next one after another, on whichever timeline.
func (c Cluster) Follows(before, after string) bool {
	return whole(before, c.WALSegmentBytes).number+1 == whole(after, c.WALSegmentBytes).number
}

// LastSegment is the last one that the archive has, or empty.
func (r Repository) LastSegment(ctx context.Context, store *object.Store, c Cluster) (string, error) {
	all, err := r.segments(ctx, store, c.WALSegmentBytes)
	if err != nil || len(all) == 0 {
		return "", err
	}
	return all[len(all)-1].name(c.WALSegmentBytes), nil
}

// Archives refuses what the server does not want archived: a segment that it still writes to would be archived half.
func (c Cluster) Archives(segment string) error {
	for _, state := range []string{".ready", ".done"} {
		if _, err := os.Stat(filepath.Join(c.DataDirectory, "pg_wal", "archive_status", segment+state)); err == nil {
			return nil
		}
	}
	return problem.New(fmt.Sprintf("the server has not asked to archive segment %s", segment),
		"Leave it to archive_command. The runner has to see the server's data directory, "+c.DataDirectory)
}

// needs tells whether a backup needs a segment for its own moment.
func needs(c artifact.Cluster, name string) bool {
	found := segmentName.FindStringSubmatch(name)
	if found == nil {
		return false
	}
	one := parse(found[1], found[2], found[3], c.WALSegmentBytes)
	return one.number >= whole(c.FirstWAL, c.WALSegmentBytes).number && one.number <= whole(c.LastWAL, c.WALSegmentBytes).number
}
