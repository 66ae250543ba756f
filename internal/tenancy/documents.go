package tenancy

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// refusals are the checks of JSON columns, by the ends of their names (migrations 5 and 21), and what they refuse.
var refusals = map[string]string{
	"_document": "no JSON object or array",
	"_escapes":  `JSON with \u0000 or with half of a surrogate pair, which PostgreSQL's functions cannot read`,
}

// documentError words the violation of a check of a JSON column by a row. The plan has refused bad documents, so that it is most
// often one from before the check, which hinders every change of its row.
func documentError(row any, err error) error {
	constraint, _ := postgres.Constraint(err)
	for end, refused := range refusals {
		column, found := strings.CutSuffix(constraint, end)
		if !found {
			continue
		}
		for i := range reflect.TypeOf(row).NumField() {
			attribute := reflect.TypeOf(row).Field(i).Tag.Get("db")
			if attribute != "" && strings.HasSuffix(column, "_"+attribute) {
				return problem.New(fmt.Sprintf("%s is stored as %s, which the database accepts no longer", attribute, refused),
					fmt.Sprintf("Give it another %s in the same change", attribute)).On(attribute).Because(err)
			}
		}
		return problem.New(fmt.Sprintf("a column that Terraform does not manage (%s) holds %s, which the database accepts no longer",
			column, refused), "Correct the row by SQL").Because(err)
	}
	return err
}
