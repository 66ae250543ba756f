// Package program is what the project's commands share: they run until they have ended, or are told to end.
package program

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Main runs a command with what its process was given, until an interrupt or SIGTERM. After an error, whose text goes to
// standard error, it exits with 1, or with the error's ExitCode.
func Main(name string, run func(ctx context.Context, arguments []string, getenv func(string) string, log io.Writer) error) {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Getenv, os.Stderr)
	cancel()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, name+":", err)
		code := 1
		if coded, ok := errors.AsType[interface {
			error
			ExitCode() int
		}](err); ok {
			code = coded.ExitCode()
		}
		os.Exit(code)
	}
}

// Serve answers on an address until it is told to stop.
func Serve(ctx context.Context, address string, handler http.Handler, log *slog.Logger) (stop func(), err error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(listener) }() // It ends when the listener is closed.
	log.Info("Listening", "address", listener.Addr().String())
	return func() { _ = server.Close() }, nil
}

// Texts is for a flag that may be given several times.
func Texts(all *[]string) func(string) error {
	return func(text string) error {
		*all = append(*all, text)
		return nil
	}
}
