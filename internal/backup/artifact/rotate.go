package artifact

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/object"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// Rotated says that a backup was encrypted again, for other recipients.
type Rotated struct {
	At time.Time `json:"at"`
	// From is the SHA-256 of the manifest that it had before.
	From string `json:"from"`
}

// pieceSuffix is between the name of a part and what tells its pieces apart.
const pieceSuffix = ".zst.age"

// Names are the recipients' public keys, in order. One that has no text is not told.
func Names(recipients []age.Recipient) []string {
	var names []string
	for _, each := range recipients {
		if named, ok := each.(fmt.Stringer); ok {
			names = append(names, named.String())
		}
	}
	slices.Sort(names)
	return names
}

// For tells whether the backup is encrypted for exactly these recipients. Of one whose manifest does not say it, nobody knows.
func (m Manifest) For(recipients []age.Recipient) bool {
	return slices.Equal(m.Recipients, Names(recipients))
}

// NewRotation begins to write a backup again, beside what there is of it: its pieces have names that none had before.
func NewRotation(m Manifest, recipients []age.Recipient, copies []*Copy) *Writer {
	w := NewWriter(m.Schedule, m.ID, recipients, copies)
	w.generation = "." + strings.ToLower(rand.Text()[:6])
	return w
}

// Rotate writes again what a backup holds, and commits it. What was compressed stays as it is. A piece that is damaged is an error.
func (w *Writer) Rotate(ctx context.Context, from Reader, sum string) (Manifest, string, error) {
	for _, part := range from.Manifest.Parts {
		err := w.encrypt(ctx, part.Name, func(encrypted io.Writer) (int64, error) {
			return part.PlainBytes, from.copyCompressed(ctx, part, encrypted)
		})
		if err != nil {
			return Manifest{}, "", err
		}
	}
	m := from.Manifest
	m.Rotated = &Rotated{At: time.Now().UTC(), From: sum}
	return w.Commit(ctx, m)
}

// copyCompressed writes a part as it is when it is decrypted. It succeeds only when all pieces are what the manifest says.
func (r Reader) copyCompressed(ctx context.Context, part Part, to io.Writer) (err error) {
	pieces := &pieceReader{ctx: ctx, r: r, left: part.Pieces}
	defer func() { err = errors.Join(err, pieces.Close()) }()
	decrypted, err := age.Decrypt(pieces, r.Identities...)
	if err != nil {
		return r.explain(ctx, part, pieces, err)
	}
	written := &counter{w: to}
	if _, err := io.Copy(written, decrypted); err != nil {
		if written.err != nil {
			return written.err
		}
		return r.explain(ctx, part, pieces, err)
	}
	// The end of what is encrypted need not be that of the last piece, whose checksum is known there.
	_, err = io.Copy(io.Discard, pieces)
	return err
}

// readNewest reads those of several manifests that can be read. All have to be of the same backup, encrypted at other times.
func readNewest(ctx context.Context, store *object.Store, schedule, id string, sums []string) (newest Manifest, sum string, err error) {
	var failed []error
	for _, each := range sums {
		m, err := readOne(ctx, store, schedule, id, each)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		if sum != "" && !sameContent(m, newest) {
			return m, "", problem.New(fmt.Sprintf("backup %s in %s has %d manifests of different content", id, store, len(sums)),
				"A run writes one. Remove those that somebody else has put there")
		}
		if sum == "" || m.Rotated != nil && (newest.Rotated == nil || m.Rotated.At.After(newest.Rotated.At)) {
			newest, sum = m, each
		}
	}
	if sum == "" {
		return newest, "", errors.Join(failed...)
	}
	return newest, sum, nil
}

// sameContent tells whether two manifests differ in nothing but what a rotation changes.
func sameContent(a, b Manifest) bool {
	plain := func(m Manifest) []byte {
		m.Recipients, m.Rotated, m.Parts = nil, nil, slices.Clone(m.Parts)
		for i := range m.Parts {
			m.Parts[i].Pieces = nil
		}
		text, _, _ := m.encode() // It has been read from such a text.
		return text
	}
	return bytes.Equal(plain(a), plain(b))
}

// Mixed tells that there is more than one manifest, or more than one writing of pieces: a rotation was interrupted, or could not remove
// what it replaced.
func (f Found) Mixed() bool {
	manifests, writings := 0, map[string]bool{}
	for _, key := range f.Keys {
		if _, is := isManifest(key); is {
			manifests++
		} else if _, piece, is := strings.Cut(path.Base(key), pieceSuffix); is {
			writings[strings.TrimSuffix(piece, path.Ext(piece))] = true
		}
	}
	return manifests > 1 || len(writings) > 1
}

// Has tells whether the manifest with the checksum is there.
func (f Found) Has(sum string) bool {
	return slices.ContainsFunc(f.Keys, func(key string) bool {
		named, is := isManifest(key)
		return is && named == sum
	})
}

// Beside is what is there beside a backup: what its manifest does not name. Where that is missing, it is nothing.
func (f Found) Beside(m Manifest, sum string) Found {
	others := Found{ID: f.ID, ModifiedAt: f.ModifiedAt}
	if !f.Has(sum) {
		return others
	}
	folder := Folder(m.Schedule, m.ID)
	named := map[string]bool{folder + manifestPrefix + sum + manifestSuffix: true}
	for _, part := range m.Parts {
		for _, piece := range part.Pieces {
			named[folder+piece.Name] = true
		}
	}
	for _, key := range f.Keys {
		if !named[key] {
			others.Keys = append(others.Keys, key)
		}
	}
	return others
}
