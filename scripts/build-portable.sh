#!/usr/bin/env bash
# Builds the Linux addon for distribution. It links against glibc 2.28, as Node 20 and 22 do, on any build machine.
# Writes target/portable/plimsoll.linux-<arch>-gnu.node and checks its symbols.
#
#   scripts/build-portable.sh [x86_64|aarch64]     default: this machine's; another needs `rustup target add`
#
# PLIMSOLL_PROFILE chooses a profile of Cargo.toml (default: release).
#
# zig has the symbol table of every glibc, and cargo-zigbuild links with zig. `napi build --use-napi-cross` could do
# the same. But it needs Node 22.20 or later and a version of a toolchain package that is not published.
set -euo pipefail
cd "$(dirname "$0")/.."

glibc=2.28
machine=${1:-$(uname -m)}
zig=0.17.1
zigbuild=0.24.0

if ! command -v zig > /dev/null || ! command -v cargo-zigbuild > /dev/null; then
  tools=${XDG_CACHE_HOME:-$HOME/.cache}/plimsoll/zig-$zig-$zigbuild
  if [ ! -x "$tools/bin/cargo-zigbuild" ]; then
    fresh=$(mktemp -d)
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore \
      --target "$fresh" "ziglang==$zig" "cargo-zigbuild==$zigbuild"
    mkdir -p "$(dirname "$tools")"
    rm -rf "$tools"
    mv "$fresh" "$tools"
  fi
  export PATH="$tools/bin:$tools/ziglang:$PATH"
fi

# By default jemalloc uses the page size of the build machine. arm64 kernels have pages of 4 to 64 KiB.
if [ "$machine" = aarch64 ]; then export JEMALLOC_SYS_WITH_LG_PAGE=16; fi

npx napi build --platform --profile "${PLIMSOLL_PROFILE:-release}" --cross-compile --target "$machine-unknown-linux-gnu.$glibc" \
  --js binding.js --dts binding.d.ts --output-dir target/portable -- --locked

addon=$(ls -t target/portable/plimsoll.linux-*-gnu.node | head -n 1)
scripts/check-glibc.sh "$addon" "$glibc"
