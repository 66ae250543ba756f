package tf

import (
	"context"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/resource"
)

// Walk is what this process has heard of the workspace's objects. Terraform starts a process for each walk of its graph, so that all
// of it is about one plan or one apply. The zero Walk has heard of nothing.
//
// A plan's checks ask it, because what the database says is not all: a row that is in the way may be one that the same plan destroys.
type Walk struct {
	mu       sync.Mutex
	outcomes map[Object]Outcome
	members  map[string][]Object // of each organization
	claims   map[Claim]string
	arrivals map[string]int64
	news     time.Time
	reading  bool // objects are refreshed
	unread   bool // objects are planned that were not: this is an apply, or a plan with -refresh=false
	applying bool
	waiting  int
}

// Object is one that is in the state.
type Object struct{ Kind, ID string }

// Outcome is what a plan makes of an object.
type Outcome struct {
	Planned      bool // false: it was only read until now
	Goes         bool
	Organization string
	Leaves       bool    // the organization, for another one or none
	From, Team   string  // the team that it has, and the one that it will have
	Keeps        []Claim // the unique values that it will have
}

// Claim is a unique value, hashed.
type Claim uint64

var seed = maphash.MakeSeed()

// ClaimOf is about a value that must be unique in a scope.
func ClaimOf(kind, attribute, scope, value string) Claim {
	return Claim(maphash.Comparable(seed, [4]string{kind, attribute, scope, value}))
}

// Claims tells that an object is to get a unique value, and returns the ID of another that is to get it, too. A new object has an ID
// that is nobody else's.
func (w *Walk) Claims(claim Claim, id string) (other string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.claims == nil {
		w.claims = map[Claim]string{}
	}
	if other = w.claims[claim]; other == "" || other == id {
		w.claims[claim] = id
		return ""
	}
	return other
}

// Claimed tells whether an object is to get a unique value.
func (w *Walk) Claimed(claim Claim) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.claims[claim] != ""
}

// Arrives counts those that are to come to a place, with the one that comes now; -1 takes one back.
func (w *Walk) Arrives(place string, n int64) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.arrivals == nil {
		w.arrivals = map[string]int64{}
	}
	w.arrivals[place] += n
	return w.arrivals[place]
}

// Read tells that an object was read to be refreshed.
func (w *Walk) Read(kind, id string, outcome Outcome) { w.tell(Object{kind, id}, outcome) }

// Refreshes tells whether objects are read in this walk, as they are in every plan but one that destroys everything or that has
// -refresh=false.
func (w *Walk) Refreshes() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.reading
}

// Plans tells what is planned for an object.
func (w *Walk) Plans(kind, id string, outcome Outcome) {
	outcome.Planned = true
	w.tell(Object{kind, id}, outcome)
}

// Applies tells that this walk is no plan.
func (w *Walk) Applies() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.applying = true
}

// IsApply tells that this walk is known to be no plan.
func (w *Walk) IsApply() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.applying
}

func (w *Walk) tell(object Object, outcome Outcome) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.news = time.Now()
	w.reading = w.reading || !outcome.Planned
	if _, heard := w.outcomes[object]; outcome.Planned && !outcome.Goes && !heard {
		w.unread = true
	}
	if w.outcomes[object].Planned && !outcome.Planned {
		return
	}
	if w.outcomes == nil {
		w.outcomes, w.members = map[Object]Outcome{}, map[string][]Object{}
	}
	if known, ok := w.outcomes[object]; !ok || known.Organization != outcome.Organization {
		w.members[outcome.Organization] = append(w.members[outcome.Organization], object)
	}
	w.outcomes[object] = outcome
}

// Outcome tells what was heard of an object, if anything was.
func (w *Walk) Outcome(kind, id string) (outcome Outcome, heard bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	outcome, heard = w.outcomes[Object{kind, id}]
	return outcome, heard
}

