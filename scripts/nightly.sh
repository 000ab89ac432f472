#!/usr/bin/env bash
# Runs the checks that take too long for each change.
#
#   npm run nightly [step…]     after `npm install` and scripts/node-versions.sh
#
# Without names it runs all steps, also after one has failed. Exits with 1 if a step failed.
# FUZZ_SECONDS (default: 600) is the time for each fuzz target.
set -uo pipefail
cd "$(dirname "$0")/.."
seconds=${FUZZ_SECONDS:-600}
node24=.node-versions/node_modules/node24/bin/node

statistics() { npm run test:statistics; }
corpus() {
  PLIMSOLL_SLOW=1 node --test __test__/package/corpus.test.js &&
    npm run corpus -- --node "$(command -v node)" --node "$node24"
}
field() { PLIMSOLL_SLOW=1 node --test __test__/leaks/owners.test.js && npm run corpus:field && npm run corpus:field -- --healthy; }
soak() { npm run corpus:soak; }
# -detect_leaks=0: LeakSanitizer reports threads as leaks. RUSTC_BOOTSTRAP: cargo-fuzz needs features of nightly.
fuzz() {
  command -v cargo-fuzz > /dev/null || cargo install cargo-fuzz --version 0.13.2 --locked || return
  export RUSTC_BOOTSTRAP=1
  cargo fuzz run inflate -- "-max_total_time=$seconds" &&
    cargo fuzz run heap -- "-max_total_time=$seconds" -rss_limit_mb=1024 -detect_leaks=0 &&
    cargo fuzz run show -- "-max_total_time=$seconds" -max_len=4096 -len_control=0 -rss_limit_mb=1024
}
fuzz-js() { npm run fuzz:js -- "$(awk "BEGIN { print 3 * $seconds / 60 }")"; }
bench() { npm run bench -- --quick; }
# Builds with the release profile, as users do. .ci/run builds from the tarball with the profile `dev`.
package() { PLIMSOLL_PACKED=1 node --test __test__/package/package.test.js; }
nodes() { PLIMSOLL_SLOW=1 node --test __test__/package/nodes.test.js; }

all=(statistics corpus field soak fuzz fuzz-js bench package nodes)
for name in "$@"; do
  [[ " ${all[*]} " == *" $name "* ]] || { echo "nightly: no step '$name'; there are ${all[*]}" >&2; exit 2; }
done
failed=()
for name in "${@:-${all[@]}}"; do
  printf '\n== %s (%d min)\n' "$name" $((SECONDS / 60))
  "$name" || failed+=("$name")
done
[ ${#failed[@]} -eq 0 ] || { echo "nightly: failed: ${failed[*]}" >&2; exit 1; }
