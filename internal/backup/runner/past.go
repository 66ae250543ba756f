package runner

import (
	"context"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/object"
)

// open opens the store that the source names, as it is, or as it was.
func (s Source) open(ctx context.Context) (*object.Store, error) {
	if s.AsOf != nil {
		return object.OpenAsOf(ctx, *s.Destination, *s.AsOf)
	}
	return object.Open(ctx, *s.Destination)
}
