#!/usr/bin/env bash
# Fails if an addon needs symbols that this version of glibc does not have.
#
#   scripts/check-glibc.sh plimsoll.linux-x64-gnu.node 2.28
#
# Such a symbol has a newer version, or no version and is not Node's. It has no version if the code calls a newer
# function directly and the linker knows only the older glibc.
set -euo pipefail

addon=${1:?usage: check-glibc.sh file.node version}
limit=${2:?usage: check-glibc.sh file.node version}

# Not a pipe: with pipefail, a reader that exits early fails the writer.
symbols=$(objdump -T "$addon")
undefined=$(awk '/\*UND\*/' <<< "$symbols")
versions=$(grep -o 'GLIBC_[0-9.]*' <<< "$undefined" | sort -Vu)
if [ -z "$versions" ]; then
  echo "$addon has no versioned glibc symbol; is it an addon for Linux with glibc?" >&2
  exit 1
fi
newest=$(tail -n 1 <<< "$versions" | sed 's/GLIBC_//')

too_new=$(awk -v limit="$limit" '
  function rank(version, part) { split(version, part, "."); return part[1] * 1000000 + part[2] * 1000 + part[3] }
  match($0, /GLIBC_[0-9.]+/) && rank(substr($0, RSTART + 6, RLENGTH - 6)) > rank(limit) { print $NF, substr($0, RSTART, RLENGTH) }
' <<< "$undefined")

# A weak symbol (`w` in column 2) may stay undefined.
unknown=$(awk '$2 != "w" && !/\(?(GLIBC|GCC)_[0-9A-Z.]+\)?/ && $NF !~ /^(napi_|node_api_)/ { print $NF }' <<< "$undefined")

if [ -n "$too_new" ]; then
  echo "$addon needs symbols that are newer than glibc $limit. Use dlsym() at run time instead:" >&2
  sed 's/^/  /' <<< "$too_new" >&2
fi
if [ -n "$unknown" ]; then
  echo "$addon needs symbols that neither glibc $limit nor Node-API has:" >&2
  sed 's/^/  /' <<< "$unknown" >&2
fi
[ -z "$too_new" ] && [ -z "$unknown" ] || exit 1
echo "$addon needs glibc $newest; at most $limit is allowed"
