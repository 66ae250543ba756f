package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// pgbackrestPushCommand is PostgreSQL's archive_command. It hands over a name alone: what encrypts the segment stays with the runner.
// pgBackRest refuses a server whose archive_command does not name it.
func (s *settings) pgbackrestPushCommand() *cobra.Command {
	socket := ""
	c := &cobra.Command{
		Use: "pgbackrest-push --socket PATH SEGMENT", Short: "Has a running `serve` archive a segment of the write-ahead log",
		Args: cobra.ExactArgs(1),
		Long: "Has a running `serve --archive-socket PATH` archive a segment of the write-ahead log. It is PostgreSQL's archive_command: " +
			"`archive_command = 'brownie-backup pgbackrest-push --socket PATH %p'`. It ends with 0 when the segment is in the archive " +
			"of each schedule of engine pgbackrest; else the server keeps the segment and tries again.",
		RunE: func(c *cobra.Command, arguments []string) error {
			if socket == "" {
				return coded{errors.New("name the socket with --socket"), exitUsage}
			}
			err := pushSegment(c.Context(), socket, filepath.Base(arguments[0]))
			if err != nil {
				return coded{err, exitRetryable}
			}
			return nil
		},
	}
	c.Flags().StringVar(&socket, "socket", "", "unix socket on which `serve` waits for segments")
	return c
}

func pushSegment(ctx context.Context, socket, segment string) error {
	answer, err := ask(ctx, http.MethodPut, socket, segment)
	if err != nil {
		return fmt.Errorf("the runner does not answer on %s: is `brownie-backup serve --archive-socket` running? %w", socket, err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode == http.StatusNoContent {
		return nil
	}
	return said(answer)
}

// ask sends a request without content about a segment to a unix socket.
func ask(ctx context.Context, method, socket, segment string) (*http.Response, error) {
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	request, err := http.NewRequestWithContext(ctx, method, "http://runner/"+url.PathEscape(segment), http.NoBody)
	if err != nil {
		return nil, err
	}
	return client.Do(request)
}

func said(answer *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(answer.Body, 4096)) // What there is of it will do.
	return errors.New(strings.TrimSpace(string(text)))
}

// What pgbackrest-get ends with. PostgreSQL takes 1 for the end of the log, and ends the recovery at more than 125 (manual, section
// 26.3.6).
const (
	exitEndOfLog = 1
	exitGiveUp   = 200
)

// pgbackrestGetCommand is the restore_command of a server that the runner recovers.
func (s *settings) pgbackrestGetCommand() *cobra.Command {
	return &cobra.Command{
		Use: "pgbackrest-get SOCKET SEGMENT FILE", Hidden: true, Args: cobra.ExactArgs(3),
		Short: "Fetches a segment of the write-ahead log for a server that the runner recovers",
		RunE: func(c *cobra.Command, arguments []string) error {
			answer, err := ask(c.Context(), http.MethodGet, arguments[0], arguments[1])
			if err != nil {
				return coded{err, exitGiveUp}
			}
			defer func() { _ = answer.Body.Close() }()
			switch answer.StatusCode {
			case http.StatusOK:
			case http.StatusNotFound:
				return coded{errors.New("there is no segment " + arguments[1]), exitEndOfLog}
			default:
				return coded{said(answer), exitGiveUp}
			}
			file, err := os.OpenFile(arguments[2], os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
			if err == nil {
				_, err = io.Copy(file, answer.Body)
				err = errors.Join(err, file.Sync(), file.Close())
			}
			if err != nil {
				return coded{err, exitGiveUp}
			}
			return nil
		},
	}
}

// serveArchive listens on a unix socket that only this user and group may write to, until it is stopped.
func serveArchive(ctx context.Context, socket string, handler http.Handler, log *slog.Logger) (stop func(), err error) {
	// Another runner's would still answer.
	if conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket); err == nil {
		_ = conn.Close()
		return nil, fmt.Errorf("another process listens on %s already", socket)
	}
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(socket, 0o660); err != nil { //nolint:gosec // The server may run as another user of the group.
		return nil, errors.Join(err, listener.Close())
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		if err := server.Serve(listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
			log.Error("The socket for segments is closed", "problem", err)
		}
	}()
	return func() {
		// A segment that is on its way arrives.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		_ = server.Shutdown(ctx)
	}, nil
}
