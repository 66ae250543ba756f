// Package tenancy manages what belongs to a tenant: organizations, their teams, users, agent configs and configs. It is
// the only place that knows the tables' SQL, and it knows no Terraform.
//
// Every change is one transaction in one round trip. Guards (limits, names already taken) are part of the changing
// statement, under a lock on the parent's row, so that two changes at once cannot both pass them.
package tenancy

import (
	"maps"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/patience"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// Row is what every table has.
type Row struct {
	ID        string    `db:"id"`
	CreatedAt time.Time `db:"created_at"`
	// UpdatedAt changes with every change of the row, also by others: it tells whether a row still is what was read.
	UpdatedAt time.Time `db:"updated_at"`
}

// calendar begins the expression, which the time and "))" end, for a time as RFC 3339 can write it. PostgreSQL has earlier and later
// ones, and infinity.
const calendar = `greatest('0001-01-01T00:00:00Z', least('9999-12-31T23:59:59.999999Z', `

func (r Row) row() Row { return r }

// Versioned is what a table has whose changes are counted.
type Versioned struct {
	Version int32 `db:"version"`
}

type rower interface{ row() Row }

// Store reads and changes tenants in one database.
type Store struct {
	// Patience is for a name that another row still has, and for a limit.
	Patience patience.Patience

	db            *postgres.DB
	organizations kind[Organization]
	teams         kind[Team]
	users         kind[User]
	agentConfigs  kind[AgentConfig]
	configs       kind[Config]
}

// New returns a Store. It does not connect.
func New(db *postgres.DB) *Store {
	db = db.AsOwner()
	s := &Store{db: db}
	s.organizations.init(db, organizationsByIDSQL)
	s.organizations.muchSQL, s.teams.muchSQL = muchOfOrganizationSQL, muchOfTeamSQL
	s.teams.init(db, teamsByIDSQL)
	s.users.init(db, usersByIDSQL)
	s.agentConfigs.init(db, agentConfigsByIDSQL)
	s.configs.init(db, configsByIDSQL)
	return s
}

// InFlight is [postgres.DB.InFlight] of its database.
func (s *Store) InFlight() *postgres.InFlight { return s.db.InFlight() }

// toInsert gives the parameters of an INSERT the names of columns: those of the attributes, and id. A name that the statement
// or the struct lacks is an error, so that no attribute is forgotten. What is embedded, the database computes.
func toInsert(id string, attributes any) pgx.StrictNamedArgs {
	args := pgx.StrictNamedArgs{"id": id}
	if named, ok := pgx.StructArgs(attributes).(pgx.NamedArgs); ok {
		maps.Copy(args, named)
	}
	return args
}

// toUpdate does the same for an UPDATE, with the updated_at that the row must have and the names of the columns to be written.
// All others stay as they are stored, which may be in a form that Terraform cannot tell from its own.
func toUpdate(id string, updatedAt time.Time, attributes any, changes []string) pgx.StrictNamedArgs {
	args := toInsert(id, attributes)
	args["updated_at"], args["changes"] = updatedAt, changes
	return args
}

// madeVersion is the version of a UUID, as it is written, of a row that this provider has made.
const madeVersion = "8"

// newID is for a row that this provider makes: a random UUID of version 8. All others make those of version 4, so that an ID tells
// whether Terraform has created the row.
func newID() string {
	id := uuid.New()
	id[6] = id[6]&0x0f | 0x80
	return id.String()
}
