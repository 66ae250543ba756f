#!/usr/bin/env bash
# The demo: starts PostgreSQL, PgBouncer and, if there is one, Vault, applies the quickstart with the provider built from this
# tree, shows what it made, plans again, and logs in as a tenant's application. Called by `make demo` and `make demo-down`.
# Everything it makes is in .demo/, but for the servers' folders.
set -euo pipefail
cd "$(dirname "$0")/../.."
demo=$PWD/.demo
# Connections of the caller's own: libpq and pgx would mix them in, and the demo must not touch servers that are in use.
unset "${!PG@}" "${!VAULT_@}" BROWNIE_POSTGRES_URL
clients=(acme-app globex-app)
job=     # process that with_progress waits for
servers= # process that runs the servers

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
	local status=0
	wait $job || status=$?
	job=
	return $status
}

# Logs in through the pooler as one client with the certificate of one, and prints what the application says.
application() {
	local role=$1 certificate=$demo/clients/$2
	PGHOST=${BROWNIE_POOLER_HOST:-$PGHOST} PGPORT=${BROWNIE_POOLER_PORT:-$PGPORT} PGUSER=$role PGSSLMODE=verify-full \
		PGSSLROOTCERT=$certificate/ca.crt PGSSLCERT=$certificate/tls.crt PGSSLKEY=$certificate/tls.key \
		"$demo/bin/application"
}

# Writes the quickstart's variables: whether there is a Vault, where backups go, and, if told to, where the applications log in and
# with which certificates.
variables() {
	if [[ -n ${VAULT_ADDR:-} ]]; then
		printf '{"vault": true, "vault_role": "applications"'
	else
		printf '{"vault": false'
	fi
	if [[ -n ${BROWNIE_BACKUP_RECIPIENTS:-} ]]; then
		printf ', "backups": {"folder": "%s", "recipients": ["%s"]}' "$demo/backups" "${BROWNIE_BACKUP_RECIPIENTS// /\", \"}"
	fi
	[[ ${1:-} != logins ]] || logins
	echo '}'
}

logins() {
	local client folder separator=
	printf ', "pooler": {"host": "%s", "port": %s}, "certificates": {' "${BROWNIE_POOLER_HOST:-$PGHOST}" "${BROWNIE_POOLER_PORT:-$PGPORT}"
	for client in "${clients[@]}"; do
		folder=$demo/clients/$client
		printf '%s"%s": {"sslcert": "%s", "sslkey": "%s"}' "$separator" "$client" "$folder/tls.crt" "$folder/tls.key"
		separator=', '
	done
	printf '}'
}

# Runs the schedule, proves that the backup restores, and shows what Terraform reads of that.
backup() {
	local certificate=$demo/clients/brownie-backup
	(
		export PGUSER=brownie-backup PGSSLMODE=verify-full
		export PGSSLROOTCERT=$certificate/ca.crt PGSSLCERT=$certificate/tls.crt PGSSLKEY=$certificate/tls.key
		with_progress 'Backing up and restoring' "$demo/bin/brownie-backup" --bin "$BROWNIE_BACKUP_TOOLS" --identity "$demo/backups.identity" \
			--server-bin "$BROWNIE_BACKUP_SERVER_PROGRAMS" backup nightly 2>"$demo/backup.log" || { cat "$demo/backup.log" && exit 1; }
	)
	terraform apply -no-color -input=false -refresh-only -auto-approve >"$demo/apply.log" || { cat "$demo/apply.log" && exit 1; }
	echo
	terraform output -raw backups
	echo
}

need() {
	command -v "$1" >/dev/null || {
		echo "make demo: $1 is needed. $2" >&2
		exit 1
	}
}

down() {
	if [[ -e $demo/lock ]]; then
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
		if [[ -n $servers ]]; then kill $servers && wait $servers || true; fi 2>/dev/null
		down
	fi
	exit $status
}

