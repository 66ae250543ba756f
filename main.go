// Command terraform-provider-brownie serves the Brownie provider to Terraform.
package main

import (
	"context"
	"flag"
	"log"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider"
)

// version is set by the linker when a release is built.
var version = "dev"

func main() {
	debugger := flag.Bool("debug", false, "wait for Terraform to attach, so that a debugger such as delve can be used")
	flag.Parse()
	beQuietAndFast()
	err := provider.Serve(version, *debugger)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = provider.Close(ctx) // What it cannot revoke expires soon, and nobody has its key.
	if err != nil {
		log.Fatal(err) //nolint:gocritic // Nothing is left for the deferred cancel to do.
	}
}

// memoryLimit is from where on garbage is collected more often, in bytes: a plan of ten thousand tenants shall not need much more.
const memoryLimit = 110 << 20

// beQuietAndFast saves a third of the processor time of a large plan. The SDK writes trace lines that Terraform parses
// and throws away when no log level is set, and the process is short-lived, so collecting garbage less often is cheap.
func beQuietAndFast() {
	logging := false
	for _, variable := range os.Environ() {
		logging = logging || strings.HasPrefix(variable, "TF_LOG")
	}
	if !logging {
		// An error only means that the trace lines stay.
		_ = os.Setenv("TF_LOG_SDK", "off")
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
}
