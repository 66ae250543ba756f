// Package backup translates between Terraform and the domain backup: when backups are made, and what became of them.
package backup

import "github.com/hashicorp/terraform-plugin-framework/function"

// Functions lists the functions.
func Functions() []func() function.Function {
	return []func() function.Function{newCronNext}
}
