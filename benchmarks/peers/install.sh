#!/usr/bin/env bash
# Install what benchmarks and interop tests meet. A peer that cannot be installed is named as absent.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

peers=(@signalapp/libsignal-client ts-mls @wireapp/core-crypto)

absent() { printf "absent: %s ($1)\n" "${peers[@]}"; }

if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
  absent 'Node.js is not installed'
elif ! [ node_modules/.package-lock.json -nt package-lock.json ] &&
  ! npm ci --no-audit --no-fund --loglevel=error; then
  absent 'npm could not install it'
else
  for peer in "${peers[@]}"; do
    node -p "'installed: $peer ' + JSON.parse(fs.readFileSync(
      'node_modules/$peer/package.json')).version"
  done
fi
