//go:build !linux

package dump

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// inMemory is a file without a name.
func inMemory(content []byte) (*os.File, error) {
	file, err := os.CreateTemp("", "schema-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if _, err := file.Write(content); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	_, err = file.Seek(0, io.SeekStart)
	return file, err
}

func endsWithUs(*syscall.SysProcAttr) {}
