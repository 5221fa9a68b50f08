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
build hostile hostile.c "${rows[@]}"
build swap swap.c "${rows[@]}" -pthread
library=(-shared -nostdlib -fPIC -fno-stack-protector -fcf-protection=none -Wl,-z,separate-code)
build first.so library.c "${rows[@]}" "${library[@]}" -DNAME=hearth_in_first -DFRAME=8 -DPAD=12288 -Wl,-e,hearth_in_first
build second.so library.c "${rows[@]}" "${library[@]}" -DNAME=hearth_in_second -DFRAME=40 -DPAD=45056 -Wl,-e,hearth_in_second
[ "$(uname -m)" != x86_64 ] || build compat compat.c -m32 -O1 -nostdlib -static -fno-pie -no-pie -fno-stack-protector

# What crates/sampler/tests/bpf.rs walks; keep its names and flags.
stacks() {
	"$2" -O2 -g -Wall -Wextra -Werror -fomit-frame-pointer -fno-optimize-sibling-calls -pthread "${@:3}" \
		-o "$out/stacks-$1" ../../../crates/sampler/tests/bpf/stacks.c
}
stacks dynamic "${CC:-gcc}"
stacks deep "${CC:-gcc}"
stacks plt "${CC:-gcc}"
stacks unknown "${CC:-gcc}"
stacks told "${CC:-gcc}"
stacks static "${CC:-gcc}" -static -no-pie
stacks static-pie "${CC:-gcc}" -static-pie
! command -v musl-gcc >/dev/null || stacks musl musl-gcc -static -no-pie

# The kernel side's look-up under test, with a judge; the test that needs it says so where there is no clang.
clang=${CLANG:-clang-14}
if command -v "$clang" >/dev/null; then
	"$clang" --target=bpf -mcpu=v2 -O2 -g -std=gnu11 -Wall -Wextra -Werror -Wno-unused-parameter \
		-D__TARGET_ARCH_x86 -DFEATURES=510 -I"/usr/include/$(uname -m)-linux-gnu" \
		-c ../../../bpf/tests/truth.bpf.c -o "$out/truth.bpf.o"
fi
