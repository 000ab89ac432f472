#!/usr/bin/env bash
# Checks that every kind of resolver finds the types and entry points of the packed package.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=target/package
rm -rf "$folder"
mkdir -p "$folder"
# Without scripts: `prepare` would build the addon again.
npm pack --ignore-scripts --silent --pack-destination "$folder"
tarball=$(ls "$folder"/*.tgz)
npx attw "$tarball"
npx publint run "$tarball" --strict
