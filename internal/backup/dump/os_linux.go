package dump

import (
	"errors"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// inMemory is a file that no disk ever holds.
func inMemory(content []byte) (*os.File, error) {
	descriptor, err := unix.MemfdCreate("schema", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(descriptor), "schema")
	if _, err := file.Write(content); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	_, err = file.Seek(0, io.SeekStart)
	return file, err
}

// endsWithUs has a process end when this one does, whatever becomes of it.
func endsWithUs(attributes *syscall.SysProcAttr) { attributes.Pdeathsig = syscall.SIGQUIT }
