#!/usr/bin/env bash
# Makes build/orders.wasm of orders.js. Installs componentize-js from npm into node_modules, in the version of package.json.
set -euo pipefail
cd "$(dirname "$0")"

for program in node npm; do
    command -v "$program" >/dev/null || { echo "$program is missing: install Node.js 20 or newer, with npm" >&2; exit 1; }
done
if [ ! -e node_modules/.installed ] || [ package.json -nt node_modules/.installed ]; then
    npm install --no-package-lock --no-audit --no-fund
    touch node_modules/.installed
fi
rm -rf build
mkdir -p build/wit/deps
cp world.wit build/wit
cp -r ../../../wit build/wit/deps/weir-plugin
# What WASI would give is nothing here anyway: without it the component imports weir:plugin alone.
node_modules/.bin/componentize-js orders.js --wit build/wit --world-name orders \
    --disable stdio --disable random --disable clocks --disable http --disable fetch-event --out build/orders.wasm
echo "$PWD/build/orders.wasm"
