package artifact

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/object"
)

// PieceBytes is where a part goes on in another object. Stores limit how long one can be; memory does not depend on it.
const PieceBytes = 4 << 30

// Copy is where a backup is written to, and why it is not, if so.
type Copy struct {
	Store *object.Store
	Err   error
}

// Writer writes a backup to several stores at once. One that fails is left out from then on; when none is left, writing fails.
type Writer struct {
	folder     string
	generation string // what names of pieces have more than those of the first writing
	recipients []age.Recipient
	pieceBytes int64
	// Throttle is asked before that many bytes are sent, and may wait. nil means that nothing waits.
	Throttle func(ctx context.Context, bytes int) error

	mu     sync.Mutex
	copies []*Copy
	parts  []Part
	sent   int64
}

// NewWriter begins a backup. What is written is for those who hold an identity of a recipient, and nobody else.
func NewWriter(schedule, id string, recipients []age.Recipient, copies []*Copy) *Writer {
	return &Writer{folder: Folder(schedule, id), recipients: recipients, pieceBytes: PieceBytes, copies: copies}
}

// Sent is how many bytes have been sent to each store.
func (w *Writer) Sent() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sent
}

// WritePart writes what write produces as one part. Parts may be written at the same time.
func (w *Writer) WritePart(ctx context.Context, name string, write func(io.Writer) error) error {
	return w.encrypt(ctx, name, func(encrypted io.Writer) (plainBytes int64, err error) {
		// One goroutine compresses; a window of 4 MiB bounds what it and a reader need.
		compressed, err := zstd.NewWriter(encrypted, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(4<<20))
		if err != nil {
			return 0, err
		}
		plain := &counter{w: compressed}
		if err := write(plain); err != nil {
			return 0, err
		}
		return plain.n, compressed.Close()
	})
}

// encrypt writes as one part what write produces, which is compressed already.
func (w *Writer) encrypt(ctx context.Context, name string, write func(io.Writer) (plainBytes int64, err error)) error {
	// An upload whose context has ended leaves nothing.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	pieces := &pieceWriter{ctx: ctx, w: w, name: name + pieceSuffix + w.generation}
	if err := w.encryptTo(name, pieces, write); err != nil {
		cancel()
		pieces.abandon()
		// What the stores said is more than what compression and encryption make of it.
		return cmp.Or(w.noneLeft(), err)
	}
	return nil
}

func (w *Writer) encryptTo(name string, pieces *pieceWriter, write func(io.Writer) (int64, error)) error {
	encrypted, err := age.Encrypt(pieces, w.recipients...)
	if err != nil {
		return err
	}
	plainBytes, err := write(encrypted)
	if err != nil {
		return err
	}
	if err := errors.Join(encrypted.Close(), pieces.Close()); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.parts = append(w.parts, Part{Name: name, PlainBytes: plainBytes, Pieces: pieces.done})
	return nil
}

// Commit writes the manifest, which makes the backup exist, to each store that has all parts. It fails when none has.
func (w *Writer) Commit(ctx context.Context, m Manifest) (Manifest, string, error) {
	m.Format, m.Parts, m.Recipients = Format, w.parts, Names(w.recipients)
	text, sum, err := m.encode()
	if err != nil {
		return m, "", err
	}
	for _, c := range w.live() {
		w.fail(c, c.Store.Put(ctx, w.folder+manifestPrefix+sum+manifestSuffix, text))
	}
	return m, sum, w.noneLeft()
}

// live are the copies that have not failed.
func (w *Writer) live() (live []*Copy) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.copies {
		if c.Err == nil {
			live = append(live, c)
		}
	}
	return live
}

// fail leaves out a copy.
func (w *Writer) fail(c *Copy, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.Err == nil {
		c.Err = err
	}
}

// noneLeft is the error of the first copy when all have failed.
func (w *Writer) noneLeft() error {
	if len(w.live()) > 0 {
		return nil
	}
	return w.copies[0].Err
}

// pieceWriter cuts a stream into objects, each of which goes to all stores.
type pieceWriter struct {
	ctx  context.Context //nolint:containedctx // that of the one WritePart
	w    *Writer
	name string

	open map[*Copy]io.WriteCloser
	sum  hash.Hash
	n    int64
	done []File
}

func (p *pieceWriter) Write(content []byte) (written int, err error) {
	for len(content) > 0 {
		if p.sum == nil {
			p.begin()
		}
		n := int(min(int64(len(content)), p.w.pieceBytes-p.n))
		if err := p.send(content[:n]); err != nil {
			return written, err
		}
		written, content = written+n, content[n:]
		if p.n == p.w.pieceBytes {
			if err := p.end(); err != nil {
				return written, err
			}
		}
	}
	return written, nil
}

func (p *pieceWriter) pieceName() string { return fmt.Sprintf("%s.%04d", p.name, len(p.done)) }

func (p *pieceWriter) begin() {
	p.open, p.sum, p.n = map[*Copy]io.WriteCloser{}, sha256.New(), 0
	for _, c := range p.w.live() {
		o, err := c.Store.Create(p.ctx, p.w.folder+p.pieceName())
		if err != nil {
			p.w.fail(c, err)
			continue
		}
		p.open[c] = o
	}
}

func (p *pieceWriter) send(content []byte) error {
	if p.w.Throttle != nil {
		if err := p.w.Throttle(p.ctx, len(content)); err != nil {
			return err
		}
	}
	p.sum.Write(content)
	p.n += int64(len(content))
	for c, o := range p.open {
		if _, err := o.Write(content); err != nil {
			p.w.fail(c, err)
			_ = o.Close() // It has failed.
			delete(p.open, c)
		}
	}
	p.w.mu.Lock()
	p.w.sent += int64(len(content))
	p.w.mu.Unlock()
	return errors.Join(p.ctx.Err(), p.w.noneLeft())
}

func (p *pieceWriter) end() error {
	for c, o := range p.open {
		if err := o.Close(); err != nil {
			p.w.fail(c, err)
		}
	}
	p.done = append(p.done, File{Name: p.pieceName(), Bytes: p.n, SHA256: hex.EncodeToString(p.sum.Sum(nil))})
	p.open, p.sum = nil, nil
	return p.w.noneLeft()
}

// abandon lets go of uploads whose context has ended, of which nothing is left.
func (p *pieceWriter) abandon() {
	for _, o := range p.open {
		_ = o.Close()
	}
}

// Close ends the last piece. Nothing at all is a piece, too.
func (p *pieceWriter) Close() error {
	if p.sum == nil && len(p.done) > 0 {
		return nil
	}
	if p.sum == nil {
		p.begin()
	}
	return p.end()
}

type counter struct {
	w   io.Writer
	n   int64
	err error
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	c.err = err
	return n, err
}
