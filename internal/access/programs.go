package access

import "embed"

// The SQL programs by which roles are read and changed. Those of a change run in the order of this list.
var (
	//go:embed role/read.sql
	readRolesSQL string

	//go:embed role/mapped_name.sql
	mappedNameSQL string
	//go:embed role/borrow.sql
	borrowSQL string
	//go:embed role/end_own_changes.sql
	endOwnChangesSQL string
	//go:embed role/give_back.sql
	giveBackSQL string
	//go:embed role/maker.sql
	findMakerSQL string
	//go:embed role/name.sql
	nameRoleSQL string
	//go:embed role/attributes.sql
	setAttributesSQL string
	//go:embed role/connect.sql
	makeConnectGroupSQL string
	//go:embed role/granter.sql
	findGranterSQL string
	//go:embed role/memberships.sql
	setMembershipsSQL string
	//go:embed role/end_sessions.sql
	endSessionsSQL string
	//go:embed role/end_transactions.sql
	endTransactionsSQL string

	//go:embed role/blockers.sql
	blockersSQL string
	//go:embed role/lock_out.sql
	lockOutSQL string
	//go:embed role/drop.sql
	dropRoleSQL string
)

// The programs of the proof of isolation, in the order of their names.
//
//go:embed isolation/*.sql
var isolationSQL embed.FS

// borrowing runs programs with the rights of the roles that they change.
func borrowing(programs ...string) []string {
	return append(append([]string{borrowSQL}, programs...), giveBackSQL)
}
