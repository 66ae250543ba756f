package migrate

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	dataschema "github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/migrate"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/tf"
)

// historyName is for names of histories, which become parts of a table's name.
var historyName = tf.Matching(regexp.MustCompile(fmt.Sprintf(`^[a-z][a-z0-9_]{0,%d}$`, migrate.MaxNameLength-1)),
	"it must consist of lower-case letters, digits and underscores, begin with a letter, and have at most 40 characters")

// defaultName is the name of a folder's history.
func defaultName(sourceDir types.String) (name, problem string) {
	if sourceDir.IsNull() {
		return migrate.PlatformName, ""
	}
	folder, err := filepath.Abs(sourceDir.ValueString())
	if err != nil {
		return "", fmt.Sprintf("source_dir is %q, which is no path (%s).", sourceDir.ValueString(), err)
	}
	name = strings.Trim(regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(filepath.Base(folder)), "_"), "_")
	if name == "" || name[0] >= '0' && name[0] <= '9' {
		name = "dir_" + name
	}
	name = name[:min(len(name), migrate.MaxNameLength)]
	if name == migrate.PlatformName {
		return "", fmt.Sprintf("The folder's name would make %q the name of its history, which is that of the provider's own migrations. Set name.", name)
	}
	return name, ""
}

// checkName refuses a folder's migrations in the platform's history, and a history of which nobody knows the files.
func checkName(diags *diag.Diagnostics, name, sourceDir types.String) {
	switch isPlatform := name.ValueString() == migrate.PlatformName; {
	case name.IsNull() || name.IsUnknown() || sourceDir.IsUnknown():
	case isPlatform && !sourceDir.IsNull():
		diags.AddAttributeError(path.Root("name"), "Invalid name", fmt.Sprintf("%q is the history of the provider's own migrations, and source_dir is set. Choose another name.", name.ValueString()))
	case !isPlatform && sourceDir.IsNull():
		diags.AddAttributeError(path.Root("source_dir"), "Missing source_dir", fmt.Sprintf("name is %q, so source_dir must be the folder with its migrations; the provider's own have the name %q.",
			name.ValueString(), migrate.PlatformName))
	}
}

var (
	lockType    = types.ObjectType{AttrTypes: map[string]attr.Type{"table": types.StringType, "mode": types.StringType, "bytes": types.Int64Type}}
	pendingType = types.ObjectType{AttrTypes: map[string]attr.Type{
		"version": types.Int64Type, "name": types.StringType, "sha256": types.StringType, "down": types.BoolType,
		"locks": types.ListType{ElemType: lockType}, "locked_bytes": types.Int64Type,
	}}
)

type pendingModel struct {
	Version     types.Int64  `tfsdk:"version"`
	Name        types.String `tfsdk:"name"`
	SHA256      types.String `tfsdk:"sha256"`
	Down        types.Bool   `tfsdk:"down"`
	Locks       types.List   `tfsdk:"locks"`
	LockedBytes types.Int64  `tfsdk:"locked_bytes"`
}

type lockModel struct {
	Table types.String `tfsdk:"table"`
	Mode  types.String `tfsdk:"mode"`
	Bytes types.Int64  `tfsdk:"bytes"`
}

// What a migration that is to run looks like, in the resource and in the data source.
var pendingDescriptions = map[string]string{
	"version":      "The migration's number.",
	"name":         "The file's name.",
	"sha256":       "SHA-256 of the file's text, in hexadecimal. The kind of line ends and empty lines at the end do not count.",
	"down":         "Whether its down step runs, which undoes it.",
	"locks":        "Tables that exist already, and the strongest lock on each.",
	"locked_bytes": "Size of the tables that it locks against writes, with their indexes, when the plan was made.",
	"table":        "The table, with its schema.",
	"mode":         "PostgreSQL's name of the lock mode, such as `ACCESS EXCLUSIVE` (manual, section 13.3.1).",
	"bytes":        "Size of the table with its indexes.",
}

// attributes makes attributes of a resource or of a data source, whose types differ only in name.
type attributes[A any] struct {
	text, number, flag func(description string) A
	list               func(description string, of map[string]A) A
}

