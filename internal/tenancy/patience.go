package tenancy

import (
	"context"
	"errors"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/patience"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// patient makes a change of the row with the ID, which is empty for a new one, and repeats it for as long as [Store.Patience] says
// while another row has one of its values, or a limit is reached: then alone, since what is in its way is in nobody else's.
func patient[T any](ctx context.Context, s *Store, noun, id string, change func(alone bool) (T, error)) (T, error) {
	alone := false
	return patience.Change(ctx, &s.Patience, noun, id, func() (T, error) {
		changed, err := change(alone)
		alone = true
		return changed, err
	}, inTheWay)
}

// inTheWay tells whether an error may pass by itself, and which row has the value, if one has.
func inTheWay(err error) (o patience.Obstacle, passing bool) {
	var (
		taken *DuplicateError
		limit *LimitError
	)
	_, code := postgres.Constraint(err)
	switch {
	case errors.As(err, &taken):
		return taken.obstacle(), taken.DeletedAt == nil
	case errors.As(err, &limit), code == postgres.CodeUniqueViolation, errors.Is(err, errPassed),
		errors.Is(err, errHeldBack):
		return patience.Obstacle{}, true
	}
	return patience.Obstacle{}, false
}

func (e *DuplicateError) obstacle() patience.Obstacle {
	return patience.Obstacle{Holder: e.Existing.ID, Attribute: e.Attribute(), Value: e.what, Cause: e}
}
