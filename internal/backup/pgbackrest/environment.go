package pgbackrest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/object"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// environment is how pgBackRest is told everything: a command line shows to other users, and a file stays.
func (r Repository) environment(ctx context.Context) ([]string, error) {
	options := map[string]string{
		"CONFIG": "/dev/null", "STANZA": r.Stanza, "REPO1_CIPHER_TYPE": "aes-256-cbc", "REPO1_CIPHER_PASS": r.Passphrase,
		"LOG_LEVEL_FILE": "off", "LOG_LEVEL_CONSOLE": "off", "LOG_LEVEL_STDERR": "warn", "COMPRESS_TYPE": "zst", "REPO1_BUNDLE": "y",
		"PROCESS_MAX": strconv.Itoa(max(r.Jobs, 1)), "START_FAST": "y", "LOCK_PATH": lockPath(r.Schedule),
		// Nothing goes by itself: the schedule's retention says what is kept.
		"EXPIRE_AUTO": "n", "REPO1_RETENTION_FULL": "9999999", "ARCHIVE_TIMEOUT": "60",
	}
	d := r.Destination
	if d.Type == "file" {
		options["REPO1_TYPE"], options["REPO1_PATH"] = "posix", filepath.Join(d.Path, filepath.FromSlash(Prefix(r.Schedule)))
	} else if err := remote(ctx, d, "/"+strings.TrimSuffix(Prefix(r.Schedule), "/"), options); err != nil {
		return nil, err
	}
	env := make([]string, 0, len(options))
	for name, value := range options {
		env = append(env, "PGBACKREST_"+name+"="+value)
	}
	slices.Sort(env)
	return env, nil
}

// lockPath is one per user and schedule: pgBackRest keeps others away by it, and so does the schedule's lock in the database.
func lockPath(schedule string) string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("brownie-pgbackrest-%d", os.Getuid()), schedule)
}

// makePrivate makes a folder that nobody else can have made before.
func makePrivate(folder string) error {
	if err := os.Mkdir(folder, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	about, err := os.Lstat(folder)
	if err != nil {
		return err
	}
	if owner, ok := about.Sys().(*syscall.Stat_t); !about.IsDir() || ok && int(owner.Uid) != os.Getuid() || about.Mode().Perm()&0o022 != 0 {
		return problem.New(fmt.Sprintf("the folder %s belongs to somebody else, or others may write to it", folder), "Remove it")
	}
	return nil
}

// remote is a repository in an object store.
func remote(ctx context.Context, d backup.Destination, folder string, options map[string]string) error {
	if d.Path != "" {
		folder = "/" + d.Path + folder
	}
	options["REPO1_PATH"] = folder
	switch d.Type {
	case "gcs":
		options["REPO1_TYPE"], options["REPO1_GCS_BUCKET"], options["REPO1_GCS_KEY_TYPE"] = "gcs", d.Bucket, "auto"
		if file := os.Getenv("GOOGLE_APPLICATION_CREDENTIALS"); file != "" {
			options["REPO1_GCS_KEY_TYPE"], options["REPO1_GCS_KEY"] = "service", file
		}
		return nil
	case "azure":
		options["REPO1_TYPE"], options["REPO1_AZURE_CONTAINER"] = "azure", d.Bucket
		options["REPO1_AZURE_ACCOUNT"], options["REPO1_AZURE_KEY"] = os.Getenv("AZURE_STORAGE_ACCOUNT"), os.Getenv("AZURE_STORAGE_KEY")
		return nil
	}
	return remoteS3(ctx, d, options)
}

func remoteS3(ctx context.Context, d backup.Destination, options map[string]string) error {
	credentials, err := object.Credentials(ctx, d)
	if err != nil {
		return err
	}
	options["REPO1_TYPE"], options["REPO1_S3_BUCKET"] = "s3", d.Bucket
	options["REPO1_S3_REGION"], options["REPO1_S3_ENDPOINT"] = d.Region, "s3."+d.Region+".amazonaws.com"
	options["REPO1_S3_KEY"], options["REPO1_S3_KEY_SECRET"] = credentials.AccessKeyID, credentials.SecretAccessKey
	if credentials.SessionToken != "" {
		options["REPO1_S3_TOKEN"] = credentials.SessionToken
	}
	if d.PathStyle {
		options["REPO1_S3_URI_STYLE"] = "path"
	}
	if d.Endpoint == "" {
		return nil
	}
	endpoint, err := url.Parse(d.Endpoint)
	if err != nil || endpoint.Scheme != "https" {
		return problem.New(fmt.Sprintf("pgBackRest reaches no store without TLS, and the endpoint is %s", d.Endpoint),
			"Give an endpoint that begins with https://").On("destinations")
	}
	options["REPO1_S3_ENDPOINT"] = endpoint.Hostname()
	if port := endpoint.Port(); port != "" {
		options["REPO1_STORAGE_PORT"] = port
	}
	// Go's own variable for authorities counts for pgBackRest, too.
	if file := os.Getenv("SSL_CERT_FILE"); file != "" {
		options["REPO1_STORAGE_CA_FILE"] = file
	}
	return nil
}