// Members lists what was heard of the objects of an organization.
func (w *Walk) Members(organization string) map[Object]Outcome {
	w.mu.Lock()
	defer w.mu.Unlock()
	found := make(map[Object]Outcome, len(w.members[organization]))
	for _, object := range w.members[organization] {
		found[object] = w.outcomes[object]
	}
	return found
}

// slots is how many objects Terraform works on at once, unless it is told otherwise (-parallelism).
const slots = 10

// How long a silence tells that nothing more will be heard. A good plan is refused if it is too short: Terraform may be waiting for
// another provider.
const (
	silence = 3 * time.Second
	// A process that has read nothing may be an apply's, in which a change elsewhere may take its time.
	longSilence = 10 * time.Second
	// Where Terraform's order makes it likely that all was heard.
	shortSilence = 700 * time.Millisecond
	longest      = 30 * time.Second
)

// HearLast waits for a moment for what may come late, although it should have come before.
func (w *Walk) HearLast(ctx context.Context) {
	w.hear(ctx, func() time.Duration { return shortSilence }, func() bool { return false })
}

// Hear waits until the walk has nothing more to tell, or done says that enough is known. It returns false when that cannot be found out:
// this is an apply, objects are not refreshed, or every slot of Terraform is taken by somebody who waits.
func (w *Walk) Hear(ctx context.Context, done func() bool) (complete bool) {
	return w.hear(ctx, w.untilSilent, done)
}

func (w *Walk) untilSilent() time.Duration {
	if w.reading {
		return silence
	}
	return longSilence
}

func (w *Walk) hear(ctx context.Context, wanted func() time.Duration, done func() bool) (complete bool) {
	start := time.Now()
	w.count(1)
	defer w.count(-1)
	if done() {
		return true
	}
	for ctx.Err() == nil && time.Since(start) < longest {
		w.mu.Lock()
		enough := time.Since(later(w.news, start)) >= wanted()
		hopeless := w.applying || w.unread || w.waiting >= slots
		w.mu.Unlock()
		switch {
		case hopeless:
			return false
		case done() || enough:
			return true
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	return false
}

// Fate is what will become of a unique value that an object has.
type Fate int

// What may become of it.
const (
	Unclear Fate = iota // nothing was planned for the object yet, and it is the workspace's, or may be
	Freed
	Kept // the object is planned to keep it, or is none of the workspace's
)

// Fate tells what will become of the unique value that an object has. What was read is planned at once, as a rule, so that a short
// silence is enough to call it unclear; that an object is none of the workspace's takes a longer one.
func (w *Walk) Fate(ctx context.Context, kind, id string, value Claim) Fate {
	complete := w.hear(ctx, func() time.Duration {
		if _, heard := w.outcomes[Object{kind, id}]; heard {
			return shortSilence
		}
		return w.untilSilent()
	}, func() bool {
		outcome, _ := w.Outcome(kind, id)
		return outcome.Planned
	})
	outcome, heard := w.Outcome(kind, id)
	switch {
	case w.Takes(kind, id, value), !heard && complete:
		return Kept
	case outcome.Planned:
		return Freed
	}
	return Unclear
}

// Takes tells whether an object is planned to get, or to keep, a unique value.
func (w *Walk) Takes(kind, id string, value Claim) bool {
	outcome, _ := w.Outcome(kind, id)
	return outcome.Planned && !outcome.Goes && slices.Contains(outcome.Keeps, value)
}

// rowKey is where the plan of an object keeps its ID: when the object is to be replaced, Terraform hands it on to the plan of the
// new one.
const rowKey = "row"

// Replaced tells which object a new one takes the place of. id is that of the object that is planned, empty for a new one.
func Replaced(ctx context.Context, id string, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) (replaced string) {
	if id != "" {
		resp.Diagnostics.Append(resp.Private.SetKey(ctx, rowKey, fmt.Appendf(nil, "%q", id))...)
		return ""
	}
	row, _ := req.Private.GetKey(ctx, rowKey)
	return strings.Trim(string(row), `"`)
}

func (w *Walk) count(change int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting += change
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
