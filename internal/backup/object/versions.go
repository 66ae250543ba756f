package object

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"gocloud.dev/gcerrors"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// versioned is a bucket of type s3, which may keep each object's versions, and lock them.
type versioned struct {
	client         *s3.Client
	bucket, prefix string
}

// version is what an object was from a time on: content, or a mark that it was deleted.
type version struct {
	Object
	id      string
	deleted bool
	latest  bool
}

// list returns the versions of the objects whose keys begin so: by key, the newest first.
func (v *versioned) list(ctx context.Context, prefix string) (all []version, err error) {
	add := func(key, id *string, at *time.Time, latest *bool, bytes *int64, deleted bool) {
		all = append(all, version{
			Object: Object{Key: aws.ToString(key)[len(v.prefix):], Bytes: aws.ToInt64(bytes), ModifiedAt: aws.ToTime(at)},
			id:     aws.ToString(id), latest: aws.ToBool(latest), deleted: deleted,
		})
	}
	pages := s3.NewListObjectVersionsPaginator(v.client, &s3.ListObjectVersionsInput{
		Bucket: &v.bucket, Prefix: aws.String(v.prefix + prefix),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, each := range page.Versions {
			add(each.Key, each.VersionId, each.LastModified, each.IsLatest, each.Size, false)
		}
		for _, each := range page.DeleteMarkers {
			add(each.Key, each.VersionId, each.LastModified, each.IsLatest, nil, true)
		}
	}
	// Times are of a second's resolution: what is the latest comes before what is as old.
	first := func(latest bool) int { return map[bool]int{true: 0, false: 1}[latest] }
	slices.SortStableFunc(all, func(a, b version) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(first(a.latest), first(b.latest)), b.ModifiedAt.Compare(a.ModifiedAt))
	})
	return all, nil
}

// errKept says that an object, or a version of it, is still there.
var errKept = errors.New("the store keeps it")

// delete removes an object with all its versions, so that nobody reads it any more. One that is locked stays as it is. Where the
// credentials may not remove versions, it is hidden; both are errKept.
func (v *versioned) delete(ctx context.Context, key string) error {
	all, err := v.list(ctx, key)
	if err != nil && ctx.Err() != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(each version) bool { return each.Key != key })
	isPlain := func(each version) bool { return each.id == "" || each.id == "null" }
	if err != nil || !slices.ContainsFunc(all, func(each version) bool { return !isPlain(each) }) {
		return v.hide(ctx, key)
	}
	// Were a mark to go first, what it hides would come back.
	slices.SortStableFunc(all, func(a, b version) int {
		return cmp.Compare(map[bool]int{true: 1}[a.deleted], map[bool]int{true: 1}[b.deleted])
	})
	for _, each := range all {
		_, err := v.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &v.bucket, Key: aws.String(v.prefix + key), VersionId: &each.id})
		if err == nil || codeOf(err) == gcerrors.NotFound {
			continue
		}
		if codeOf(err) != gcerrors.PermissionDenied {
			return err
		}
		if why := v.locked(ctx, each); why != "" {
			return fmt.Errorf("%w: it is locked %s", errKept, why)
		}
		return v.hide(ctx, key)
	}
	return nil
}

// hide deletes the object as it is now. A bucket that keeps versions has it still.
func (v *versioned) hide(ctx context.Context, key string) error {
	done, err := v.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &v.bucket, Key: aws.String(v.prefix + key)})
	if err == nil && aws.ToBool(done.DeleteMarker) {
		return fmt.Errorf("%w as a former version, which these credentials may not remove", errKept)
	}
	return err
}

// locked tells for how long a version is locked, or nothing.
func (v *versioned) locked(ctx context.Context, was version) string {
	key := aws.String(v.prefix + was.Key)
	held, err := v.client.GetObjectLegalHold(ctx, &s3.GetObjectLegalHoldInput{Bucket: &v.bucket, Key: key, VersionId: &was.id})
	if err == nil && held.LegalHold != nil && held.LegalHold.Status == types.ObjectLockLegalHoldStatusOn {
		return "by a legal hold"
	}
	until := v.retention(ctx, was)
	one, err := v.client.GetObjectRetention(ctx, &s3.GetObjectRetentionInput{Bucket: &v.bucket, Key: key, VersionId: &was.id})
	if err == nil && one.Retention != nil {
		until = aws.ToTime(one.Retention.RetainUntilDate)
	}
	if until.After(time.Now()) {
		return "until " + until.UTC().Format(time.RFC3339)
	}
	return ""
}

