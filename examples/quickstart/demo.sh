#!/usr/bin/env bash
# The demo: starts PostgreSQL, applies the quickstart with the provider built from this tree, shows what it made, and
# plans again. Called by `make demo` and `make demo-down`. Everything it makes is in .demo/, but for the server's folder,
# which .demo/devstack.json names.
set -euo pipefail
cd "$(dirname "$0")/../.."
demo=$PWD/.demo
unset "${!PG@}" # a connection of the caller's own, which libpq and pgx would mix in
job= # process that with_progress waits for

say() { printf '\n==> %s\n' "$1"; }

# Runs a command that prints nothing by itself, and says every few seconds that it still works.
with_progress() {
	local what=$1 began=$SECONDS next=$((SECONDS + 2))
	shift
	"$@" &
	job=$!
	while kill -0 $job 2>/dev/null; do
		sleep 0.2
		if ((SECONDS >= next)); then
			echo "$what … $((SECONDS - began)) s"
			next=$((SECONDS + 3))
		fi
	done
	wait $job
	job=
}

# Makes a client certificate for each role, and tells the quickstart where they and the pooler are.
write_certificates() {
	local role separator=
	printf '{"pooler": {"host": "%s", "port": %s}, "certificates": {' "${BROWNIE_POOLER_HOST:-$PGHOST}" "${BROWNIE_POOLER_PORT:-$PGPORT}"
	for role in "$@"; do
		(
			source <("$demo/bin/devstack" certificate "$demo" "$role")
			printf '%s"%s": {"sslcert": "%s", "sslkey": "%s"}' "$separator" "$role" "$PGSSLCERT" "$PGSSLKEY"
		)
		separator=', '
	done
	echo '}}'
}

need() {
	command -v "$1" >/dev/null || {
		echo "make demo: $1 is needed. $2" >&2
		exit 1
	}
}

down() {
	if [[ -e $demo/devstack.json ]]; then
		if [[ -x $demo/bin/devstack ]]; then
			"$demo/bin/devstack" down "$demo"
		else
			go run ./internal/devstack/cmd/devstack down "$demo"
		fi
	fi
	rm -rf "$demo"
	[[ ${1:-} != say ]] || echo "Removed. Fetched server programs stay in the cache for the next time, see CONTRIBUTING.md."
}

abandon() {
	local status=$?
	if ((status)); then
		if [[ -n $job ]]; then kill $job && wait $job || true; fi 2>/dev/null
		down
	fi
	exit $status
}

up() {
	need go 'Install Go 1.26 or newer: https://go.dev/dl'
	need terraform 'Install Terraform 1.11 or newer: https://developer.hashicorp.com/terraform/install'
	down
	# A demo that does not come to its end leaves nothing behind.
	trap abandon EXIT
	trap 'exit 130' INT TERM
	mkdir -p "$demo/bin" "$demo/quickstart"

	say 'Building the provider'
	local version=0.0.1 platform
	platform=$(go env GOOS)_$(go env GOARCH)
	local mirror=$demo/plugins/registry.terraform.io/longyi-brownie/brownie/$version/$platform
	with_progress Building go build -o "$demo/bin/devstack" ./internal/devstack/cmd/devstack
	CGO_ENABLED=0 with_progress Building go build -ldflags "-X main.version=$version" \
		-o "$mirror/terraform-provider-brownie_v$version" .

	say "Starting PostgreSQL ${BROWNIE_PG_VERSION:-16} and PgBouncer"
	"$demo/bin/devstack" up "$demo" >"$demo/env"
	cat >"$demo/terraformrc" <<-EOF
		provider_installation {
		  filesystem_mirror {
		    path = "$demo/plugins"
		  }
		}
	EOF
	echo "export TF_CLI_CONFIG_FILE='$demo/terraformrc' CHECKPOINT_DISABLE=1" >>"$demo/env"
	# shellcheck source=/dev/null
	source "$demo/env"
	cp examples/quickstart/*.tf "$demo/quickstart"
	write_certificates acme-app globex-app >"$demo/quickstart/demo.auto.tfvars.json"
	cd "$demo/quickstart"

	say 'terraform apply'
	terraform init -input=false >"$demo/init.log" || { cat "$demo/init.log" && exit 1; }
	# The plan is long; what is done, and the outputs, say the same.
	terraform plan -input=false -out="$demo/tfplan" | grep '^.*Plan:'
	terraform apply -input=false "$demo/tfplan" | sed '/^.*Outputs:/,$d'
	rm "$demo/tfplan"

	say 'What the database holds now, read back through the data sources'
	terraform output -raw table
	echo

	say 'Each tenant with its own certificate and with the other one, through PgBouncer'
	terraform output -raw logins
	echo

	say 'Attacks on the isolation of tenants, as each kind of role, in each table'
	terraform output -raw isolation
	echo

	say 'terraform plan, once more'
	terraform plan -input=false -detailed-exitcode | grep -v -e 'Refreshing state' -e 'Reading\.\.\.' -e 'Read complete'

	cat <<-EOF

		==> The server keeps running. To look around and change something:

		      source .demo/env
		      cd .demo/quickstart      # edit main.tf, then:
		      terraform plan
		      terraform state list
		      psql                     # if it is installed; the connection is in the environment

		    The next make demo starts anew and discards your changes. To remove every trace, in the repository's root:

		      make demo-down

		    Close the shell too, since it keeps the settings of .demo/env.
	EOF
}

case ${1:-} in
up) up ;;
down) down say ;;
*)
	echo 'usage: demo.sh up|down' >&2
	exit 2
	;;
esac
