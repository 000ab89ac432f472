#!/usr/bin/env bash
# Fails if an addon cannot be loaded with this glibc, by the symbols that it asks of the dynamic loader.
#
#   scripts/check-glibc.sh plimsoll.linux-x64-gnu.node 2.28
#
# Two ways to fail: a symbol of a newer version, or one without a version that Node does not have either (that is what
# a direct call to a newer function becomes when the linker knows only the older glibc).
set -euo pipefail

addon=${1:?usage: check-glibc.sh file.node version}
limit=${2:?usage: check-glibc.sh file.node version}

# Kept whole: under pipefail an early exit of the reader would fail the writer.
symbols=$(objdump -T "$addon")
undefined=$(awk '/\*UND\*/' <<< "$symbols")
versions=$(grep -o 'GLIBC_[0-9.]*' <<< "$undefined" | sort -Vu)
if [ -z "$versions" ]; then
  echo "$addon: no versioned glibc symbol at all; is it a Linux-gnu addon?" >&2
  exit 1
fi
newest=$(tail -n 1 <<< "$versions" | sed 's/GLIBC_//')

too_new=$(awk -v limit="$limit" '
  function rank(version, part) { split(version, part, "."); return part[1] * 1000000 + part[2] * 1000 + part[3] }
  match($0, /GLIBC_[0-9.]+/) && rank(substr($0, RSTART + 6, RLENGTH - 6)) > rank(limit) { print $NF, substr($0, RSTART, RLENGTH) }
' <<< "$undefined")

# A weak symbol may stay undefined. `w` is the flag of column 2.
nowhere=$(awk '$2 != "w" && !/\(?(GLIBC|GCC)_[0-9A-Z.]+\)?/ && $NF !~ /^(napi_|node_api_)/ { print $NF }' <<< "$undefined")

if [ -n "$too_new" ]; then
  echo "$addon needs symbols newer than glibc $limit; look them up at run time (dlsym) instead:" >&2
  sed 's/^/  /' <<< "$too_new" >&2
fi
if [ -n "$nowhere" ]; then
  echo "$addon needs symbols that neither glibc $limit nor Node-API has:" >&2
  sed 's/^/  /' <<< "$nowhere" >&2
fi
[ -z "$too_new" ] && [ -z "$nowhere" ] || exit 1
echo "$addon needs glibc $newest, and may need $limit"