# Starts the process that runs the servers. It goes on in the background when the demo has ended, and ends when
# .demo/servers.env is removed.
start_servers() {
	nohup "$demo/bin/devstack" up ${VAULT:+-vault="$VAULT"} "$demo" "${clients[@]}" </dev/null >/dev/null 2>"$demo/servers.log" &
	servers=$!
}

# Shows what the servers' process says until they run.
await_servers() {
	exec 3<"$demo/servers.log"
	until [[ -e $demo/servers.env ]]; do
		if ! kill -0 $servers 2>/dev/null; then
			cat <&3 >&2
			exit 1
		fi
		cat <&3
		sleep 0.2
	done
	cat <&3
	exec 3<&-
}

up() {
	need go 'Install Go 1.26 or newer: https://go.dev/dl'
	need terraform 'Install Terraform 1.11 or newer: https://developer.hashicorp.com/terraform/install'
	case ${VAULT:-} in
	'' | build | none) ;;
	*) echo "make demo: VAULT is \"$VAULT\"; it must be build or none, or be left out." >&2 && exit 1 ;;
	esac
	down
	# A demo that does not come to its end leaves nothing behind.
	trap abandon EXIT
	trap 'exit 130' INT TERM
	mkdir -p "$demo/bin" "$demo/quickstart"

	say "Building the provider, and starting PostgreSQL and PgBouncer meanwhile"
	# Without cgo the standard library is compiled once for all of them.
	export CGO_ENABLED=0
	local version=0.0.1 platform
	platform=$(go env GOOS)_$(go env GOARCH)
	local mirror=$demo/plugins/registry.terraform.io/longyi-brownie/brownie/$version/$platform
	with_progress 'Building the application' go build -o "$demo/bin/" ./internal/devstack/cmd/devstack ./examples/quickstart/application ./cmd/brownie-backup
	start_servers
	with_progress 'Building the provider' go build -ldflags "-X main.version=$version" -o "$mirror/terraform-provider-brownie_v$version" .
	await_servers

	cat >"$demo/terraformrc" <<-EOF
		provider_installation {
		  filesystem_mirror {
		    path = "$demo/plugins"
		  }
		}
	EOF
	cat >"$demo/env" <<-EOF
		. '$demo/servers.env'
		export TF_CLI_CONFIG_FILE='$demo/terraformrc' CHECKPOINT_DISABLE=1 PATH='$demo/bin':"\$PATH"
	EOF
	# shellcheck source=/dev/null
	source "$demo/env"
	cp examples/quickstart/*.tf "$demo/quickstart"
	cd "$demo/quickstart"

	say 'terraform apply'
	if [[ -n ${VAULT_ADDR:-} ]]; then variables; else variables logins; fi >demo.auto.tfvars.json
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
		echo
		echo "Private keys in Terraform's state: $(grep -c 'PRIVATE KEY' terraform.tfstate || true)"

		say 'The applications fetch their certificates from Vault, and Terraform tries the logins with them'
		for client in "${clients[@]}"; do "$demo/bin/devstack" secret "$demo" "$client"; done
		variables logins >demo.auto.tfvars.json
		terraform apply -no-color -input=false -auto-approve >"$demo/apply.log" || { cat "$demo/apply.log" && exit 1; }
	fi

	if [[ -n ${BROWNIE_BACKUP_RECIPIENTS:-} ]]; then
		say 'A backup, encrypted, which is then restored into a scratch server'
		backup
	fi

	say 'Another plan'
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
		say "The certificates are from the demo's own authority, since it has no Vault"
		cat <<-EOF
			    To see how Vault issues, renews and revokes them, install vault or bao, or have one built from its source, once, which takes
			    several minutes:

			      make demo VAULT=build
		EOF
	fi
	cat <<-EOF

		==> The servers keep running. To look around and change something:

		      source .demo/env
		      cd .demo/quickstart      # edit main.tf, for instance add an organization, then:
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
