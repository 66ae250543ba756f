// Command ledger writes rows, remembers which were acknowledged, and tells in the end how long nothing was, and what is missing.
// It runs as a pod of the tests, which inject a fault meanwhile.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Report is what it prints as its last line.
type Report struct {
	// Gaps are the longest times, in seconds, in which a client got nothing acknowledged: one for each client.
	Gaps []float64 `json:"gaps"`
	// Acknowledged, Lost and Extra count rows. Extra ones were written although nobody was told.
	Acknowledged int `json:"acknowledged"`
	Lost         int `json:"lost"`
	Extra        int `json:"extra"`
	// Split counts rows that a former leader acknowledged when the next one had done so already.
	Split int `json:"split"`
	// Unread is the longest time, in seconds, in which a reader got no answer: one for each.
	Unread []float64 `json:"unread"`
	// Failures counts what the clients were told from when they ran, by SQLSTATE.
	Failures map[string]int `json:"failures"`
}

// deadline is how long a client waits for a connection and a row.
const deadline = time.Second

type client struct {
	connection, run string
	number          int
	acknowledged    map[int64]bool
	gap             time.Duration
	failures        map[string]int
	// timeline is the newest that acknowledged anybody's row. Patroni begins one with each leader.
	timeline *atomic.Int64
	split    int
}

func main() {
	connection := flag.String("connection", "", "how to connect, as a URL or keywords")
	run := flag.String("run", "", "name of the run")
	lasts := flag.Duration("for", 20*time.Second, "how long to write")
	clients := flag.Int("clients", 4, "how many clients write at a time")
	rest := flag.Duration("pause", 0, "how long each rests after a row")
	members := flag.String("members", "", "members whom a client each asks to write, too, whoever leads; with commas between")
	memberConnection := flag.String("member", "", "how to connect to a member, with %s for its host")
	var timeline atomic.Int64
	var all, watching, reading []*client
	flag.Func("read", "how to connect to where a client reads meanwhile; may be repeated", func(connection string) error {
		reading = append(reading, newClient(connection, *run, 0, &timeline))
		return nil
	})
	flag.Parse()
	ctx := context.Background()
	for i := range *clients {
		all = append(all, newClient(*connection, *run, i, &timeline))
	}
	for host := range strings.FieldsFuncSeq(*members, func(r rune) bool { return r == ',' }) {
		watching = append(watching, newClient(fmt.Sprintf(*memberConnection, host), *run, len(all)+len(watching), &timeline))
	}
	report, err := measure(ctx, all, watching, reading, *rest, *lasts)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(report)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "ledger:", err)
		os.Exit(1)
	}
}

func newClient(connection, run string, number int, timeline *atomic.Int64) *client {
	return &client{
		connection: connection, run: run, number: number, acknowledged: map[int64]bool{}, failures: map[string]int{}, timeline: timeline,
	}
}

// measure has all clients write. Of those that watch members, gaps and failures are no news.
func measure(ctx context.Context, all, watching, reading []*client, rest, lasts time.Duration) (Report, error) {
	var writing, ready sync.WaitGroup
	end := make(chan struct{})
	for _, c := range all {
		ready.Add(1)
		writing.Go(func() { c.write(ctx, rest, ready.Done, end) })
	}
	for _, c := range watching {
		writing.Go(func() { c.write(ctx, pause, func() {}, end) })
	}
	for _, c := range reading {
		ready.Add(1)
		writing.Go(func() { c.read(ctx, ready.Done, end) })
	}
	ready.Wait()
	fmt.Println("ready")
	time.Sleep(lasts)
	close(end)
	writing.Wait()
	report := Report{Failures: map[string]int{}}
	for _, c := range all {
		report.Gaps = append(report.Gaps, c.gap.Seconds())
		for state, n := range c.failures {
			report.Failures[state] += n
		}
	}
	for _, c := range reading {
		report.Unread = append(report.Unread, c.gap.Seconds())
	}
	for _, c := range append(all, watching...) {
		report.Acknowledged += len(c.acknowledged)
		report.Split += c.split
		// A member may be gone; the others have its rows.
		if err := c.check(ctx, all[0].connection, &report); err != nil {
			return report, err
		}
	}
	return report, nil
}

// pause is between two rows of a client that watches a member.
const pause = 100 * time.Millisecond

// steady is after how many rows a client counts as running.
const steady = 20