// retention is until when the bucket locks a version by default. Servers that are only compatible may not write that to the object.
func (v *versioned) retention(ctx context.Context, was version) time.Time {
	lock, err := v.client.GetObjectLockConfiguration(ctx, &s3.GetObjectLockConfigurationInput{Bucket: &v.bucket})
	if err != nil || lock.ObjectLockConfiguration == nil || lock.ObjectLockConfiguration.Rule == nil ||
		lock.ObjectLockConfiguration.Rule.DefaultRetention == nil {
		return time.Time{}
	}
	rule := lock.ObjectLockConfiguration.Rule.DefaultRetention
	return was.ModifiedAt.AddDate(int(aws.ToInt32(rule.Years)), 0, int(aws.ToInt32(rule.Days)))
}

// ErrNoLock says that a store cannot lock an object by itself.
var ErrNoLock = errors.New("the store locks no objects")

// Hold puts a legal hold on an object, or takes it off. Only buckets of type s3 that lock objects do that; others are [ErrNoLock].
func (s *Store) Hold(ctx context.Context, key string, on bool) error {
	if s.versioned == nil {
		return ErrNoLock
	}
	status := types.ObjectLockLegalHoldStatusOff
	if on {
		status = types.ObjectLockLegalHoldStatusOn
	}
	_, err := s.versioned.client.PutObjectLegalHold(ctx, &s3.PutObjectLegalHoldInput{
		Bucket: &s.versioned.bucket, Key: aws.String(s.versioned.prefix + key), LegalHold: &types.ObjectLockLegalHold{Status: status},
	})
	var answer smithy.APIError
	if errors.As(err, &answer) && slices.Contains(withoutLock, answer.ErrorCode()) {
		return ErrNoLock
	}
	return s.explain("hold", key, err)
}

// withoutLock is what stores answer whose bucket locks nothing, or that know of no locks.
var withoutLock = []string{
	"InvalidRequest", "ObjectLockConfigurationNotFoundError", "InvalidBucketObjectLockConfiguration", "NotImplemented", "MethodNotAllowed",
}

// OpenAsOf opens a destination as it was at a time, to read: what was deleted or written since counts for nothing. Only buckets of type s3
// that keep versions know that.
func OpenAsOf(ctx context.Context, d backup.Destination, at time.Time) (*Store, error) {
	if d.Type != "s3" {
		how := map[string]string{
			"file":  "restore the folder as it was, from a snapshot of its file system, and name that one",
			"gcs":   "restore the objects' generations first (`gcloud storage restore`, or `gcloud storage cp` of each generation)",
			"azure": "undelete the blobs first (`az storage blob undelete`, or promote their versions)",
		}[d.Type]
		return nil, problem.New(fmt.Sprintf("%s cannot be read as of a time: this program does that for type s3 alone", d),
			"Leave that out, and "+how)
	}
	s, err := Open(ctx, d)
	if err != nil {
		return nil, err
	}
	state, err := s.versioned.client.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: &d.Bucket})
	switch {
	case err != nil && codeOf(err) != gcerrors.PermissionDenied: // Who may list versions need not be told that there are any.
		return nil, errors.Join(s.explain("list", "versions", err), s.Close())
	case err == nil && state.Status == "":
		return nil, errors.Join(problem.New(fmt.Sprintf("%s keeps no versions, so that nobody knows what was there at another time", d),
			"Leave the time out: what is there now is all that there is"), s.Close())
	}
	s.where += " as of " + at.UTC().Format(time.RFC3339)
	s.past = &past{s.versioned, at}
	return s, nil
}

// past is a bucket as it was.
type past struct {
	*versioned
	at time.Time
}

// list returns what was there, by key.
func (p *past) list(ctx context.Context, prefix string) (found []version, err error) {
	all, err := p.versioned.list(ctx, prefix)
	told := map[string]bool{}
	for _, each := range all { // of each key the newest first
		if told[each.Key] || each.ModifiedAt.After(p.at) {
			continue
		}
		if told[each.Key] = true; !each.deleted {
			found = append(found, each)
		}
	}
	return found, err
}

func (p *past) read(ctx context.Context, key string) (io.ReadCloser, error) {
	found, err := p.list(ctx, key)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(found, func(each version) bool { return each.Key == key })
	if i < 0 {
		return nil, &types.NoSuchKey{}
	}
	answer, err := p.client.GetObject(ctx, &s3.GetObjectInput{
		Bucket: &p.bucket, Key: aws.String(p.prefix + key), VersionId: &found[i].id,
	})
	if err != nil {
		return nil, err
	}
	return answer.Body, nil
}

var errPast = errors.New("what was cannot be changed")

// codeOf is that of an error of gocloud.dev, or of Amazon's library.
func codeOf(err error) gcerrors.ErrorCode {
	var answer smithy.APIError
	if code := gcerrors.Code(err); code != gcerrors.Unknown || !errors.As(err, &answer) {
		return code
	}
	switch answer.ErrorCode() {
	case "NoSuchKey", "NoSuchVersion", "NoSuchBucket", "NotFound":
		return gcerrors.NotFound
	case "AccessDenied", "Forbidden":
		return gcerrors.PermissionDenied
	}
	return gcerrors.Unknown
}
