// Package program is what the project's commands share: they run until they have ended, or are told to end.
package program

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Main runs a command with what its process was given, until an interrupt or SIGTERM. It exits with 1 after an error, whose text goes to
// standard error.
func Main(name string, run func(ctx context.Context, arguments []string, getenv func(string) string, log io.Writer) error) {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Getenv, os.Stderr)
	cancel()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, name+":", err)
		os.Exit(1)
	}
}

// Texts is for a flag that may be given several times.
func Texts(all *[]string) func(string) error {
	return func(text string) error {
		*all = append(*all, text)
		return nil
	}
}
