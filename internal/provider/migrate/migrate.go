// Package migrate translates between Terraform and the domain migrate: migrations and their status.
package migrate

import (
	"context"
	"os"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-log/tflog"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/migrate"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// backend is what this domain's resources and data sources work with.
type backend struct {
	db      *postgres.DB
	version string // the provider's
}

// Backend makes it.
func Backend(db *postgres.DB, version string) *backend {
	return &backend{db, version}
}

// engine returns an engine for a history: the platform's own, or one whose migrations are in a folder.
func (b *backend) engine(name, sourceDir string, options migrate.Options) *migrate.Engine {
	source := migrate.Platform
	if name != migrate.PlatformName {
		source = migrate.Source{Name: name, Files: os.DirFS(sourceDir)} // An import does not know the folder yet.
	}
	options.ProviderVersion, options.RunID = b.version, os.Getenv("TFC_RUN_ID")
	options.Log = func(ctx context.Context, message string, fields map[string]any) { tflog.Info(ctx, message, fields) }
	return migrate.New(b.db, source, options)
}

// Resources lists the resources.
func Resources() []func() resource.Resource {
	return []func() resource.Resource{newMigrationResource}
}

// DataSources lists the data sources.
func DataSources() []func() datasource.DataSource {
	return []func() datasource.DataSource{newMigrationStatusDataSource}
}
