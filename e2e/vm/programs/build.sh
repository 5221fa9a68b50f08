#!/usr/bin/env bash
# build.sh FOLDER: builds the programs that tests sample into FOLDER, in every way a compiler lays out frames.
set -euo pipefail
cd "$(dirname "$0")"
out=$1
mkdir -p "$out"

# build NAME SOURCE FLAGS…
build() { "${CC:-cc}" -std=gnu11 -Wall -Wextra -Werror -o "$out/$1" "$2" "${@:3}"; }

# As distributions build: no frame pointers, unwind tables.
rows=(-O2 -fomit-frame-pointer -fasynchronous-unwind-tables)
# Frame pointers only.
frames=(-O1 -fno-omit-frame-pointer -fno-asynchronous-unwind-tables -fno-unwind-tables)
build shares-rows shares.c "${rows[@]}"
build shares-frames shares.c "${frames[@]}"
build shares-static shares.c "${rows[@]}" -static
build shares-static-pie shares.c "${rows[@]}" -static-pie
build deep deep.c -fno-optimize-sibling-calls "${rows[@]}"
build places places.c "${rows[@]}" -pthread
[ "$(uname -m)" != x86_64 ] || build compat compat.c -m32 -O1 -nostdlib -static -fno-pie -no-pie -fno-stack-protector
