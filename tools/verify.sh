#!/usr/bin/env bash
# Checks that formatting, go.mod and the generated docs are up to date and that every example is valid. Called by
# `make verify`. Generators run in a copy of the working tree: it is judged as it is, committed or not, and not changed.
set -euo pipefail
cd "$(dirname "$0")/.."

export CHECKPOINT_DISABLE=1
unset TF_CLI_CONFIG_FILE # a developer's own overrides
tool=(go tool -modfile=tools/go.mod)
status=0

step() { printf '==> %s\n' "$1"; }
bad() {
	printf 'verify: %s\n' "$1" >&2
	status=1
}

step 'Go formatting'
"${tool[@]}" golangci-lint fmt --diff || bad 'Go files are not formatted: run `make fmt`'

step 'Terraform formatting'
for dir in examples modules; do
	[[ ! -d $dir ]] || terraform fmt -check -diff -recursive "$dir" || bad "$dir/ is not formatted: run \`make fmt\`"
done

step 'go.mod'
go mod tidy -diff || bad 'go.mod is not tidy: run `go mod tidy`'

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git ls-files -z --cached --others --exclude-standard |
	while IFS= read -r -d '' file; do [[ ! -e $file ]] || printf '%s\0' "$file"; done |
	tar --null --files-from=- -cf - | tar -xf - -C "$copy"
cd "$copy"

step 'Generated files'
mkdir -p before docs
cp -R docs examples migrations modules before/
if make --no-print-directory generate >generate.log 2>&1; then
	for dir in docs examples migrations modules; do
		diff -ru "before/$dir" "$dir" || bad "$dir/ is out of date: run \`make generate\`"
	done
	"${tool[@]}" tfplugindocs validate --provider-name brownie >validate.log 2>&1 || {
		cat validate.log >&2
		bad 'the docs do not suit the registry, see above'
	}
else
	cat generate.log >&2
	bad 'generated files cannot be made, see above'
fi

step 'Examples'
make --no-print-directory install VERSION=dev >install.log 2>&1 || {
	cat install.log >&2
	bad 'the provider does not build, see above'
}
find examples -name '*.tf' -exec dirname {} \; | sort -u >dirs
while IFS= read -r dir; do
	TF_CLI_CONFIG_FILE=$PWD/bin/dev.tfrc terraform -chdir="$dir" validate -no-color >validate.log 2>&1 || {
		cat validate.log >&2
		bad "$dir is not valid, see above"
	}
done <dirs

exit "$status"
