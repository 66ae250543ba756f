package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/migrate"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/tf"
)

var historyName = tf.Matching(migrate.NamePattern, migrate.NameRule)

// checkName refuses a name that does not go with a folder. What is not known yet is checked later.
func checkName(name, sourceDir types.String) error {
	if name.IsNull() || name.IsUnknown() || sourceDir.IsUnknown() {
		return nil
	}
	return migrate.CheckName(name.ValueString(), sourceDir.ValueString())
}

var (
	lockType = types.ObjectType{AttrTypes: map[string]attr.Type{
		"table": types.StringType, "mode": types.StringType,
		"bytes": types.Int64Type,
	}}
	pendingType = types.ObjectType{AttrTypes: map[string]attr.Type{
		"version": types.Int64Type, "name": types.StringType, "sha256": types.StringType, "down": types.BoolType,
		"sql":   types.StringType,
		"locks": types.ListType{ElemType: lockType}, "locked_bytes": types.Int64Type,
	}}
)

type pendingModel struct {
	Version     types.Int64  `tfsdk:"version"`
	Name        types.String `tfsdk:"name"`
	SHA256      types.String `tfsdk:"sha256"`
	Down        types.Bool   `tfsdk:"down"`
	SQL         types.String `tfsdk:"sql"`
	Locks       types.List   `tfsdk:"locks"`
	LockedBytes types.Int64  `tfsdk:"locked_bytes"`
}

type lockModel struct {
	Table types.String `tfsdk:"table"`
	Mode  types.String `tfsdk:"mode"`
	Bytes types.Int64  `tfsdk:"bytes"`
}

const (
	describedVersion = "The migration's number."
	describedName    = "The file's name."
	describedDrift   = "What the migrations made and somebody else has removed or changed since: tables, columns, constraints, indexes, " +
		"policies, triggers, views and functions of the recorded version, each with its migration and how to restore it. What others " +
		"have added is none. Null for a `source_dir`, since nobody knows what its migrations make."
	describedSHA256 = "SHA-256 of the file's text, in hexadecimal. The kind of line ends and empty lines at the end do not count."
)

func pendingAttribute(description string) schema.Attribute {
	return nested(description, map[string]schema.Attribute{
		"version": schema.Int64Attribute{Computed: true, MarkdownDescription: describedVersion},
		"name":    schema.StringAttribute{Computed: true, MarkdownDescription: describedName},
		"sha256":  schema.StringAttribute{Computed: true, MarkdownDescription: describedSHA256},
		"down":    schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether its down step runs, which undoes it."},
		"sql": schema.StringAttribute{
			Computed:            true,
			MarkdownDescription: "What the file says for that direction; of more than 64 KiB the beginning, with a note.",
		},
		"locks": nested("Tables that exist already, and the strongest lock on each.", map[string]schema.Attribute{
			"table": schema.StringAttribute{Computed: true, MarkdownDescription: "The table, with its schema."},
			"mode": schema.StringAttribute{
				Computed:            true,
				MarkdownDescription: "PostgreSQL's name of the lock mode, such as `ACCESS EXCLUSIVE` (manual, section 13.3.1).",
			},
			"bytes": schema.Int64Attribute{Computed: true, MarkdownDescription: "Size of the table with its indexes."},
		}),
		"locked_bytes": schema.Int64Attribute{
			Computed:            true,
			MarkdownDescription: "Size of the tables that it locks against writes, with their indexes, when the plan was made.",
		},
	})
}

func nested(description string, attributes map[string]schema.Attribute) schema.ListNestedAttribute {
	return schema.ListNestedAttribute{
		Computed: true, MarkdownDescription: description, NestedObject: schema.NestedAttributeObject{Attributes: attributes},
	}
}

// detail is how much a plan shows of what a step locks. The rest remains to be known after the apply.
type detail int

const (
	nothing detail = iota
	tables
	sizes
)

// pendingOf is the one mapping of steps to the attribute.
func pendingOf(steps []migrate.Step, show func(migrate.Step) (migrate.Step, detail)) types.List {
	pending := make([]attr.Value, 0, len(steps))
	for _, step := range steps {
		sql := step.SQL
		step, shown := show(step)
		locks, bytes := types.ListUnknown(lockType), types.Int64Unknown()
		if shown >= tables {
			locks = locksOf(step.Locks, shown == sizes)
		}
		if shown == sizes || shown == tables && len(step.Locks) == 0 {
			bytes = types.Int64Value(step.Bytes)
		}
		pending = append(pending, types.ObjectValueMust(pendingType.AttrTypes, map[string]attr.Value{
			"version": types.Int64Value(step.Version), "name": types.StringValue(step.Name), "sha256": types.StringValue(step.SHA256),
			"down": types.BoolValue(step.Down), "sql": types.StringValue(sql), "locks": locks, "locked_bytes": bytes,
		}))
	}
	return types.ListValueMust(pendingType, pending)
}

