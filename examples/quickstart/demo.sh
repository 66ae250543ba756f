#!/usr/bin/env bash
# The demo: starts PostgreSQL and Vault, applies the quickstart with the provider built from this tree, shows what it made,
# plans again, and logs in as a tenant's application. Called by `make demo` and `make demo-down`. Everything it makes is in .demo/, but for the server's folder,
# which .demo/devstack.json and .demo/vault.json name.
set -euo pipefail
cd "$(dirname "$0")/../.."
demo=$PWD/.demo
# Connections of the caller's own: libpq and pgx would mix them in, and the demo must not touch a Vault that is in use.
unset "${!PG@}" "${!VAULT_@}"
clients=(acme-app globex-app)
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

# Logs in through the pooler as one client with the certificate of one, and prints what the application says.
application() {
	local role=$1 certificate=$demo/clients/$2
	PGHOST=${BROWNIE_POOLER_HOST:-$PGHOST} PGPORT=${BROWNIE_POOLER_PORT:-$PGPORT} PGUSER=$role PGSSLMODE=verify-full \
		PGSSLROOTCERT=$certificate/ca.crt PGSSLCERT=$certificate/tls.crt PGSSLKEY=$certificate/tls.key \
		"$demo/bin/application"
}

# Fetches what Vault stores for the clients, as Vault Agent would on their machines, and tells the quickstart where it is.
fetch_certificates() {
	local client separator=
	printf '{"pooler": {"host": "%s", "port": %s}, "certificates": {' "${BROWNIE_POOLER_HOST:-$PGHOST}" "${BROWNIE_POOLER_PORT:-$PGPORT}"
	for client in "${clients[@]}"; do
		"$demo/bin/devstack" secret "$demo" "$client"
		printf '%s"%s": {"sslcert": "%s", "sslkey": "%s"}' "$separator" "$client" "$demo/clients/$client/tls.crt" "$demo/clients/$client/tls.key"
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
	if [[ -e $demo/devstack.json || -e $demo/vault.json ]]; then
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
	with_progress Building go build -o "$demo/bin/" ./internal/devstack/cmd/devstack ./examples/quickstart/application
	CGO_ENABLED=0 with_progress Building go build -ldflags "-X main.version=$version" \
		-o "$mirror/terraform-provider-brownie_v$version" .

	say "Starting PostgreSQL ${BROWNIE_PG_VERSION:-16}, PgBouncer and Vault"
	"$demo/bin/devstack" up "$demo" "${clients[@]}" >"$demo/env"
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
	cd "$demo/quickstart"

	say 'terraform apply'
	terraform init -input=false >"$demo/init.log" || { cat "$demo/init.log" && exit 1; }
	# The plan is long; what is done, and the outputs, say the same.
	terraform plan -no-color -input=false -out="$demo/tfplan" | grep '^.*Plan:'
	terraform apply -no-color -input=false "$demo/tfplan" | sed '/^.*Outputs:/,$d'
	rm "$demo/tfplan"

	say 'What the database holds now, read back through the data sources'
	terraform output -raw table
	echo

	say 'Attacks on the isolation of tenants, as each kind of role, in each table'
	terraform output -raw isolation
	echo

	say 'Certificates that Vault has issued'
	terraform output -raw certificates
	echo
	echo "Private keys in Terraform's state: $(grep -c 'PRIVATE KEY' terraform.tfstate || true)"

	say 'The applications fetch their certificates from Vault; Terraform tries the logins with them, and plans once more'
	fetch_certificates >"$demo/quickstart/demo.auto.tfvars.json"
	terraform apply -no-color -input=false -auto-approve >"$demo/apply.log" || { cat "$demo/apply.log" && exit 1; }
	terraform plan -no-color -input=false -detailed-exitcode | grep -v -e 'Refreshing state' -e 'Reading\.\.\.' -e 'Read complete'

	say "Acme's application logs in through PgBouncer with its certificate, and reads all users that there are for it"
	application acme-app acme-app

	say "Globex's certificate is no key to Acme"
	if application acme-app globex-app 2>&1; then
		echo 'It was let in: that must not happen.' >&2
		exit 1
	fi

	say 'Each tenant with its own certificate and with the other one, through PgBouncer'
	terraform output -raw logins
	echo

	cat <<-EOF

		==> The servers keep running. To look around and change something:

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
