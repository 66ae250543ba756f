package benchmark

import (
	"context"
	"slices"
	"testing"
	"time"
)

func TestRounds(t *testing.T) {
	var order []string
	contender := func(name string, took ...time.Duration) Contender {
		return Contender{Name: name, Round: func(_ context.Context, round int) ([]time.Duration, error) {
			order = append(order, name)
			return []time.Duration{took[round], 7}, nil
		}}
	}
	all, err := Rounds(t.Context(), 1, 3, contender("a", 100, 3, 1, 2), contender("b", 100, 6, 2, 4))
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"a", "b", "b", "a", "a", "b", "b", "a"}; !slices.Equal(order, want) {
		t.Errorf("the order is %q, and not %q", order, want)
	}
	if a, b := all[0][0], all[1][0]; !slices.Equal(a, Series{3, 1, 2}) || b.Median() != 4 || b.Percentile95() != 6 || b.Ratio(a) != 2 {
		t.Errorf("the figures are %v and %v", a, b)
	}
	if !slices.Equal(all[1][1], Series{7, 7, 7}) {
		t.Errorf("the second figure is %v", all[1][1])
	}
}
