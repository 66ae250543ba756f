package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// What could be done without is asked again after an error, but not after no answer.
func TestAsk(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err   error
		again bool
	}{
		"an answer":         {nil, true},
		"an error":          {errors.New("of one value"), true},
		"no row":            {postgres.ErrNotFound, true},
		"no server":         {&postgres.ConfigError{Attribute: "host"}, false},
		"no table":          {fmt.Errorf("%w (table)", postgres.ErrNotMigrated), false},
		"no answer in time": {context.DeadlineExceeded, false},
	} {
		var question postgres.Question
		asked := 0
		ask := func() error {
			_, err := postgres.Ask(t.Context(), &question, func(ctx context.Context) (bool, error) {
				if _, bound := ctx.Deadline(); !bound {
					t.Errorf("%s: it is waited for without an end", name)
				}
				asked++
				return true, c.err
			})
			return err
		}
		if err := ask(); !errors.Is(err, c.err) {
			t.Errorf("%s: %v", name, err)
		}
		if err := ask(); (asked == 2) != c.again || !c.again && err == nil {
			t.Errorf("%s: asked %d times, %v", name, asked, err)
		}
	}
}
