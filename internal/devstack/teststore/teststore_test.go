package teststore_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"gocloud.dev/blob"
	_ "gocloud.dev/blob/s3blob"
	"gocloud.dev/gcerrors"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/teststore"
)

func TestMain(m *testing.M) { teststore.Main(m) }

func open(t *testing.T, b teststore.Bucket) *blob.Bucket {
	t.Helper()
	for _, setting := range b.Env() {
		name, value, _ := strings.Cut(setting, "=")
		t.Setenv(name, value)
	}
	bucket, err := blob.OpenBucket(t.Context(), b.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bucket.Close() })
	return bucket
}

func TestObjects(t *testing.T) {
	b := teststore.New(t)
	bucket := open(t, b)
	once := &blob.WriterOptions{IfNotExist: true}
	if err := bucket.WriteAll(t.Context(), "a/b", []byte("first"), once); err != nil {
		t.Fatal(err)
	}
	err := bucket.WriteAll(t.Context(), "a/b", []byte("second"), once)
	if gcerrors.Code(err) != gcerrors.FailedPrecondition {
		t.Errorf("writing over an object was not refused: %v", err)
	}
	if got, err := bucket.ReadAll(t.Context(), "a/b"); err != nil || string(got) != "first" {
		t.Errorf("got %q, %v", got, err)
	}
	// One of more than 16 MiB goes up in parts, which are put together only where there is no object. A smaller one that is still
	// larger than the connection's buffers meets a server that does not read on, so that its writer may learn nothing but that.
	for _, size := range []int{10 << 20, 20 << 20} {
		key, large := fmt.Sprintf("a/%d", size), bytes.Repeat([]byte("x"), size)
		if err := bucket.WriteAll(t.Context(), key, large, once); err != nil {
			t.Fatal(err)
		}
		err := bucket.WriteAll(t.Context(), key, append(large, 'y'), once)
		if err == nil || size > 16<<20 && gcerrors.Code(err) != gcerrors.FailedPrecondition {
			t.Errorf("writing over an object of %d bytes was not refused: %v", size, err)
		}
		if attributes, err := bucket.Attributes(t.Context(), key); err != nil || attributes.Size != int64(size) {
			t.Errorf("it was replaced: %v, %v", attributes, err)
		}
	}
	// Its file can be damaged.
	if err := os.WriteFile(filepath.Join(b.Folder(b.Name), "a", "b"), []byte("fIrst"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := bucket.ReadAll(t.Context(), "a/b"); string(got) == "first" {
		t.Errorf("got %q, %v of a damaged object", got, err)
	}
}

// A locked object stays until its time, whoever asks.
func TestLock(t *testing.T) {
	b := teststore.NewLocked(t)
	bucket := open(t, b)
	if err := bucket.WriteAll(t.Context(), "kept", []byte("x"), nil); err != nil {
		t.Fatal(err)
	}
	var client *s3.Client
	if !bucket.As(&client) {
		t.Fatal("no client")
	}
	head, err := client.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: &b.Name, Key: aws.String("kept")})
	if err != nil || head.VersionId == nil {
		t.Fatalf("the bucket keeps no versions: %v", err)
	}
	_, err = client.PutObjectRetention(t.Context(), &s3.PutObjectRetentionInput{
		Bucket: &b.Name, Key: aws.String("kept"), VersionId: head.VersionId,
		Retention: &types.ObjectLockRetention{Mode: types.ObjectLockRetentionModeCompliance, RetainUntilDate: aws.Time(time.Now().Add(time.Hour))},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &b.Name, Key: aws.String("kept"), VersionId: head.VersionId})
	if err == nil || !strings.Contains(err.Error(), "AccessDenied") {
		t.Errorf("the locked version was deleted: %v", err)
	}
}

func TestKill(t *testing.T) {
	b := teststore.Own(t)
	bucket := open(t, b)
	if err := bucket.WriteAll(t.Context(), "kept", []byte("x"), nil); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := b.Kill(t.Context()); err != nil {
			t.Fatal(err)
		}
		if answer, err := http.Get(b.Endpoint); err == nil {
			_ = answer.Body.Close()
			t.Error("it still answers")
		}
		if err := b.Start(t.Context(), devstack.Options{}); err != nil {
			t.Fatal(err)
		}
		if got, err := bucket.ReadAll(t.Context(), "kept"); err != nil || string(got) != "x" {
			t.Errorf("got %q, %v", got, err)
		}
	}
	if err := b.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(b.Folder("")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its folder is still there: %v", err)
	}
}

// Nobody else can use it, and the list of processes does not say how.
func TestSecrets(t *testing.T) {
	store := teststore.Start(t)
	answer, err := http.Get(store.Endpoint + "/")
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusForbidden {
		t.Errorf("somebody without a key is answered %s", answer.Status)
	}
	for _, setting := range store.Env()[:2] {
		_, secret, _ := strings.Cut(setting, "=")
		processes, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, each := range processes {
			if text, _ := os.ReadFile(each); strings.Contains(string(text), secret) {
				t.Errorf("%s shows a secret", each)
			}
		}
	}
}