// write writes until the end, on a new connection after each failure.
func (c *client) write(ctx context.Context, pause time.Duration, ready func(), end <-chan struct{}) {
	var conn *pgx.Conn
	var last time.Time
	for n := int64(0); ; n++ {
		select {
		case <-end:
			c.gap = max(c.gap, time.Since(last))
			if conn != nil {
				_ = conn.Close(ctx)
			}
			return
		default:
		}
		time.Sleep(pause)
		var err error
		if conn, err = c.attempt(ctx, conn, n); err != nil {
			if len(c.acknowledged) >= steady {
				c.failures[state(err)]++
			}
			time.Sleep(20 * time.Millisecond)
			continue
		}
		now := time.Now()
		c.acknowledged[n] = true
		if len(c.acknowledged) == steady {
			ready()
			last = now // What it took to start does not count.
		}
		if len(c.acknowledged) > steady {
			c.gap = max(c.gap, now.Sub(last))
			last = now
		}
	}
}

// read reads until the end, on a new connection after each failure.
func (c *client) read(ctx context.Context, ready func(), end <-chan struct{}) {
	var conn *pgx.Conn
	var last time.Time
	for {
		select {
		case <-end:
			if !last.IsZero() {
				c.gap = max(c.gap, time.Since(last))
			}
			if conn != nil {
				_ = conn.Close(ctx)
			}
			return
		case <-time.After(pause):
		}
		var err error
		if conn, err = c.ask(ctx, conn); err != nil {
			continue
		}
		if last.IsZero() {
			ready()
		} else {
			c.gap = max(c.gap, time.Since(last))
		}
		last = time.Now()
	}
}

// ask reads once. It returns the connection to go on with, if any.
func (c *client) ask(ctx context.Context, conn *pgx.Conn) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	conn, err := c.connected(ctx, conn)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Exec(ctx, `SELECT * FROM public.ledger LIMIT 1`); err != nil {
		hangUp(ctx, conn)
		return nil, err
	}
	return conn, nil
}

// connected connects, unless that was done before.
func (c *client) connected(ctx context.Context, conn *pgx.Conn) (*pgx.Conn, error) {
	if conn != nil {
		return conn, nil
	}
	return pgx.Connect(ctx, c.connection)
}

// hangUp closes a connection on which nobody may answer.
func hangUp(ctx context.Context, conn *pgx.Conn) {
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Millisecond)
	defer cancel()
	_ = conn.Close(closing)
}

// attempt writes one row. It returns the connection to go on with, if any: a refusal keeps it.
func (c *client) attempt(ctx context.Context, conn *pgx.Conn, n int64) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	conn, err := c.connected(ctx, conn)
	if err != nil {
		return nil, err
	}
	newest, timeline := c.timeline.Load(), int64(0)
	const insertSQL = `INSERT INTO public.ledger (run, client, n) VALUES ($1, $2, $3)
		RETURNING ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::bigint`
	if err := conn.QueryRow(ctx, insertSQL, c.run, c.number, n).Scan(&timeline); err != nil {
		if _, refused := errors.AsType[*pgconn.PgError](err); refused && !conn.IsClosed() {
			return conn, err
		}
		hangUp(ctx, conn)
		return nil, err
	}
	if timeline < newest {
		c.split++
	}
	for newest < timeline && !c.timeline.CompareAndSwap(newest, timeline) {
		newest = c.timeline.Load()
	}
	return conn, nil
}

func state(err error) string {
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok {
		return refused.Code
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "deadline"
	}
	return "connection"
}

// check looks for each acknowledged row.
func (c *client) check(ctx context.Context, connection string, report *Report) error {
	var conn *pgx.Conn
	err := errors.New("not tried")
	for start := time.Now(); err != nil; time.Sleep(200 * time.Millisecond) {
		if conn, err = pgx.Connect(ctx, connection); err != nil && time.Since(start) > time.Minute {
			return fmt.Errorf("nobody answers who could be asked for the rows: %w", err)
		}
	}
	defer func() { _ = conn.Close(ctx) }()
	rows, err := conn.Query(ctx, `SELECT n FROM public.ledger WHERE run = $1 AND client = $2`, c.run, c.number)
	if err != nil {
		return err
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return err
	}
	kept := 0
	for _, n := range found {
		if c.acknowledged[n] {
			kept++
		}
	}
	report.Lost += len(c.acknowledged) - kept
	report.Extra += len(found) - kept
	return nil
}
