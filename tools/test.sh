#!/usr/bin/env bash
# Runs every test: unit tests, then acceptance tests, which apply real configurations with Terraform to a real
# PostgreSQL and a real Vault. Called by `make test`.
set -euo pipefail
cd "$(dirname "$0")/.."

# The Terraform that the acceptance tests drive.
if [[ -z ${TF_ACC_TERRAFORM_PATH:-} ]] && ! TF_ACC_TERRAFORM_PATH=$(command -v terraform); then
	echo 'make test: Terraform 1.11 or newer is needed on PATH (or name it in TF_ACC_TERRAFORM_PATH).' >&2
	exit 1
fi
export TF_ACC_TERRAFORM_PATH CHECKPOINT_DISABLE=1
# A developer's own overrides could replace the provider under test.
unset TF_CLI_CONFIG_FILE
# Nor must a connection of the developer's own be mixed in.
unset "${!PG@}"

# The race detector needs a C compiler. RACE= (empty) turns it off.
race=
if [[ -n ${RACE-yes} && $(go env CGO_ENABLED) == 1 ]] && command -v "$(go env CC)" >/dev/null; then
	race=-race
fi

results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
status=0

echo "==> PostgreSQL ${BROWNIE_PG_VERSION:-16}, PgBouncer and Vault for the tests"
go run ./internal/devstack/cmd/devstack fetch

echo "==> Unit tests $race"
env -u TF_ACC go tool -modfile=tools/go.mod gotestsum --format=pkgname --format-hide-empty-pkg \
	--jsonfile="$results/unit.json" -- \
	-count=1 -timeout=30m ${race:+"$race"} -skip='^TestAcc' ./... || status=$?

go -C tools test ./testsummary || status=$?

echo "==> Acceptance tests with $("$TF_ACC_TERRAFORM_PATH" version | head -n 1)"
TF_ACC=1 go tool -modfile=tools/go.mod gotestsum --format=testname --format-hide-empty-pkg \
	--jsonfile="$results/acceptance.json" -- \
	-count=1 -timeout=30m -run='^TestAcc' ./... || status=$?

# The providers of the modules come from the Terraform registry, or from a folder. A machine that has neither may say so.
except=
if [[ -n ${BROWNIE_ALLOW_MISSING_PROVIDERS:-} ]]; then
	except=,except=TestAccModules/vault-pki,except=TestAccVaultPKI,except=TestAccModules/postgres-ha,except=TestAccModules/pgbouncer
fi
# A machine without PostgreSQL's client programs may say so, too. A test that needs them names the variable when it is skipped.
if [[ -n ${BROWNIE_ALLOW_MISSING_CLIENT_TOOLS:-} ]]; then
	except+=,allow=BROWNIE_ALLOW_MISSING_CLIENT_TOOLS
fi
go -C tools run ./testsummary unit="$results/unit.json" acceptance="$results/acceptance.json,required$except" || status=$?
exit "$status"
