#!/usr/bin/env bash
# The demo: starts PostgreSQL, PgBouncer and, if one is at hand, Vault, applies the quickstart with the provider built from this
# tree, shows what it made, plans again, and logs in as a tenant's application. Called by `make demo` and `make demo-down`.
# Everything it makes is in .demo/, but for the servers' folders. One process in the background owns the servers: they end with it.
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

# Fetches what Vault stores for the clients, as Vault Agent would on their machines.
fetch_certificates() {
	local client
	for client in "${clients[@]}"; do
		"$demo/bin/devstack" secret "$demo" "$client"
	done
}

# Tells the quickstart where the certificates and the pooler are.
settings() {
	local client separator=
	printf '{"pooler": {"host": "%s", "port": %s}, "certificates": {' "${BROWNIE_POOLER_HOST:-$PGHOST}" "${BROWNIE_POOLER_PORT:-$PGPORT}"
	for client in "${clients[@]}"; do
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

# Waits until the servers run, and passes on what their process says meanwhile.
wait_for_servers() {
	local pid=$1 shown=0 lines
	until [[ -e $demo/env ]]; do
		sleep 0.2
		lines=$(wc -l <"$demo/devstack.log")
		((lines == shown)) || sed -n "$((shown + 1)),${lines}p" "$demo/devstack.log"
		shown=$lines
		kill -0 "$pid" 2>/dev/null || { tail -n "+$((shown + 1))" "$demo/devstack.log" >&2 && exit 1; }
	done
}

down() {
	local pid
	# The number may be another process's by now.
	if [[ -e $demo/pid ]] && pid=$(<"$demo/pid") && [[ $(ps -o args= -p "$pid") == "$demo/bin/devstack "* ]]; then
		kill "$pid" && while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
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

	say 'Building the provider, and starting the servers meanwhile'
	local version=0.0.1 platform build_vault=()
	case ${VAULT:-} in
	build) build_vault=(-build-vault) ;;
	'') ;;
	*) echo "make demo: VAULT is '$VAULT'; it must be 'build', or not set" >&2 && exit 2 ;;
	esac
	platform=$(go env GOOS)_$(go env GOARCH)
	local mirror=$demo/plugins/registry.terraform.io/longyi-brownie/brownie/$version/$platform
	with_progress Building go build -o "$demo/bin/" ./internal/devstack/cmd/devstack ./examples/quickstart/application
	nohup "$demo/bin/devstack" up "${build_vault[@]}" "$demo" "${clients[@]}" </dev/null >"$demo/devstack.log" 2>&1 &
	echo $! >"$demo/pid"
	CGO_ENABLED=0 with_progress Building go build -ldflags "-X main.version=$version" \
		-o "$mirror/terraform-provider-brownie_v$version" .
	wait_for_servers "$(<"$demo/pid")"
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
	[[ -n ${VAULT_ADDR:-} ]] || rm certificates.tf

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

	if [[ -n ${VAULT_ADDR:-} ]]; then
		say 'Certificates that Vault has issued'
		terraform output -raw certificates
		printf "\nPrivate keys in Terraform's state: %s\n" "$(grep -c 'PRIVATE KEY' terraform.tfstate || true)"
		say 'The applications fetch their certificates from Vault; Terraform tries the logins with them, and plans once more'
		fetch_certificates
	else
		say "Without Vault the applications' certificates are of the demo's own authority; Terraform tries the logins with them, and plans once more"
	fi
	settings >"$demo/quickstart/demo.auto.tfvars.json"
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

	if [[ -z ${VAULT_ADDR:-} ]]; then
		cat <<-EOF

			==> To see how Terraform issues and renews the certificates, install Vault, or have one built, once, in some minutes:

			      make demo VAULT=build
		EOF
	fi
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
