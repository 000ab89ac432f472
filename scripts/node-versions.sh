#!/usr/bin/env bash
# Installs the other Node versions for the tests into .node-versions/ (600 MB), from the npm packages
# node-<platform>-<arch>. __test__/support/nodes.js finds them there.
set -euo pipefail
cd "$(dirname "$0")/.."

mkdir -p .node-versions
# Without a manifest here, npm would use the one of the repository.
node -e '
const node = `npm:node-${process.platform}-${process.arch}`
const dependencies = Object.fromEntries([22, 24, 26].map(major => [`node${major}`, `${node}@${major}`]))
console.log(JSON.stringify({ private: true, dependencies }, null, 2))
' > .node-versions/package.json
npm install --prefix .node-versions --no-package-lock --ignore-scripts --no-audit --no-fund

for node in .node-versions/node_modules/node*/bin/node; do
  printf '%s %s\n' "$("$node" --version)" "$node"
done
