#!/usr/bin/env bash
# Whether the packed package's types and entry points are what resolvers of all kinds expect.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=target/package
rm -rf "$folder"
mkdir -p "$folder"
# Without scripts: `prepare` would build what is there already.
npm pack --ignore-scripts --silent --pack-destination "$folder"
tarball=$(ls "$folder"/*.tgz)
npx attw "$tarball"
npx publint run "$tarball" --strict
