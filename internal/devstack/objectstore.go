package devstack

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// region is what the server says it is in.
const region = "us-east-1"

// ObjectStore is a running server that talks like Amazon S3. Buckets are named in the path.
type ObjectStore struct {
	// Endpoint is its URL.
	Endpoint    string
	key, secret string
	process     *process
}

// builtObjectStore is the program.
var builtObjectStore = builtProgram{
	what: "object store", module: "objectstore", program: "github.com/versity/versitygw/cmd/versitygw",
	instead: "it is built in this project's checkout, with Go",
}

// StartObjectStore starts a server that keeps objects as files. It is built once from its source, which takes a minute or more.
func StartObjectStore(ctx context.Context, o Options) (*ObjectStore, error) {
	program, err := builtObjectStore.path(ctx, o)
	if err != nil {
		return nil, err
	}
	return onFreePort(func(port int) (*ObjectStore, error) { return startObjectStore(ctx, o, program, port) })
}

func startObjectStore(ctx context.Context, o Options, program string, port int) (*ObjectStore, error) {
	f, err := newFolder("brownie-objects-", nil)
	if err != nil {
		return nil, err
	}
	address := "127.0.0.1:" + strconv.Itoa(port)
	s := &ObjectStore{Endpoint: "http://" + address, key: rand.Text(), secret: rand.Text()}
	in := func(name string) string { return filepath.Join(f.dir, name) }
	s.process, err = watch(f, port, command{
		functions: plainProgram,
		// Attributes are files, too, since not every file system has its own.
		arguments: []string{
			program, "--quiet", "--region=" + region, "--port=" + address, "posix", "--versioning-dir=" + in("versions"),
			"--sidecar=" + in("attributes"), in("files"),
		},
		// The environment hides the key from the list of processes. Two names that are not the program's alone could make it talk.
		environment: []string{"ROOT_ACCESS_KEY=" + s.key, "ROOT_SECRET_KEY=" + s.secret, "LOGFILE=", "WEBHOOK="},
	})
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.write("files", nil), f.write("versions", nil), f.write("attributes", nil)); err != nil {
		return nil, errors.Join(err, s.Stop(context.WithoutCancel(ctx)))
	}
	return s, s.process.start(ctx, o, "object store", s.answers)
}

// Start starts the server again after [ObjectStore.Kill], with its objects, key and port.
func (s *ObjectStore) Start(ctx context.Context, o Options) error {
	return s.process.start(ctx, o, "object store", s.answers)
}

// answers tells whether the server knows the administrator.
func (s *ObjectStore) answers(ctx context.Context) error {
	_, err := s.client().ListBuckets(ctx, &s3.ListBucketsInput{})
	return err
}

// Kill ends the server at once, as a crash would. Its objects stay.
func (s *ObjectStore) Kill(ctx context.Context) error { return s.process.kill(ctx) }

// Stop ends the server and removes everything of it. It may be called again.
func (s *ObjectStore) Stop(ctx context.Context) error { return s.process.stop(ctx) }

// Env is the administrator's login, as the environment variables that Amazon's libraries read.
func (s *ObjectStore) Env() []string {
	return []string{"AWS_ACCESS_KEY_ID=" + s.key, "AWS_SECRET_ACCESS_KEY=" + s.secret, "AWS_REGION=" + region}
}

// Folder is where a bucket's objects are files of the same names, so that a test can damage them.
func (s *ObjectStore) Folder(bucket string) string {
	return filepath.Join(s.process.dir, "files", bucket)
}

// CreateBucket makes a bucket. With lock, it keeps versions, and objects can be locked until a time.
func (s *ObjectStore) CreateBucket(ctx context.Context, name string, lock bool) error {
	input := &s3.CreateBucketInput{Bucket: &name}
	if lock {
		input.ObjectLockEnabledForBucket = &lock
	}
	if _, err := s.client().CreateBucket(ctx, input); err != nil {
		return fmt.Errorf("the object store made no bucket %s: %w", name, err)
	}
	return nil
}

// LockObjects locks each object that is written to a bucket from now on, for so many days, against everybody.
func (s *ObjectStore) LockObjects(ctx context.Context, bucket string, days int32) error {
	_, err := s.client().PutObjectLockConfiguration(ctx, &s3.PutObjectLockConfigurationInput{
		Bucket: &bucket, ObjectLockConfiguration: &types.ObjectLockConfiguration{
			ObjectLockEnabled: types.ObjectLockEnabledEnabled, Rule: &types.ObjectLockRule{DefaultRetention: &types.DefaultRetention{
				Mode: types.ObjectLockRetentionModeCompliance, Days: &days,
			}},
		},
	})
	if err != nil {
		return fmt.Errorf("the object store locks no objects of bucket %s: %w", bucket, err)
	}
	return nil
}

// Delete deletes an object as everybody does who knows of no versions: those stay.
func (s *ObjectStore) Delete(ctx context.Context, bucket, key string) error {
	_, err := s.client().DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &bucket, Key: &key})
	return err
}

// Put writes an object, also in the place of another one.
func (s *ObjectStore) Put(ctx context.Context, bucket, key, content string) error {
	_, err := s.client().PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader(content)})
	return err
}

// RestoreTimes gives former versions in a bucket, and marks of deletions, the times at which they were written, as Amazon's have them: this
// server takes that of the file, which it copies when something takes the version's place, and leaves alone when a mark does.
func (s *ObjectStore) RestoreTimes(bucket string) error {
	versions := filepath.WalkDir(filepath.Join(s.process.dir, "versions", bucket), func(path string, entry fs.DirEntry, err error) error {
		name := filepath.Base(path)
		if err != nil || entry.IsDir() || len(name) != 26 {
			return err
		}
		return os.Chtimes(path, time.Time{}, writtenAt(name)) //nolint:gosec // The folder is our own.
	})
	attributes := filepath.Join(s.process.dir, "attributes", bucket)
	marks := filepath.WalkDir(attributes, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Base(path) != "delete-marker" {
			return err
		}
		about := filepath.Dir(path)
		version, err := os.ReadFile(filepath.Join(about, "version-id"))
		if err != nil {
			return err
		}
		key, err := filepath.Rel(attributes, filepath.Dir(about))
		if err != nil {
			return err
		}
		return os.Chtimes(filepath.Join(s.process.dir, "files", bucket, key), time.Time{}, writtenAt(string(version)))
	})
	return errors.Join(versions, marks)
}

// writtenAt is when a version was written: its name begins with the milliseconds (ULID).
func writtenAt(version string) time.Time {
	var milliseconds int64
	for _, digit := range version[:10] {
		milliseconds = milliseconds<<5 | int64(strings.IndexRune("0123456789ABCDEFGHJKMNPQRSTVWXYZ", digit))
	}
	return time.UnixMilli(milliseconds)
}

// client tries once: who waits for the server has a pace of its own.
func (s *ObjectStore) client() *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: &s.Endpoint, UsePathStyle: true, Region: region, RetryMaxAttempts: 1,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: s.key, SecretAccessKey: s.secret}, nil
		}),
	})
}
