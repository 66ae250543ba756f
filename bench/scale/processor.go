package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// clockTick is the unit of the times in /proc/<pid>/stat on every architecture that Go runs on under Linux.
const clockTick = 10 * time.Millisecond

// serverPID is the process of the server that starts all others.
func serverPID(ctx context.Context, admin *pgx.Conn) (pid int, err error) {
	err = admin.QueryRow(ctx, `SELECT split_part(pg_read_file('postmaster.pid'), E'\n', 1)::integer`).Scan(&pid)
	return pid, err
}

// processorTime is what all processes of the server have used so far, those that have ended included. Connections that end
// hand their time over to the server's first process.
func processorTime(pid int) (time.Duration, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	var ticks int64
	for _, file := range stats {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // It has ended.
		}
		// The name in parentheses may contain blanks.
		_, rest, _ := bytes.Cut(text, []byte(") "))
		fields := strings.Fields(string(rest))
		own := filepath.Base(filepath.Dir(file)) == strconv.Itoa(pid)
		if len(fields) < 15 || !own && fields[1] != strconv.Itoa(pid) {
			continue
		}
		count := fields[11:13]
		if own {
			count = fields[11:15] // with those of children that have ended
		}
		for _, field := range count {
			n, err := strconv.ParseInt(field, 10, 64)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", file, err)
			}
			ticks += n
		}
	}
	return time.Duration(ticks) * clockTick, nil
}
