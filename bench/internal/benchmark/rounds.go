package benchmark

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Contender is one of those that are compared. Round runs it once and returns its figures, of which each contender has the
// same ones.
type Contender struct {
	Name  string
	Round func(ctx context.Context, round int) ([]time.Duration, error)
}

// Timed is a round whose only figure is how long something takes.
func Timed(run func() error) ([]time.Duration, error) {
	began := time.Now()
	err := run()
	return []time.Duration{time.Since(began)}, err
}

// Series is one figure of one contender in all rounds.
type Series []time.Duration

// Median is what is compared.
func (s Series) Median() time.Duration { return s.percentile(50) }

// Percentile95 shows how much single rounds vary.
func (s Series) Percentile95() time.Duration { return s.percentile(95) }

func (s Series) percentile(percent int) time.Duration {
	sorted := slices.Sorted(slices.Values(s))
	return sorted[min(len(sorted)*percent/100, len(sorted)-1)]
}

// Ratio is that of the medians.
func (s Series) Ratio(to Series) float64 { return float64(s.Median()) / float64(to.Median()) }

// Rounds lets the contenders take turns, and returns all figures of each in their order. Who comes first changes from round to
// round, so that whatever else the machine does hits all of them alike. The first rounds warm up and do not count.
func Rounds(ctx context.Context, warmUp, rounds int, contenders ...Contender) ([][]Series, error) {
	all := make([][]Series, len(contenders))
	for round := range warmUp + rounds {
		for turn := range contenders {
			i := (round + turn) % len(contenders)
			figures, err := contenders[i].Round(ctx, round)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", contenders[i].Name, err)
			}
			if round < warmUp {
				continue
			}
			if all[i] == nil {
				all[i] = make([]Series, len(figures))
			}
			for figure, value := range figures {
				all[i][figure] = append(all[i][figure], value)
			}
		}
	}
	return all, nil
}
