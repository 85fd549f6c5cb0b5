#!/usr/bin/env bash
# Makes build/contains.wasm of contains.c: a core module, of which the broker makes a component. Installs wit-bindgen's command line from
# crates.io into tools.
set -euo pipefail
cd "$(dirname "$0")"

wit_bindgen_version=0.60.0
CLANG=${CLANG:-clang}
# Where the libc for WebAssembly is: Debian's, unless it is that of a wasi-sdk.
SYSROOT=${SYSROOT:-/usr}

missing() { echo "$1 is missing: on Debian, apt-get install clang lld wasi-libc libclang-rt-dev-wasm32" >&2; exit 1; }
command -v "$CLANG" >/dev/null || missing "$CLANG"
command -v wasm-ld >/dev/null || missing wasm-ld
[ -e "$SYSROOT/include/wasm32-wasi/stdlib.h" ] || missing "the libc for wasm32-wasi in $SYSROOT"
if ! tools/bin/wit-bindgen --version 2>/dev/null | grep -q " $wit_bindgen_version"; then
    command -v cargo >/dev/null || { echo "cargo is missing: install the Rust toolchain, for wit-bindgen" >&2; exit 1; }
    cargo install wit-bindgen-cli --version "$wit_bindgen_version" --locked --no-default-features --features c --root tools
fi
mkdir -p build
tools/bin/wit-bindgen c ../../../wit --world filter --out-dir build >/dev/null
"$CLANG" --target=wasm32-wasi --sysroot="$SYSROOT" -mexec-model=reactor -O3 -std=c11 -Wall -Wextra -Werror -Wno-unused-parameter \
    contains.c build/filter.c build/filter_component_type.o -Wl,--strip-debug -o build/contains.wasm
echo "$PWD/build/contains.wasm"
