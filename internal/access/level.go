package access

import (
	"slices"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/identity"
)

// Level is what a role may do. Groups, defaults, warnings, documentation, validators and the proof's attackers follow from
// [Levels]; the database's part is a migration, and a test compares the two.
type Level struct {
	// Name is the value of [Role.Access].
	Name string
	// Meaning continues the name in the documentation.
	Meaning string
	// OfTenants may be given to a role of one organization. The others are for service roles only.
	OfTenants bool
	// AllTenants sees every tenant's rows when it is not of one organization.
	AllTenants bool
	// OwnPolicy is for who sees them by a policy of the level's group: what the others' reads, pg_dump lets nobody read.
	OwnPolicy bool
	// AboveTenants is not confined by the policies, so that the proof of isolation does not attack as it.
	AboveTenants bool
	// Direct uses the pooler only when it is asked for: it needs a session of its own, or more rights than should be reached
	// through it.
	Direct bool
	// Pooler is what the pooler itself logs in with.
	Pooler bool
	// Unexpiring goes on after [Role.ValidUntil], because the policies are all that looks at that.
	Unexpiring bool
	// Becomes its group role, so that what one member makes belongs to all.
	Becomes bool
	// Tasks are what the proof makes sure that a role of a tenant can do: "read", "insert", "change" rows, or "change the
	// organization".
	Tasks []string
}

// Levels are all levels, those of tenants first.
var Levels = []Level{
	{
		Name: "reader", Meaning: "reads rows",
		OfTenants: true, AllTenants: true, Tasks: []string{"read"},
	},
	{
		Name: "writer", Meaning: "also changes them",
		OfTenants: true, AllTenants: true, Tasks: []string{"read", "insert", "change"},
	},
	{
		Name: "admin", Meaning: "is a writer who may also change the description, settings and configuration of its organization",
		OfTenants: true, AllTenants: true, Tasks: []string{"read", "insert", "change", "change the organization"},
	},
	{Name: "migrator", Meaning: "owns the schema", AboveTenants: true, Direct: true, Unexpiring: true, Becomes: true},
	{Name: "monitor", Meaning: "reads statistics and the schema's version and no tenant's rows", Direct: true, Unexpiring: true},
	{Name: "backup", Meaning: "reads everything", AllTenants: true, AboveTenants: true, Direct: true, OwnPolicy: true},
	{Name: "pooler", Meaning: "is what PgBouncer looks up roles with", Direct: true, Pooler: true},
}

// LevelOf returns the level of that name; the one of an unknown name is nobody's.
func LevelOf(name string) Level {
	if i := slices.IndexFunc(Levels, func(l Level) bool { return l.Name == name }); i >= 0 {
		return Levels[i]
	}
	return Level{Name: name}
}

// LevelNames are the names of the levels that pass.
func LevelNames(pass func(Level) bool) []string {
	var names []string
	for _, level := range Levels {
		if pass(level) {
			names = append(names, level.Name)
		}
	}
	return names
}

// Group is the role that carries the level's rights; a migration makes it.
func (l Level) Group() string { return "brownie_" + l.Name }

// These groups are of no level: what a level allows is allowed for all tenants, and through the pooler.
const (
	allTenantsGroup = "brownie_all_tenants"
	pooledGroup     = "brownie_pooled"
)

// connectGroupPrefix begins the name of the group role whose members may connect to one database.
const connectGroupPrefix = identity.ConnectGroupPrefix

// GroupRoles are the groups of all levels, and the two that are of no level.
func GroupRoles() []string {
	return append(groupsOf(func(Level) bool { return true }), allTenantsGroup, pooledGroup)
}

func groupsOf(pass func(Level) bool) []string {
	names := LevelNames(pass)
	for i, name := range names {
		names[i] = LevelOf(name).Group()
	}
	return names
}

// groupsToBecome are the group roles that members may SET ROLE to.
func groupsToBecome() []string { return groupsOf(func(l Level) bool { return l.Becomes }) }

// Groups are what [Role.MemberOf] should be, in alphabetical order.
func (r Role) Groups() []string {
	level := LevelOf(r.Access)
	groups := []string{level.Group()}
	if r.OrganizationID == nil && level.AllTenants && !level.OwnPolicy {
		groups = append(groups, allTenantsGroup)
	}
	if r.Pooled {
		groups = append(groups, pooledGroup)
	}
	slices.Sort(groups)
	return groups
}

// TenantConnections is how many connections the role of one organization may have unless more are asked for, so that no
// tenant takes all that the server has.
const TenantConnections = 20

// DefaultConnectionLimit is [Role.ConnectionLimit] of a role for which none is asked for.
func DefaultConnectionLimit(ofOneOrganization bool) int32 {
	if ofOneOrganization {
		return TenantConnections
	}
	return -1
}
