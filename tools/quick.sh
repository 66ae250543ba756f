#!/usr/bin/env bash
# Runs what takes half a minute: go vet, the tests that need no server, and those of tenancy and postgres on a real PostgreSQL.
# Called by `make quick`.
set -euo pipefail
cd "$(dirname "$0")/.."
unset TF_ACC "${!PG@}" # connections of the developer's own

go vet ./...
go -C tools test ./testsummary
go test . ./bench/... ./internal/tenancy ./internal/postgres
go test ./internal/access ./internal/migrate -run '^Test(ParseTimeout|ReservedNames|ThePlatformsFilesNeedNoParser)'
