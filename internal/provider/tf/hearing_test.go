package tf

import (
	"testing"
)

// One slot of Terraform's is left free by those who wait, whoever they are.
func TestSomeoneIsLeftToEndTheWait(t *testing.T) {
	t.Parallel()
	var w Walk
	for range slots() - 1 {
		if _, may := w.Wait(); !may {
			t.Fatal("nobody else waits")
		}
	}
	if _, may := w.Wait(); may {
		t.Error("the last slot is taken")
	}
	if fate := w.Fate(t.Context(), "team", "id", ClaimOf("team", "slug", "", "x")); fate != Unclear {
		t.Errorf("got %v of an object that was never heard of, and cannot be waited for", fate)
	}
}