func (a attributes[A]) object(of types.ObjectType) map[string]A {
	result := map[string]A{}
	for name, kind := range of.AttrTypes {
		description := pendingDescriptions[name]
		switch kind {
		case types.StringType:
			result[name] = a.text(description)
		case types.Int64Type:
			result[name] = a.number(description)
		case types.BoolType:
			result[name] = a.flag(description)
		default:
			result[name] = a.list(description, a.object(lockType))
		}
	}
	return result
}

func pendingAttribute(description string) schema.Attribute {
	a := attributes[schema.Attribute]{
		text:   func(d string) schema.Attribute { return schema.StringAttribute{Computed: true, MarkdownDescription: d} },
		number: func(d string) schema.Attribute { return schema.Int64Attribute{Computed: true, MarkdownDescription: d} },
		flag:   func(d string) schema.Attribute { return schema.BoolAttribute{Computed: true, MarkdownDescription: d} },
		list: func(d string, of map[string]schema.Attribute) schema.Attribute {
			return schema.ListNestedAttribute{Computed: true, MarkdownDescription: d, NestedObject: schema.NestedAttributeObject{Attributes: of}}
		},
	}
	return a.list(description, a.object(pendingType))
}

func pendingDataAttribute(description string) dataschema.Attribute {
	a := attributes[dataschema.Attribute]{
		text: func(d string) dataschema.Attribute {
			return dataschema.StringAttribute{Computed: true, MarkdownDescription: d}
		},
		number: func(d string) dataschema.Attribute {
			return dataschema.Int64Attribute{Computed: true, MarkdownDescription: d}
		},
		flag: func(d string) dataschema.Attribute {
			return dataschema.BoolAttribute{Computed: true, MarkdownDescription: d}
		},
		list: func(d string, of map[string]dataschema.Attribute) dataschema.Attribute {
			return dataschema.ListNestedAttribute{Computed: true, MarkdownDescription: d, NestedObject: dataschema.NestedAttributeObject{Attributes: of}}
		},
	}
	return a.list(description, a.object(pendingType))
}

// pendingValue shows steps with what they lock, and how large that is.
func pendingValue(steps []migrate.Step) types.List {
	pending := make([]attr.Value, 0, len(steps))
	for _, step := range steps {
		pending = append(pending, pendingObject(step, locksValue(step.Locks, types.Int64Value), types.Int64Value(step.Bytes)))
	}
	return types.ListValueMust(pendingType, pending)
}

// unmeasuredPending shows steps with what they lock, and leaves open how large that is.
func unmeasuredPending(steps []migrate.Step) types.List {
	pending := make([]attr.Value, 0, len(steps))
	for _, step := range steps {
		bytes := types.Int64Unknown()
		if len(step.Locks) == 0 {
			bytes = types.Int64Value(0)
		}
		pending = append(pending, pendingObject(step, locksValue(step.Locks, func(int64) types.Int64 { return types.Int64Unknown() }), bytes))
	}
	return types.ListValueMust(pendingType, pending)
}

func locksValue(locks []migrate.TableLock, size func(int64) types.Int64) types.List {
	values := make([]attr.Value, 0, len(locks))
	for _, lock := range locks {
		values = append(values, types.ObjectValueMust(lockType.AttrTypes, map[string]attr.Value{
			"table": types.StringValue(lock.Table), "mode": types.StringValue(lock.Mode.String()), "bytes": size(lock.Bytes),
		}))
	}
	return types.ListValueMust(lockType, values)
}

func pendingObject(step migrate.Step, locks types.List, bytes types.Int64) attr.Value {
	return types.ObjectValueMust(pendingType.AttrTypes, map[string]attr.Value{
		"version": types.Int64Value(step.Version), "name": types.StringValue(step.Name), "sha256": types.StringValue(step.SHA256),
		"down": types.BoolValue(step.Down), "locks": locks, "locked_bytes": bytes,
	})
}

