// Package postgresauth embeds the files of the Terraform module beside it, so that the test servers are started from the
// very configuration that the module renders.
package postgresauth

import "embed"

// Files are the module's templates and the variables that they are given.
//
//go:embed variables.tf templates/*.tftpl
var Files embed.FS
