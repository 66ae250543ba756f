package tenancy_test

import (
	"context"
	"math/rand/v2"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/tenancy"
)

// kindCache is what a provider could do in place of batching: it reads all organizations once and serves the rest from memory.
type kindCache struct {
	store *tenancy.Store
	once  sync.Once
	byID  map[string]tenancy.Organization
}

func (c *kindCache) Organization(ctx context.Context, id string) (tenancy.Organization, error) {
	var err error
	c.once.Do(func() {
		var all []tenancy.Organization
		all, err = c.store.Organizations(ctx, tenancy.OrganizationFilter{})
		c.byID = map[string]tenancy.Organization{}
		for _, o := range all {
			c.byID[o.ID] = o
		}
	})
	return c.byID[id], err
}

// No read returns what was read before it began, in random schedules of reads and of another process's writes. The same schedules
// catch a cache of the whole kind.
func TestNoReadIsOlderThanItsStart(t *testing.T) {
	t.Parallel()
	database := testdb.Migrated(t)
	ours, theirs := tenancy.New(testdb.DB(t, database)), tenancy.New(testdb.DB(t, database))
	const organizations, readers, reads = 5, 10, 40
	ids := make([]string, organizations)
	for i := range ids {
		n := strconv.Itoa(i)
		ids[i] = testdb.Must(ours.CreateOrganization(t.Context(), tenancy.Organization{Name: n, Slug: n}))(t).ID
	}
	stale := func(read func(context.Context, string) (tenancy.Organization, error), seed uint64) int64 {
		var writes atomic.Int64
		written := make([]atomic.Int64, organizations) // what the other process has committed for sure
		ctx, stop := context.WithCancel(t.Context())
		var writer, all sync.WaitGroup
		writer.Go(func() {
			random := rand.New(rand.NewPCG(seed, 0))
			for n := int32(seed+1) * 1_000_000; ctx.Err() == nil; n++ { // more than in any schedule before
				i := random.IntN(organizations)
				before, err := theirs.Organization(t.Context(), ids[i])
				if err == nil {
					after := before
					after.MaxTeams = n
					_, err = theirs.UpdateOrganization(t.Context(), before, after)
				}
				if err != nil {
					t.Error(err)
					return
				}
				written[i].Store(int64(n))
				writes.Add(1)
			}
		})
		var old atomic.Int64
		for reader := range readers {
			random := rand.New(rand.NewPCG(seed, uint64(reader)+1))
			all.Go(func() {
				for n := 0; n < reads || writes.Load() < 20; n++ {
					i := random.IntN(organizations)
					least := written[i].Load()
					o, err := read(t.Context(), ids[i])
					runtime.Gosched() // A cache takes no time.
					if err != nil {
						t.Error(err)
						return
					}
					if int64(o.MaxTeams) < least {
						old.Add(1)
					}
				}
			})
		}
		all.Wait()
		stop()
		writer.Wait()
		return old.Load()
	}
	for seed := range uint64(3) {
		if n := stale(ours.Organization, seed); n != 0 {
			t.Errorf("schedule %d: %d reads returned what was older than their start", seed, n)
		}
	}
	cache := &kindCache{store: ours}
	if n := stale(cache.Organization, 3); n == 0 {
		t.Error("the schedule does not catch a cache, so that it proves nothing")
	} else {
		t.Logf("a cache of the whole kind serves %d stale reads", n)
	}
}