// plannedPending shows steps in a plan, with what they lock as the last refresh found it; the rest remains to be known.
func plannedPending(steps, refreshed []migrate.Step) types.List {
	pending := make([]attr.Value, 0, len(steps))
	for _, step := range steps {
		locks, bytes := types.ListUnknown(lockType), types.Int64Unknown()
		if i := slices.IndexFunc(refreshed, step.Same); i >= 0 {
			locks, bytes = locksValue(refreshed[i].Locks, types.Int64Value), types.Int64Value(refreshed[i].Bytes)
		}
		pending = append(pending, pendingObject(step, locks, bytes))
	}
	return types.ListValueMust(pendingType, pending)
}

// appliedPending is what was planned, with what was left open filled in from what ran.
func appliedPending(ctx context.Context, planned types.List, ran []migrate.Step) types.List {
	var models []pendingModel
	planned.ElementsAs(ctx, &models, false) // It is what the plan wrote.
	pending := make([]attr.Value, 0, len(models))
	for _, m := range models {
		found := m.step()
		if i := slices.IndexFunc(ran, found.Same); i >= 0 {
			found = ran[i]
		}
		pending = append(pending, pendingObject(found, filledLocks(ctx, m.Locks, found.Locks), filled(m.LockedBytes, found.Bytes)))
	}
	return types.ListValueMust(pendingType, pending)
}

func filled(planned types.Int64, found int64) types.Int64 {
	if planned.IsUnknown() {
		return types.Int64Value(found)
	}
	return planned
}

func filledLocks(ctx context.Context, planned types.List, found []migrate.TableLock) types.List {
	if planned.IsUnknown() {
		return locksValue(found, types.Int64Value)
	}
	var models []lockModel
	planned.ElementsAs(ctx, &models, false) // It is what the plan wrote.
	locks := make([]attr.Value, 0, len(models))
	for _, m := range models {
		size := int64(0)
		if i := slices.IndexFunc(found, func(lock migrate.TableLock) bool { return lock.Table == m.Table.ValueString() }); i >= 0 {
			size = found[i].Bytes
		}
		locks = append(locks, types.ObjectValueMust(lockType.AttrTypes, map[string]attr.Value{
			"table": m.Table, "mode": m.Mode, "bytes": filled(m.Bytes, size),
		}))
	}
	return types.ListValueMust(lockType, locks)
}

func (m pendingModel) step() migrate.Step {
	return migrate.Step{Version: m.Version.ValueInt64(), Name: m.Name.ValueString(), SHA256: m.SHA256.ValueString(), Down: m.Down.ValueBool()}
}

// stepsOf reads what was planned back, as far as it says what runs.
func stepsOf(ctx context.Context, pending types.List) []migrate.Step {
	var models []pendingModel
	pending.ElementsAs(ctx, &models, false) // It is what pendingValue wrote.
	var steps []migrate.Step
	for _, m := range models {
		steps = append(steps, m.step())
	}
	return steps
}

func names(steps []migrate.Step) string {
	list := make([]string, 0, len(steps))
	for _, step := range steps {
		list = append(list, step.Name)
	}
	return strings.Join(list, ", ")
}

// addMigrationError reports an error on the attribute that can be changed to mend it.
func addMigrationError(diags *diag.Diagnostics, verb string, m migrationModel, err error) {
	var (
		unknown *migrate.UnknownVersionError
		down    *migrate.DownError
		budget  *migrate.BudgetError
		bad     *migrate.BadFileError
		history *migrate.HistoryError
	)
	attribute := ""
	switch {
	case errors.As(err, &unknown):
		attribute = "version"
	case errors.As(err, &down) && verb != "destroy":
		attribute = "version"
	case errors.As(err, &budget):
		attribute = "max_locked_bytes"
	case (errors.As(err, &bad) || errors.As(err, &history)) && !m.SourceDir.IsNull():
		attribute = "source_dir"
	}
	if attribute == "" || verb == "destroy" {
		tf.AddError(diags, verb, "migration", "", err)
		return
	}
	diags.AddAttributeError(path.Root(attribute), "Cannot "+verb+" migration", tf.Explain("migration", err))
}
