// Command brownie-leader runs beside a PgBouncer in Kubernetes: it follows the leader of a Patroni cluster, writes it into
// PgBouncer's configuration, and has PgBouncer read that.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/longyi-brownie/terraform-provider-brownie/cmd/internal/program"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/leader"
)

const usage = `usage: brownie-leader -cluster NAME -namespace NAME -template FILE -file FILE -pipe FILE [flags]

Points PgBouncer to the leader of a Patroni cluster that keeps its state in ConfigMaps. The template is a pgbouncer.ini; in it, a
database with host=leader leads to the member that writes, one with host=replica to one that is at most -max-lag behind, or to the
leader where there is none. While there is no leader, or the API server does not answer, the last ones are kept.

It makes the pipe, and writes a line to it whenever PgBouncer must read its files again.

The service account may get, list and watch the ConfigMap NAME-leader, and list and watch pods.

`

// serviceAccount is where Kubernetes puts a pod's token.
const serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount"

func main() { program.Main("brownie-leader", run) }

// run follows the leader until ctx ends.
func run(ctx context.Context, arguments []string, getenv func(string) string, log io.Writer) error {
	s := leader.Settings{Log: slog.New(slog.NewTextHandler(log, nil))}
	flags := flag.NewFlagSet("brownie-leader", flag.ContinueOnError)
	flags.SetOutput(log)
	flags.Usage = func() {
		_, _ = io.WriteString(log, usage)
		flags.PrintDefaults()
	}
	flags.StringVar(&s.Cluster, "cluster", "", "name of the cluster, Patroni's scope")
	flags.StringVar(&s.Namespace, "namespace", "", "its namespace")
	flags.StringVar(&s.Template, "template", "", "the pgbouncer.ini to take")
	flags.StringVar(&s.File, "file", "", "the pgbouncer.ini to write")
	flags.StringVar(&s.Pipe, "pipe", "", "the named pipe to make and write to")
	flags.Func("certificates", "folder of a volume, after whose renewal PgBouncer must read its files again; may be given several times",
		program.Texts(&s.Folders))
	flags.Uint64Var(&s.MaxLag, "max-lag", 64<<20, "how many bytes of the write-ahead log a replica may lack")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	required := map[string]string{
		"cluster": s.Cluster, "namespace": s.Namespace, "template": s.Template, "file": s.File, "pipe": s.Pipe,
	}
	for name, value := range required {
		if value == "" {
			return fmt.Errorf("-%s is missing; -help tells more", name)
		}
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("what is %q?", strings.Join(flags.Args(), " "))
	}
	var err error
	if s.API, err = leader.InCluster(getenv, serviceAccount); err != nil {
		return err
	}
	if s.Self, err = os.Hostname(); err != nil { // the pod's name
		return err
	}
	return leader.Follow(ctx, s)
}
