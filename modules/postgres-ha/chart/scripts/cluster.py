"""What the scripts have in common that ask the API server: the cluster's members, and what is kept of them."""

import json
import os
import time

from kubernetes import client, config
from kubernetes.client.rest import ApiException

name = os.environ["CLUSTER"]
# The major version that the data have, or had.
UPGRADE_FROM = os.environ.get("UPGRADE_FROM", "")
config.load_incluster_config()
with open("/var/run/secrets/kubernetes.io/serviceaccount/namespace", encoding="ascii") as file:
    namespace = file.read()
apps, core = client.AppsV1Api(), client.CoreV1Api()


def kept(what):
    """What Patroni keeps in one of its ConfigMaps."""
    return core.read_namespaced_config_map(f"{name}-{what}", namespace).metadata.annotations or {}


def keep(what, **changes):
    """Changes it; None takes a key away."""
    core.patch_namespaced_config_map(f"{name}-{what}", namespace, {"metadata": {"annotations": changes}})


def members():
    return core.list_namespaced_pod(namespace, label_selector=f"cluster-name={name}").items


def whole(pod):
    """Tells whether a member works, and is not about to end."""
    if pod.metadata.deletion_timestamp or not any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions or []):
        return False
    status = json.loads((pod.metadata.annotations or {}).get("status", "{}"))
    return status.get("state") == "running" and status.get("replication_state", "streaming") == "streaming"


def lacking(pods, wanted):
    """Which members do not work; empty if all do."""
    broken = ", ".join(p.metadata.name for p in pods if not whole(p))
    return broken or (f"there are {len(pods)}" if len(pods) < wanted else "")


def upgrade_state():
    """What is known of the upgrade of the major version, which scripts/upgrade explains, and its version for `advance`."""
    if not UPGRADE_FROM:
        return {}, ""
    found = core.read_namespaced_config_map(f"{name}-upgrade", namespace)
    state = found.data or {}
    return state if state.get("from") == UPGRADE_FROM else {}, found.metadata.resource_version


def advance(version, **changes):
    """Changes that, unless somebody else did since (ApiException 409)."""
    body = {"metadata": {"resourceVersion": version}, "data": {"from": UPGRADE_FROM, **changes}}
    core.patch_namespaced_config_map(f"{name}-upgrade", namespace, body)


def until_done(step):
    """Calls it until there is nothing to wait for, and tells what it waits for. The API server may be away for a while."""
    told = ""
    while True:
        try:
            waits = step()
        except ApiException as problem:
            if problem.status and problem.status < 500 and problem.status not in (404, 409, 429):
                raise
            waits = f"the API server ({problem.status} {problem.reason})"
        if not waits:
            return
        if waits != told:
            told = waits
            print("waiting for", waits, flush=True)
        time.sleep(1)
