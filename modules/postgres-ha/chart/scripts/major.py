"""Makes data of a newer major version out of a stopped server's."""

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
import time

from cluster import UPGRADE_FROM


class Trouble(Exception):
    """Why data cannot be upgraded."""


def programs(major):
    return f"/usr/lib/postgresql/{major}/bin"


# That of the image, whose PATH has it.
NEW = re.search(r"\d+", subprocess.check_output(["postgres", "--version"], text=True)).group()
# Access by the unix socket alone. What the old server is given besides is in its own files.
ALONE = "-c listen_addresses='' -c ssl=off -c shared_buffers=64MB -c huge_pages=off"
NEW_OPTIONS = f"{ALONE} -c shared_preload_libraries=pgaudit"


def run(*command, **options):
    """Runs a program, and says with its last lines why it failed."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options)
    print(done.stdout, flush=True)
    if done.returncode:
        raise Trouble(f"{os.path.basename(command[0])}: " + " ".join(done.stdout.split("\n")[-15:]))
    return done.stdout


def version(data):
    """Major version of a data directory; empty if it has none."""
    file = data / "PG_VERSION"
    return file.read_text(encoding="ascii").strip() if file.exists() else ""


def control(data, major):
    """What pg_control says."""
    text = subprocess.check_output([f"{programs(major)}/pg_controldata", data], text=True)
    return {key: value.strip() for key, value in (line.split(":", 1) for line in text.splitlines() if ":" in line)}


def can_clone(directory):
    """Tells whether the file system can share blocks between files."""
    with tempfile.TemporaryFile(dir=directory) as source, tempfile.TemporaryFile(dir=directory) as target:
        source.write(b"x" * 4096)
        source.flush()
        try:
            fcntl.ioctl(target.fileno(), 0x40049409, source.fileno())  # FICLONE
        except OSError:
            return False
    return True


def size(directory):
    return sum(file.lstat().st_size for file in directory.rglob("*") if file.is_file() and not file.is_symlink())


def initialize(data, built):
    """Makes an empty cluster like the old one. Locale and encoding are taken over by pg_upgrade."""
    shutil.rmtree(built, ignore_errors=True)
    found = control(data, UPGRADE_FROM)
    checksums = found["Data page checksum version"] != "0"
    arguments = ["--username=postgres", "--no-sync", "--auth-local=peer", "--auth-host=reject",
                 f"--wal-segsize={int(found['Bytes per WAL segment']) // 1024**2}"]
    if checksums or int(NEW) >= 18:
        arguments.append("--data-checksums" if checksums else "--no-data-checksums")
    run(f"{programs(NEW)}/initdb", *arguments, built)


def pg_upgrade(data, built, folder, *arguments, **options):
    """Runs it, and says with the first error in its logs why it failed."""
    try:
        run_pg_upgrade(data, built, folder, *arguments, **options)
    except Trouble as problem:
        for log in built.glob("pg_upgrade_output.d/*/**/*"):
            text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
            if log.suffix == ".txt" or "ERROR:" in text or "FATAL:" in text:
                print(f"{log.name}:", text[-5000:], flush=True)
                raise Trouble(f"{problem} {log.name}: {(re.search('(ERROR|FATAL):.*', text) or [text])[0][:500]}") from problem
        raise


def run_pg_upgrade(data, built, folder, *arguments, **options):
    run(
        f"{programs(NEW)}/pg_upgrade", f"--old-bindir={programs(UPGRADE_FROM)}", f"--new-bindir={programs(NEW)}",
        f"--old-datadir={data}", f"--new-datadir={built}", "--username=postgres", f"--socketdir={folder}", "--jobs=2",
        "--clone" if can_clone(data.parent) else "--copy", f"--old-options={ALONE}", f"--new-options={NEW_OPTIONS}",
        *arguments, cwd=folder, **options)


def rehearse(built, folder):
    """Has the new server make all objects of the running one, which pg_upgrade's own check does not."""
    schema = f"{folder}/schema.sql"
    run(f"{programs(NEW)}/pg_dumpall", "-h", "/run/postgresql", "-U", "postgres", "--schema-only", "--no-tablespaces", f"--file={schema}")
    start(built, NEW, folder, f"{NEW_OPTIONS} -c fsync=off")
    try:
        # The role that makes them is there already.
        text = run(f"{programs(NEW)}/psql", "-Xq", "-h", folder, "-U", "postgres", "-d", "postgres", "-f", schema)
        wrong = [line for line in text.splitlines() if "ERROR:" in line and not line.endswith('role "postgres" already exists')]
        if wrong:
            raise Trouble(f"the new version refuses {len(wrong)} statements, such as {wrong[0]}")
    finally:
        stop(built, NEW)


