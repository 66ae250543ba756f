package artifact

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/object"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// Reader reads the parts of a backup.
type Reader struct {
	Store      *object.Store
	Manifest   Manifest
	Identities []age.Identity
}

// Part opens a part and returns what was written. A piece that is damaged or missing is an error, at the latest at its end: who has read
// to io.EOF has read what was written.
func (r Reader) Part(ctx context.Context, name string) (io.ReadCloser, error) {
	part, ok := r.Manifest.Part(name)
	if !ok {
		return nil, problem.New(fmt.Sprintf("backup %s has no part %s", r.Manifest.ID, name), "").Because(problem.ErrNotFound)
	}
	pieces := &pieceReader{ctx: ctx, r: r, left: part.Pieces}
	decrypted, err := age.Decrypt(pieces, r.Identities...)
	if err != nil {
		return nil, errors.Join(r.explain(ctx, part, pieces, err), pieces.Close())
	}
	plain, err := zstd.NewReader(decrypted, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8<<20))
	if err != nil {
		return nil, errors.Join(err, pieces.Close())
	}
	return &partReader{plain, pieces, r, part, 0}, nil
}

func (r Reader) explain(ctx context.Context, part Part, pieces *pieceReader, err error) error {
	if pieces.err != nil {
		return pieces.err // It says more than what decryption makes of it.
	}
	var noMatch *age.NoIdentityMatchError
	if errors.As(err, &noMatch) {
		// So it looks, too, where it is damaged.
		if damage := r.checkPart(ctx, part); damage != nil {
			return damage
		}
		return problem.New(fmt.Sprintf("backup %s is not encrypted for any of the identities at hand", r.Manifest.ID),
			"Name the file that holds an identity of one of the schedule's recipients at that time").Because(err)
	}
	return damaged(Folder(r.Manifest.Schedule, r.Manifest.ID)+part.Name, r.Store, "cannot be decrypted: "+err.Error())
}

type partReader struct {
	plain  *zstd.Decoder
	pieces *pieceReader
	r      Reader
	part   Part
	n      int64
}

func (p *partReader) Read(content []byte) (int, error) {
	n, err := p.plain.Read(content)
	p.n += int64(n)
	switch {
	case err == nil:
	case !errors.Is(err, io.EOF):
		err = p.r.explain(p.pieces.ctx, p.part, p.pieces, err)
	case p.pieces.err != nil:
		err = p.pieces.err
	case p.n != p.part.PlainBytes:
		err = damaged(Folder(p.r.Manifest.Schedule, p.r.Manifest.ID)+p.part.Name, p.r.Store,
			fmt.Sprintf("has %d bytes instead of %d", p.n, p.part.PlainBytes))
	}
	return n, err
}

func (p *partReader) Close() error {
	p.plain.Close()
	return p.pieces.Close()
}

// Check reads all objects of the backup again and compares them with the manifest. It needs no identity.
func (r Reader) Check(ctx context.Context) error {
	for _, part := range r.Manifest.Parts {
		if err := r.checkPart(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

func (r Reader) checkPart(ctx context.Context, part Part) error {
	pieces := &pieceReader{ctx: ctx, r: r, left: part.Pieces}
	_, err := io.Copy(io.Discard, pieces)
	return errors.Join(err, pieces.Close())
}

// pieceReader joins the pieces of a part, and compares each with its checksum.
type pieceReader struct {
	ctx  context.Context //nolint:containedctx // that of the one Part
	r    Reader
	left []File

	open io.ReadCloser
	sum  hash.Hash
	n    int64
	err  error
}

func (p *pieceReader) Read(content []byte) (int, error) {
	for p.err == nil {
		if p.open == nil {
			if len(p.left) == 0 {
				return 0, io.EOF
			}
			if p.open, p.err = p.r.Store.Read(p.ctx, p.key()); p.err != nil {
				break
			}
			p.sum, p.n = sha256.New(), 0
		}
		n, err := p.open.Read(content)
		p.sum.Write(content[:n])
		p.n += int64(n)
		switch {
		case errors.Is(err, io.EOF):
			p.err = p.end()
		case err != nil:
			p.err = err
		}
		if n > 0 {
			return n, p.err
		}
	}
	return 0, p.err
}

func (p *pieceReader) key() string {
	return Folder(p.r.Manifest.Schedule, p.r.Manifest.ID) + p.left[0].Name
}

func (p *pieceReader) end() error {
	want := p.left[0]
	if p.n != want.Bytes {
		return damaged(p.key(), p.r.Store, fmt.Sprintf("has %d bytes instead of %d", p.n, want.Bytes))
	}
	if hex.EncodeToString(p.sum.Sum(nil)) != want.SHA256 {
		return damaged(p.key(), p.r.Store, "has another SHA-256 than the manifest says")
	}
	err := p.open.Close()
	p.open, p.left = nil, p.left[1:]
	return err
}

func (p *pieceReader) Close() error {
	if p.open == nil {
		return nil
	}
	return p.open.Close()
}
