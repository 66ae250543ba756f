package tf

import (
	"context"
	"fmt"
	"hash/maphash"
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
	doubted  map[Claim]bool // whether it becomes free was left open
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
