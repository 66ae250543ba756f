// Package object keeps what belongs to backups in a folder or in an object store. No object is ever overwritten.
package object

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"gocloud.dev/blob"
	_ "gocloud.dev/blob/azureblob" // opens azblob:// URLs
	"gocloud.dev/blob/fileblob"
	_ "gocloud.dev/blob/gcsblob" // opens gs:// URLs
	"gocloud.dev/blob/s3blob"
	"gocloud.dev/gcerrors"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// What one upload keeps in memory: parts of that size, that many at a time.
const (
	uploadPartBytes   = 8 << 20
	uploadConcurrency = 2
)

// Store is a place for objects.
type Store struct {
	// Destination is what was opened.
	Destination backup.Destination

	bucket *blob.Bucket
	where  string
	folder string // of type file
	// versioned is nil unless of type s3, and past unless it is to be read as it was.
	versioned *versioned
	past      *past
}

// Object is an object in a Store.
type Object struct {
	Key        string
	Bytes      int64
	ModifiedAt time.Time
}

// Open opens a destination. Credentials are those of the environment, or of the platform's identity: those that the programs of the
// clouds' makers look for.
func Open(ctx context.Context, d backup.Destination) (*Store, error) {
	bucket, err := open(ctx, d)
	if err != nil {
		return nil, problem.New(fmt.Sprintf("the destination %s cannot be opened: %s", d, err),
			"Look at its arguments, and at the credentials in the environment of the runner").Because(err)
	}
	store := &Store{Destination: d, bucket: bucket, where: d.String()}
	prefix := ""
	switch {
	case d.Type == "file":
		store.folder = d.Path
	case d.Path != "":
		prefix = d.Path + "/"
		store.bucket = blob.PrefixedBucket(bucket, prefix)
	}
	var client *s3.Client
	if d.Type == "s3" && bucket.As(&client) {
		store.versioned = &versioned{client, d.Bucket, prefix}
	}
	return store, nil
}

func open(ctx context.Context, d backup.Destination) (*blob.Bucket, error) {
	switch d.Type {
	case "file":
		// It has to be there: a folder in its place, on a disk that is not mounted, would be another one. A temporary file on the same disk
		// is renamed when it is whole.
		return fileblob.OpenBucket(d.Path, &fileblob.Options{
			DirFileMode: 0o700, NoTempDir: true, Metadata: fileblob.MetadataDontWrite,
		})
	case "s3":
		settings, err := config.LoadDefaultConfig(ctx, config.WithRegion(d.Region))
		if err != nil {
			return nil, err
		}
		client := s3.NewFromConfig(settings, func(o *s3.Options) {
			o.UsePathStyle = d.PathStyle
			if d.Endpoint != "" {
				o.BaseEndpoint = &d.Endpoint
				// Servers that are only compatible may not know the checksums that Amazon's has by now.
				o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
				o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
			}
		})
		return s3blob.OpenBucket(ctx, client, d.Bucket, nil)
	case "gcs":
		return blob.OpenBucket(ctx, "gs://"+d.Bucket)
	case "azure":
		return blob.OpenBucket(ctx, "azblob://"+d.Bucket)
	}
	return nil, fmt.Errorf("there is no type %q", d.Type)
}

// Credentials are those that the environment has for a destination of type s3, for programs that cannot look for them.
func Credentials(ctx context.Context, d backup.Destination) (aws.Credentials, error) {
	settings, err := config.LoadDefaultConfig(ctx, config.WithRegion(d.Region))
	if err != nil {
		return aws.Credentials{}, err
	}
	found, err := settings.Credentials.Retrieve(ctx)
	if err != nil {
		err = problem.New(fmt.Sprintf("there are no credentials for the destination %s: %s", d, err),
			"Look at the environment of the runner").Because(err)
	}
	return found, err
}

// String is the place's URL.
func (s *Store) String() string { return s.where }

// Close lets go of it.
func (s *Store) Close() error { return s.bucket.Close() }

// Create begins an object, which is there when the writer is closed. It fails then where there is one already. An upload whose context
// has ended leaves nothing.
func (s *Store) Create(ctx context.Context, key string) (io.WriteCloser, error) {
	if s.past != nil {
		return nil, s.explain("write", key, errPast)
	}
	w, err := s.bucket.NewWriter(ctx, key, &blob.WriterOptions{
		IfNotExist: true, BufferSize: uploadPartBytes, MaxConcurrency: uploadConcurrency, ContentType: "application/octet-stream",
		DisableContentTypeDetection: true,
	})
	if err != nil {
		return nil, s.explain("write", key, err)
	}
	return writer{w, s, key}, nil
}