func locksOf(locks []migrate.TableLock, measured bool) types.List {
	values := make([]attr.Value, 0, len(locks))
	for _, lock := range locks {
		bytes := types.Int64Unknown()
		if measured {
			bytes = types.Int64Value(lock.Bytes)
		}
		values = append(values, types.ObjectValueMust(lockType.AttrTypes, map[string]attr.Value{
			"table": types.StringValue(lock.Table), "mode": types.StringValue(lock.Mode.String()), "bytes": bytes,
		}))
	}
	return types.ListValueMust(lockType, values)
}

// measuredPending shows steps with what they lock, and how large that is.
func measuredPending(steps []migrate.Step) types.List {
	return pendingOf(steps, func(step migrate.Step) (migrate.Step, detail) { return step, sizes })
}

// unmeasuredPending shows steps with what they lock, and leaves open how large that is.
func unmeasuredPending(steps []migrate.Step) types.List {
	return pendingOf(steps, func(step migrate.Step) (migrate.Step, detail) { return step, tables })
}

// refreshedPending shows steps with what they lock as the last refresh found it. No refresh knows that steps are to be undone; what
// those lock is shown without its size.
func refreshedPending(steps, refreshed []migrate.Step) types.List {
	return pendingOf(steps, func(step migrate.Step) (migrate.Step, detail) {
		if i := slices.IndexFunc(refreshed, step.Same); i >= 0 {
			return refreshed[i], sizes
		}
		if step.Down {
			return step, tables
		}
		return step, nothing
	})
}

// appliedPending is what was planned, with what was left open filled in from what ran.
func appliedPending(ctx context.Context, planned types.List, ran []migrate.Step) types.List {
	steps, shown := plannedSteps(ctx, planned)
	for i, step := range steps {
		found := step
		if j := slices.IndexFunc(ran, step.Same); j >= 0 {
			found = ran[j]
		}
		switch shown[i] {
		case nothing:
			found.SQL = step.SQL
			steps[i] = found
		case tables:
			steps[i].Bytes = found.Bytes
			for k, lock := range step.Locks {
				if j := slices.IndexFunc(found.Locks, func(l migrate.TableLock) bool { return l.Table == lock.Table }); j >= 0 {
					step.Locks[k].Bytes = found.Locks[j].Bytes
				}
			}
		}
	}
	return measuredPending(steps)
}

// plannedSteps reads back what a plan says, and how much it shows of each step.
func plannedSteps(ctx context.Context, planned types.List) (steps []migrate.Step, shown []detail) {
	var models []pendingModel
	planned.ElementsAs(ctx, &models, false) // It is what pendingOf wrote.
	for _, m := range models {
		step, detail := migrate.Step{
			Version: m.Version.ValueInt64(), Name: m.Name.ValueString(), SHA256: m.SHA256.ValueString(), Down: m.Down.ValueBool(),
			SQL: m.SQL.ValueString(), Bytes: m.LockedBytes.ValueInt64(),
		}, sizes
		var locks []lockModel
		if m.LockedBytes.IsUnknown() {
			detail = tables
		}
		if m.Locks.IsUnknown() {
			detail = nothing
		} else {
			m.Locks.ElementsAs(ctx, &locks, false)
		}
		for _, lock := range locks {
			mode, _ := migrate.ParseLockMode(lock.Mode.ValueString())
			step.Locks = append(step.Locks, migrate.TableLock{Table: lock.Table.ValueString(), Mode: mode, Bytes: lock.Bytes.ValueInt64()})
		}
		steps, shown = append(steps, step), append(shown, detail)
	}
	return steps, shown
}

var size = tf.Check("it must be "+migrate.SizeRule, func(value string) string {
	if _, ok := migrate.ParseSize(value); ok {
		return ""
	}
	return fmt.Sprintf("is %q", value)
})

func texts(list []string) types.List {
	values := make([]attr.Value, 0, len(list))
	for _, text := range list {
		values = append(values, types.StringValue(text))
	}
	return types.ListValueMust(types.StringType, values)
}

func names(steps []migrate.Step) string {
	list := make([]string, 0, len(steps))
	for _, step := range steps {
		list = append(list, step.Name)
	}
	return strings.Join(list, ", ")
}

// addError reports an error on the attribute that can be changed to mend it; a destroy has none.
func addError(diags *diag.Diagnostics, verb string, err error) {
	var told problem.Error
	if errors.Is(err, context.Canceled) && !errors.As(err, &told) {
		diags.AddError("Cannot "+verb+" migration", "It was interrupted before anything was changed.")
		return
	}
	if verb == "destroy" {
		diags.AddError("Cannot destroy migration", tf.Explain("migration", err))
		return
	}
	tf.AddError(diags, verb, "migration", "", err)
}
