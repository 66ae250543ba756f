package backup

import (
	"context"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/datasourcevalidator"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/tf"
)

func newScheduleDataSource() datasource.DataSource {
	return &tf.Reader[backup.Store, scheduleModel]{
		Type: "backup_schedule",
		Description: "Reads one backup schedule by its `id` or its `name`, with what became of its runs. It is an error when there is " +
			"none.",
		Attributes: tf.Readable(scheduleAttributes(), "id", "name"),
		Validators: []datasource.ConfigValidator{datasourcevalidator.ExactlyOneOf(path.MatchRoot("id"), path.MatchRoot("name"))},
		By:         []string{"id", "name"},
		Find: func(ctx context.Context, store *backup.Store, asked scheduleModel) (scheduleModel, error) {
			find, key := store.ScheduleByName, asked.Name
			if !asked.ID.IsNull() {
				find, key = store.Schedule, asked.ID
			}
			found, err := find(ctx, key.ValueString())
			return scheduleModelFrom(found, time.Now()), err
		},
	}
}
