package backup

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/function"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

type cronNext struct{}

func newCronNext() function.Function { return cronNext{} }

func (cronNext) Metadata(_ context.Context, _ function.MetadataRequest, resp *function.MetadataResponse) {
	resp.Name = "cron_next"
}

// The arguments, in order.
const (
	expressionArgument = iota
	timezoneArgument
	fromArgument
)

func (cronNext) Definition(_ context.Context, _ function.DefinitionRequest, resp *function.DefinitionResponse) {
	resp.Definition = function.Definition{
		Summary: "Tells when a cron expression is due next.",
		MarkdownDescription: "Returns the first time after another one when a schedule is due (RFC 3339, UTC). What daylight saving " +
			"skips is due at the first moment after, once; what comes twice is due the first time. Where the minute or the hour is `*` " +
			"or `*/n`, runs follow elapsed time, as with cron since Vixie's.",
		Parameters: []function.Parameter{
			function.StringParameter{
				Name: "expr",
				MarkdownDescription: "Five fields: minute, hour, day of month, month, day of week (0 and 7 are Sunday). When both days " +
					"are given, either is enough (crontab(5)).",
			},
			function.StringParameter{Name: "timezone", MarkdownDescription: "Name of the IANA database, such as `UTC` or `Europe/Berlin`."},
			function.StringParameter{
				Name:                "from",
				MarkdownDescription: "RFC 3339 time, such as that of `plantimestamp()`. A run that is due then does not count.",
			},
		},
		Return: function.StringReturn{},
	}
}

func (cronNext) Run(ctx context.Context, req function.RunRequest, resp *function.RunResponse) {
	var expression, timezone, from string
	if resp.Error = req.Arguments.Get(ctx, &expression, &timezone, &from); resp.Error != nil {
		return
	}
	cron, err := backup.ParseCron(expression, timezone)
	if err != nil {
		argument := int64(expressionArgument)
		if found, ok := errors.AsType[problem.Error](err); ok && found.Attribute() == "timezone" {
			argument = timezoneArgument
		}
		resp.Error = function.NewArgumentFuncError(argument, err.Error()+".")
		return
	}
	start, err := time.Parse(time.RFC3339, from)
	if err != nil {
		resp.Error = function.NewArgumentFuncError(fromArgument, fmt.Sprintf("%q is no RFC 3339 time, such as 2026-01-31T03:00:00Z.", from))
		return
	}
	next := cron.Next(start)
	if next.IsZero() {
		resp.Error = function.NewArgumentFuncError(fromArgument,
			fmt.Sprintf("%q is not due after %s within the years that can be looked at.", expression, from))
		return
	}
	resp.Error = resp.Result.Set(ctx, next.UTC().Format(time.RFC3339))
}