// Put writes an object that is small.
func (s *Store) Put(ctx context.Context, key string, content []byte) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	o, err := s.Create(ctx, key)
	if err != nil {
		return err
	}
	if _, err := o.Write(content); err != nil {
		cancel()
		return errors.Join(err, o.Close())
	}
	return o.Close()
}

type writer struct {
	*blob.Writer
	store *Store
	key   string
}

func (w writer) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	return n, w.store.explain("write", w.key, err)
}

func (w writer) Close() error {
	err := w.Writer.Close()
	if err == nil && w.store.folder != "" {
		err = sync(w.store.folder, w.key)
	}
	return w.store.explain("write", w.key, err)
}

// sync makes a file outlast a loss of power, and its name, and those of the folders above it.
func sync(folder, key string) error {
	for name := filepath.FromSlash(key); ; name = filepath.Dir(name) {
		file, err := os.Open(filepath.Join(folder, name))
		if err != nil {
			return err
		}
		if err := errors.Join(file.Sync(), file.Close()); err != nil || name == "." {
			return err
		}
	}
}

// Read opens an object. One that is missing is [problem.ErrNotFound].
func (s *Store) Read(ctx context.Context, key string) (io.ReadCloser, error) {
	r, err := s.open(ctx, key)
	if err != nil {
		return nil, s.explain("read", key, err)
	}
	return reader{r, s, key}, nil
}

func (s *Store) open(ctx context.Context, key string) (io.ReadCloser, error) {
	if s.past != nil {
		return s.past.read(ctx, key)
	}
	return s.bucket.NewReader(ctx, key, nil)
}

type reader struct {
	io.ReadCloser
	store *Store
	key   string
}

func (r reader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // io.Reader's contract
		err = r.store.explain("read", r.key, err)
	}
	return n, err
}

// List returns the objects whose keys begin so, by key.
func (s *Store) List(ctx context.Context, prefix string) ([]Object, error) {
	var found []Object
	if s.past != nil {
		all, err := s.past.list(ctx, prefix)
		for _, each := range all {
			found = append(found, each.Object)
		}
		return found, s.explain("list", prefix, err)
	}
	for all := s.bucket.List(&blob.ListOptions{Prefix: prefix}); ; {
		object, err := all.Next(ctx)
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return nil, s.explain("list", prefix, err)
		}
		found = append(found, Object{object.Key, object.Size, object.ModTime})
	}
}

// Delete removes an object, and all versions that a bucket of type s3 has of it. One that is gone already is no error.
func (s *Store) Delete(ctx context.Context, key string) (err error) {
	switch {
	case s.past != nil:
		err = errPast
	case s.versioned != nil:
		err = s.versioned.delete(ctx, key)
	default:
		err = s.bucket.Delete(ctx, key)
	}
	if err != nil && codeOf(err) != gcerrors.NotFound {
		return s.explain("delete", key, err)
	}
	return nil
}

// StoreError is what a store answered, in words.
type StoreError struct {
	*problem.Problem
	// Retryable tells what may pass by itself.
	Retryable bool
	// Denied tells what the credentials do not allow, or the store to nobody, as it has locked the object.
	Denied bool
}

func (s *Store) explain(verb, key string, err error) error {
	if err == nil {
		return nil
	}
	told := fmt.Sprintf("cannot %s %s in %s", verb, key, s.where)
	code := codeOf(err)
	denied := code == gcerrors.PermissionDenied || errors.Is(err, os.ErrPermission)
	failed := func(what, remedy string, retryable bool) error {
		return &StoreError{problem.New(told+": "+what, remedy).Because(err), retryable, denied}
	}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case code == gcerrors.NotFound && verb == "read":
		return &StoreError{problem.New(told+": it is missing", "").Because(errors.Join(problem.ErrNotFound, err)), false, false}
	case code == gcerrors.NotFound:
		return failed("there is no such bucket", "Create it, or correct the schedule's destination", false)
	case errors.Is(err, errKept):
		return &StoreError{problem.New(told+": "+err.Error(), "").Because(err), false, true}
	case errors.Is(err, errPast):
		return failed(err.Error(), "", false)
	case denied:
		return failed("permission denied", "Look at the credentials in the runner's environment, and at what they may do", false)
	case code == gcerrors.FailedPrecondition, code == gcerrors.AlreadyExists:
		return failed("there is such an object already, and none is ever overwritten",
			"Let the runner try again: each run has names of its own", true)
	case isFull(err):
		return failed("the disk is full", "Free some space, or name another destination", true)
	}
	return failed(err.Error(), "", true)
}
