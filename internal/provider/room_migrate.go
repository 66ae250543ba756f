package provider

import (
	"context"
	"os"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-log/tflog"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/migrate"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// migrateBackend is what this domain's resources and data sources work with.
type migrateBackend struct {
	db      *postgres.DB
	version string // the provider's
}

func newMigrateBackend(db *postgres.DB, version string) *migrateBackend {
	return &migrateBackend{db, version}
}

// engine returns an engine for a history: the platform's own, or one whose migrations are in a folder.
func (b *migrateBackend) engine(name, sourceDir string, options migrate.Options) *migrate.Engine {
	source := migrate.Platform
	if name != migrate.PlatformName {
		source = migrate.Source{Name: name, Files: os.DirFS(sourceDir)} // An import does not know the folder yet.
	}
	options.ProviderVersion, options.RunID = b.version, os.Getenv("TFC_RUN_ID")
	options.Log = func(ctx context.Context, message string, fields map[string]any) { tflog.Info(ctx, message, fields) }
	return migrate.New(b.db, source, options)
}

func migrateResources() []func() resource.Resource {
	return []func() resource.Resource{newMigrationResource}
}

func migrateDataSources() []func() datasource.DataSource {
	return []func() datasource.DataSource{newMigrationStatusDataSource}
}
