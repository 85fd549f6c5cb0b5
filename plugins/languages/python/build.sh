#!/usr/bin/env bash
# Makes build/matching.wasm of matching.py. Installs componentize-py from PyPI into venv, as requirements.txt has it.
set -euo pipefail
cd "$(dirname "$0")"

command -v python3 >/dev/null || { echo "python3 is missing: install Python 3.10 or newer" >&2; exit 1; }
if [ ! -x venv/bin/componentize-py ] || [ requirements.txt -nt venv/.installed ]; then
    python3 -m venv venv || { echo "python3 has no module venv: install it (python3-venv in Debian)" >&2; exit 1; }
    venv/bin/pip install --quiet --disable-pip-version-check --requirement requirements.txt
    touch venv/.installed
fi
rm -rf build
mkdir -p build/wit/deps
cp world.wit build/wit
cp -r ../../../wit build/wit/deps/weir-plugin
# What WASI would give is nothing here anyway: with stubs the component imports weir:plugin alone.
venv/bin/componentize-py --quiet --wit-path build/wit --world matching \
    componentize --stub-wasi matching --output build/matching.wasm
echo "$PWD/build/matching.wasm"
