package tf

import (
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// ProtectionAttribute is deletion_protection, with its default.
func ProtectionAttribute(noun string, standard bool) schema.BoolAttribute {
	return OptionalBool("Whether planning to destroy the "+noun+" is an error. It must be set to `false` and applied before the "+
		"destroy. Known to Terraform only, not to the database.", standard)
}

// RefuseDestroy refuses to destroy a protected object; with says what goes with it.
func RefuseDestroy(noun, name, with string, protection types.Bool, diags *diag.Diagnostics) {
	if protection.ValueBool() {
		diags.AddAttributeError(path.Root("deletion_protection"), "Cannot destroy "+noun, fmt.Sprintf("%s %q is protected. To destroy "+
			"it%s, set deletion_protection = false in its resource block or, where a module or a YAML file makes it, by what they have "+
			"for that (such as stage: leaving or leaving: true); put back what was removed, apply, and destroy then. If only its address "+
			"changed, or its key in a for_each, write a moved block instead (guide What a plan refuses).",
			noun, name, with))
	}
}
