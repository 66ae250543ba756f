package migrate

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func TestWordsOfErrors(t *testing.T) {
	t.Parallel()
	_, err := Source{catalog: "1-\ttable\n"}.expected(1)
	if err == nil || strings.Contains(err.Error(), "%!") {
		t.Errorf("an unreadable catalog: %v", err)
	}
	if objects, err := (Source{catalog: "1-\ttable\tpublic.a\t\n2-3\tindex\tpublic.a\tb\n"}).expected(4); err != nil || len(objects) != 1 {
		t.Errorf("got %v, %v", objects, err)
	}
	down := failedStepError{migration: Migration{Name: "0002_b.sql", transaction: true}, down: true, cause: errors.New("no"), current: 2}
	if text := stepError(down).Error(); text != "the down step of migration 0002_b.sql failed: no. Nothing of 0002_b.sql was done. "+
		"The database stays at version 2; repair the cause and apply again" {
		t.Errorf("got %q", text)
	}
	down.cause = context.Canceled
	if text := stepError(down).Error(); !strings.HasPrefix(text, "the down step of migration 0002_b.sql was interrupted. ") ||
		strings.Contains(text, "repair") {
		t.Errorf("got %q", text)
	}
}
