#!/usr/bin/env bash
# Installs modules/postgres-ha and modules/pgbouncer on a real Kubernetes cluster, injects faults, and looks for every acknowledged
# row. Called by `make e2e`. FAULT=<name> runs one part, which is that of all tests whose names begin so: Chart, Install, Switchover, Kill,
# DoubleKill, Delete, ForceDelete, Evict, Freeze, Rolling, Standby, Replica, AllKilled, VolumeLost, Starved, Lock, Forbidden,
# TooManyRequests, BrokenServer, Unreachable (OUTAGE=10m), NoNames, CutOff, DiskFull, Growth, Pooler, Alone, Quorum, Scale, EvictEach,
# Autoscaling, LockedRole, StandbyCluster, Reload, Authority, Expired, Revocation, Upgrade (UPGRADE_MIB=1024), Module, Compose, Random,
# Forward, CertManager (where the cluster has cert-manager and its csi-driver; the Vault is that of VAULT_ADDR, or one of this machine,
# which pods reach). HELM_VERSION=v4.3.1 takes another Helm. RUNS=<n> repeats a fault; RECORD=<file> keeps its figures in a table; E2E_ANY_GAP=1 does
# not judge them.
#
# The cluster is that of KUBECONFIG, with images that the nodes have or can pull: E2E_IMAGES (such as registry.example/e2e) and
# E2E_TAG name those of images/ and of modules/e2e/ledger; E2E_NODE, such as `ssh node1`, runs a command as root on its one node, without
# which some faults are not tested. Without KUBECONFIG, a cluster that may stand ready beside the checkout is
# brought up, and the images are built for it.
set -euo pipefail
cd "$(dirname "$0")/.."

kube=${BROWNIE_KUBE:-../shared/kube}
if [[ -z ${KUBECONFIG:-} ]]; then
	if [[ ! -x $kube/up || $EUID != 0 ]]; then
		echo 'make e2e: nothing was tested: there is no Kubernetes cluster. Name one in KUBECONFIG.' >&2
		exit 3
	fi
	echo '==> Cluster'
	if ! ready=$("$kube/up"); then
		echo 'make e2e: nothing was tested: no Kubernetes cluster starts here.' >&2
		exit 3
	fi
	eval "$ready"
	export E2E_IMAGES=brownie.local E2E_TAG=e2e E2E_NODE='sh -c'
	work=$(mktemp -d -p /var/tmp)
	trap 'rm -rf "$work"' EXIT
	echo '==> Images'
	image() { # image NAME FOLDER [OPTIONS...]
		"$kube/build" "$E2E_IMAGES/$1:$E2E_TAG" "${@:2}" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
	}
	for program in brownie-crl brownie-leader; do
		mkdir "$work/$program"
		CGO_ENABLED=0 go build -trimpath -o "$work/$program/$program" "./cmd/$program"
		cp "images/$program/Dockerfile" "$work/$program/"
		image $program "$work/$program"
	done
	image postgres images/postgres
	[[ -n ${FAULT:-} && $FAULT != *Upgrade* ]] || image postgres-upgrade images/postgres --build-arg UPGRADE_FROM=17
	image pgbouncer images/pgbouncer
	mkdir "$work/ledger"
	CGO_ENABLED=0 go build -trimpath -o "$work/ledger/ledger" ./modules/e2e/ledger
	"$kube/image" $E2E_IMAGES/ledger:$E2E_TAG "$work/ledger" --entrypoint /ledger --user 10001 >"$work/log" 2>&1 ||
		{ cat "$work/log" >&2; exit 1; }
elif [[ -z ${E2E_IMAGES:-} || -z ${E2E_TAG:-} ]]; then
	echo 'make e2e: nothing was tested: name the images for the cluster of KUBECONFIG in E2E_IMAGES and E2E_TAG.' >&2
	exit 3
fi

# Helm's own program and kubeconform, built from their modules once.
helm_version=${HELM_VERSION:-v3.22.0}
kubeconform_version=v0.8.0
cache=${BROWNIE_CACHE_DIR:-$([[ $EUID == 0 ]] && echo /var/cache || echo "${XDG_CACHE_HOME:-$HOME/.cache}")/terraform-provider-brownie}
export HELM=$cache/helm-$helm_version/helm KUBECONFORM=$cache/kubeconform-$kubeconform_version/kubeconform
if [[ ! -x $HELM ]]; then
	echo "==> Helm $helm_version"
	GOBIN=${HELM%/*} go install "helm.sh/helm/${helm_version%%.*}/cmd/helm@$helm_version"
fi
if [[ ! -x $KUBECONFORM && ${FAULT:-Chart} == Chart ]]; then
	echo "==> kubeconform $kubeconform_version"
	GOBIN=${KUBECONFORM%/*} go install "github.com/yannh/kubeconform/cmd/kubeconform@$kubeconform_version"
fi

# What runs examples/compose.
if [[ -z ${COMPOSE:-} ]]; then
	for program in 'docker compose' podman-compose; do
		if $program version >/dev/null 2>&1; then export COMPOSE=$program; break; fi
	done
fi

echo '==> Tests'
go test -tags=e2e -count=1 -timeout=4h -v -run "^Test${FAULT:-}" ./modules/e2e
