#!/usr/bin/env bash
# Install what the benchmarks compare with. A peer that cannot be installed is named as absent.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

absent() { printf 'absent: %s (%s)\n' "$1" "$2"; }

libsignal='@signalapp/libsignal-client'
if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
  absent "$libsignal" 'Node.js is not installed'
elif ! [ node_modules/.package-lock.json -nt package-lock.json ] &&
  ! npm ci --no-audit --no-fund --loglevel=error; then
  absent "$libsignal" 'npm could not install it'
else
  node -e "
    const name = '$libsignal';
    console.log('installed: ' + name + ' ' + require(name + '/package.json').version);
  "
fi
