package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
)

// audit is the file that Vault's audit device writes. Vault answers no request before its line is written, so that the file
// is complete when a client has ended.
type audit string

// size is where the next line begins.
func (a audit) size() (int64, error) {
	info, err := os.Stat(string(a))
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// counts are numbers of requests by kind.
type counts map[string]int

func (c counts) total() int {
	total := 0
	for _, n := range c {
		total += n
	}
	return total
}

// since counts the requests that were written from an offset on. A request that is sent again counts again.
func (a audit) since(offset int64) (counts, error) {
	file, err := os.Open(string(a))
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	if _, err := file.Seek(offset, io.SeekStart); err != nil {
		return nil, err
	}
	found := counts{}
	for lines := json.NewDecoder(file); ; {
		var entry struct {
			Type    string
			Request struct{ Operation, Path string }
		}
		if err := lines.Decode(&entry); errors.Is(err, io.EOF) {
			return found, nil
		} else if err != nil {
			return nil, err
		}
		if entry.Type == "request" { // There is another one for the answer.
			found[kind(entry.Request.Operation, entry.Request.Path)]++
		}
	}
}

// kind leaves out of a request's path what differs from certificate to certificate.
func kind(operation, path string) string {
	if parts := strings.SplitN(path, "/", 3); len(parts) == 3 && operation != "list" {
		path = parts[0] + "/" + parts[1] + "/…"
	}
	return operation + " " + path
}
