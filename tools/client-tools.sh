#!/usr/bin/env bash
# Prints the folder of PostgreSQL's client programs (pg_dump, pg_restore, psql, pg_dumpall, pg_amcheck) and pgBackRest that tests use, for
# BROWNIE_CLIENT_TOOLS. Where the machine has none that are new enough, they come from a Debian root folder, which is made once
# in the cache if a maker of such folders is kept beside the checkout and root asks.
set -euo pipefail
cd "$(dirname "$0")/.."

# It says what it found, on standard error.
if go run ./internal/devstack/cmd/devstack client-tools; then
	exit
fi

# Debian's release that has the wanted version: that of the test servers, and not below the 17 of its stable release.
major=17 suite=trixie
if [[ ${BROWNIE_PG_VERSION:-} == 18 ]]; then
	major=18 suite=forky
fi
# Where devstack keeps what it fetches for root, and where others can read.
cache=$(realpath --canonicalize-missing "${BROWNIE_CACHE_DIR:-/var/cache/terraform-provider-brownie}")
target=$cache/client-$major-pgbackrest
make_root=${BROWNIE_KUBE:-../shared/kube}/rootfs

if [[ ! -e $target ]]; then
	[[ -x $make_root && $EUID == 0 ]] || exit 1
	umask 022 # the tests' servers run as another user, and so may tests
	mkdir -p "$cache"
	exec {lock}>"$target.lock"
	flock "$lock"
fi
if [[ ! -e $target ]]; then # nobody else made it while this one waited
	unfinished=$target.unfinished
	rm -rf --one-file-system "$unfinished" # A killed process left it.
	mkdir -p "$unfinished/bin"
	echo "==> Making a Debian root folder with PostgreSQL $major's client programs, once" >&2
	SUITE=$suite "$make_root" "$unfinished/root" "postgresql-client-$major" pgbackrest >&2
	loader=$(cd "$unfinished/root" && ls lib*/ld-linux-*.so.*)
	libraries=$(cd "$unfinished/root" && ls -d usr/lib/*-linux-gnu*)
	for program in "usr/lib/postgresql/$major/bin/"{pg_dump,pg_restore,psql,pg_dumpall,pg_amcheck} usr/bin/pgbackrest; do
		# The root folder's own loader and libraries: this machine's may be too old. The programs find each other beside the script.
		printf '#!/bin/sh\nexec "%s" --argv0 "$0" --library-path "%s" "%s" "$@"\n' \
			"$target/root/${loader%%$'\n'*}" "$target/root/${libraries%%$'\n'*}" "$target/root/$program" \
			>"$unfinished/bin/${program##*/}"
		chmod 755 "$unfinished/bin/${program##*/}"
	done
	mv "$unfinished" "$target"
fi
echo "$target/bin"
