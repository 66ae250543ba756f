package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/runner"
)

const asOfUsage = "read the store of --from as it was at this time, such as 2026-11-27T21:00:00Z: what was deleted or written since " +
	"counts for nothing; for s3:// with versions"

// storeSource is a store, as --from, --schedule and --as-of say.
func storeSource(from, schedule, asOf string) (source runner.Source, err error) {
	destination, err := backup.ParseDestination(from)
	if err != nil {
		return source, err
	}
	source = runner.Source{Destination: &destination, Schedule: schedule}
	if schedule == "" {
		return source, errors.New("name the schedule with --schedule")
	}
	if asOf == "" {
		return source, nil
	}
	at, err := time.Parse(time.RFC3339, asOf)
	switch {
	case err != nil:
		return source, fmt.Errorf("--as-of is %q; give date, time and time zone, such as 2026-11-27T21:00:00Z or "+
			"2026-11-27T22:00:00+01:00", asOf)
	case at.After(time.Now()):
		return source, fmt.Errorf("--as-of %s is still to come; leave it out for what is there now", asOf)
	}
	source.AsOf = &at
	return source, nil
}

var errAsOfWhere = errors.New("--as-of is for a store: name it with --from")
