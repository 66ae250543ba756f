// Command start measures how long the provider takes from its start to its first answer, its schemas, and what memory that takes,
// next to a provider that does nothing. It writes a report in Markdown.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/longyi-brownie/terraform-provider-brownie/bench/internal/benchmark"
)

const module = "github.com/longyi-brownie/terraform-provider-brownie"

var rounds = flag.Int("rounds", 40, "how often each provider is started; the median counts")

func main() {
	benchmark.Main("start", "From start to first answer", func(ctx context.Context, r *benchmark.Report) (err error) {
		folder, err := os.MkdirTemp("", "brownie-start-")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
		var contenders []benchmark.Contender
		for _, provider := range []struct{ name, program string }{
			{"this provider", module}, {"a provider that does nothing", module + "/bench/scale/idle"},
		} {
			file := filepath.Join(folder, strings.ReplaceAll(provider.name, " ", "-"))
			if err := benchmark.Build(ctx, provider.name, provider.program, file, "-s -w"); err != nil {
				return err
			}
			contenders = append(contenders, benchmark.Contender{
				Name: provider.name, Round: func(ctx context.Context, _ int) ([]time.Duration, error) { return start(ctx, file) },
			})
		}
		all, err := benchmark.Rounds(ctx, 3, *rounds, contenders...)
		if err != nil {
			return err
		}
		table := [][]string{{"provider", "handshake", "schemas (95th)", "processor time", "peak memory"}}
		for i, figures := range all {
			table = append(table, []string{
				contenders[i].Name, milliseconds(figures[0].Median()),
				fmt.Sprintf("%s (%s)", milliseconds(figures[1].Median()), milliseconds(figures[1].Percentile95())),
				milliseconds(figures[2].Median()), fmt.Sprintf("%d MiB", figures[3].Median()>>20),
			})
		}
		r.Table(table...)
		return nil
	})
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}

// start starts a provider as Terraform does and asks it for its schemas. The figures are the time to the handshake, that to the
// answer, the processor time, and the peak memory in bytes.
func start(ctx context.Context, file string) ([]time.Duration, error) {
	began := time.Now()
	cmd := exec.CommandContext(ctx, file)
	// Who starts a plugin shows that it knows the protocol, and which version of it.
	cmd.Env = append(os.Environ(), "TF_PLUGIN_MAGIC_COOKIE=d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2",
		"PLUGIN_PROTOCOL_VERSIONS=6")
	output, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(output).ReadString('\n')
	handshake := time.Since(began)
	if err == nil {
		err = askSchemas(ctx, line)
	}
	answer := time.Since(began)
	_ = cmd.Process.Kill() // It waits for Terraform to say that it may go.
	_ = cmd.Wait()
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok && err == nil {
		err = errors.New("this system does not tell what a process has used")
	}
	if err != nil {
		return nil, err
	}
	return []time.Duration{
		handshake, answer, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), time.Duration(usage.Maxrss) << 10,
	}, nil
}

// askSchemas takes the address from the line with which a plugin introduces itself.
func askSchemas(ctx context.Context, line string) error {
	parts := strings.Split(strings.TrimSpace(line), "|")
	if len(parts) < 5 || parts[2] != "unix" {
		return fmt.Errorf("the provider says %q", line)
	}
	conn, err := grpc.NewClient("unix:"+parts[3], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	var answer emptypb.Empty // What it holds is of no interest, only that it holds something.
	err = conn.Invoke(ctx, "/tfplugin6.Provider/GetProviderSchema", &emptypb.Empty{}, &answer, grpc.MaxCallRecvMsgSize(64<<20))
	if size := len(answer.ProtoReflect().GetUnknown()); err == nil && size < 10_000 {
		err = fmt.Errorf("the schemas have %d bytes", size)
	}
	return err
}