def check(data, built):
    """Says what is in the way of an upgrade, beside the running server; empty if nothing is."""
    try:
        if version(data) != UPGRADE_FROM:
            raise Trouble(f"the data are of PostgreSQL {version(data)}")
        if int(NEW) <= int(UPGRADE_FROM):
            raise Trouble(f"the image has PostgreSQL {NEW}, and nothing newer")
        if any((data / "pg_tblspc").iterdir()):
            raise Trouble("there are tablespaces")
        needed, free = size(data), shutil.disk_usage(data).free
        if free < needed + needed // 10:
            raise Trouble(f"old and new data need {needed // 1024**2} MiB more on each volume, and {free // 1024**2} MiB are free")
        with tempfile.TemporaryDirectory() as folder:
            initialize(data, built)
            pg_upgrade(data, built, folder, "--check")
            rehearse(built, folder)
    except (Trouble, OSError, subprocess.SubprocessError) as problem:
        return str(problem)
    finally:
        shutil.rmtree(built, ignore_errors=True)
    return ""


def start(data, major, folder, options):
    run(f"{programs(major)}/pg_ctl", "start", "--wait", "--timeout=3600", f"--pgdata={data}", f"--log={folder}/log",
        f"--options={options} -k {folder}")


def stop(data, major):
    run(f"{programs(major)}/pg_ctl", "stop", "--wait", "--mode=fast", "--timeout=3600", f"--pgdata={data}")


# An audit extension of one major version has no way to the next; it holds no data.
RENEW_AUDIT = """DO $$
DECLARE place text := (SELECT extnamespace::regnamespace FROM pg_catalog.pg_extension WHERE extname = 'pgaudit');
BEGIN
    IF place IS NOT NULL THEN
        DROP EXTENSION pgaudit;
        EXECUTE 'CREATE EXTENSION pgaudit SCHEMA ' || place;
    END IF;
END $$"""


def finish(built, folder):
    """Has the new server start before anything depends on it, and brings extensions to their new versions."""
    psql = [f"{programs(NEW)}/psql", "-XqAt", "-h", folder, "-U", "postgres", "-d"]
    start(built, NEW, folder, NEW_OPTIONS)
    try:
        for database in run(*psql, "postgres", "-c", "SELECT datname FROM pg_catalog.pg_database WHERE datallowconn").splitlines():
            run(*psql, database, "-v", "ON_ERROR_STOP=1", "-c", RENEW_AUDIT)
        if os.path.exists(f"{folder}/update_extensions.sql"):
            # One that cannot be updated goes on as it is.
            run(*psql, "postgres", "-f", f"{folder}/update_extensions.sql")
    finally:
        stop(built, NEW)


def upgrade(data, built, deadline):
    """Makes new data beside the old ones, and returns the new cluster's system identifier."""
    if (data / "standby.signal").exists() or "recovery" in control(data, UPGRADE_FROM)["Database cluster state"]:
        raise Trouble("these data are a replica's")
    with tempfile.TemporaryDirectory() as folder:
        # Of a server that did not end by itself. No other one can be there.
        (data / "postmaster.pid").unlink(missing_ok=True)
        if control(data, UPGRADE_FROM)["Database cluster state"] != "shut down":
            start(data, UPGRADE_FROM, folder, ALONE)
            stop(data, UPGRADE_FROM)
        initialize(data, built)
        try:
            pg_upgrade(data, built, folder, timeout=max(1, deadline - time.time()))
        finally:
            # When time was up, pg_upgrade leaves a server.
            for directory in (data, built):
                if (directory / "postmaster.pid").exists():
                    stop(directory, version(directory))
        finish(built, folder)
    return control(built, NEW)["Database system identifier"]


def make_statistics():
    """Makes statistics that the upgrade has not taken over; says why it could not."""
    arguments = ["--missing-stats-only"] if int(NEW) >= 18 else []
    try:
        run(f"{programs(NEW)}/vacuumdb", "-h", "/run/postgresql", "-U", "postgres", "--all", "--analyze-in-stages", *arguments)
    except (Trouble, OSError) as problem:
        return str(problem)
    return ""
