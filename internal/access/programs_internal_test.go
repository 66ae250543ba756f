package access

import (
	"strings"
	"testing"
)

// What a table's owner may let run (a view, a policy) must not run with the rights of the login, nor change what programs are told.
func TestProgramsReadNoTableOfTheSchema(t *testing.T) {
	t.Parallel()
	programs := []string{
		mappedNameSQL, findMakerSQL, borrowSQL, endOwnChangesSQL, giveBackSQL, nameRoleSQL, setAttributesSQL, makeConnectGroupSQL, findGranterSQL,
		setMembershipsSQL, endSessionsSQL, endTransactionsSQL, lockOutSQL, dropRoleSQL, settledSQL, readRolesSQL, blockersSQL,
	}
	for _, program := range programs {
		for _, place := range []string{"FROM brownie.", "JOIN brownie.", "FROM public.", "INTO brownie.", "UPDATE brownie."} {
			if strings.Contains(program, place) {
				t.Errorf("%q is in: %s", place, program)
			}
		}
	}
}
