package main

import (
	"os"
	"strings"
	"testing"
)

// Whoever asks for logs of any kind gets those of the SDK, too.
func TestQuietUnlessLogsAreWanted(t *testing.T) {
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "TF_LOG") {
			t.Setenv(name, "") // so that it comes back
			_ = os.Unsetenv(name)
		}
	}
	t.Setenv("GOGC", "100") // The tests' own collection of garbage stays as it is.
	t.Setenv("TF_LOG_PROVIDER", "TRACE")
	t.Setenv("TF_LOG_SDK", "")
	_ = os.Unsetenv("TF_LOG_SDK")
	beQuietAndFast()
	if level, set := os.LookupEnv("TF_LOG_SDK"); set {
		t.Errorf("TF_LOG_SDK is %q although logs are wanted", level)
	}
	_ = os.Unsetenv("TF_LOG_PROVIDER")
	beQuietAndFast()
	if level := os.Getenv("TF_LOG_SDK"); level != "off" {
		t.Errorf("TF_LOG_SDK is %q although no logs are wanted", level)
	}
}
