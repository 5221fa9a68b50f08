#!/bin/sh
# SPDX-License-Identifier: (MIT OR GPL-2.0-only)
#
# Compiles the kernel side for every architecture and feature level.
#
#   bpf/build.sh           write bpf/objects
#   bpf/build.sh --check   rebuild elsewhere and fail unless bpf/objects is what these sources give
#
# The objects are committed, so that building and running Hearth needs no clang. The compiler's version
# is pinned because other versions give other bytes. Needs clang-14, llvm-strip-14 and libbpf-dev.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
clang=${CLANG:-clang-14}
strip=${LLVM_STRIP:-llvm-strip-14}

for tool in "$clang" "$strip"; do
	command -v "$tool" >/dev/null || {
		echo "bpf/build.sh: $tool not found; on Debian 12: apt-get install clang-14 llvm-14 libbpf-dev" >&2
		exit 1
	}
done
version=$("$clang" -dumpversion)
case $version in
14.0.*) ;;
*)
	echo "bpf/build.sh: $clang is version $version; the objects are pinned to 14.0" >&2
	exit 1
	;;
esac

build() {
	out=$1
	mkdir -p "$out"
	for target in x86:x86_64 arm64:aarch64; do
		for features in 510 515; do
			object=$out/sampler-${target#*:}-$features.bpf.o
			# Headers of the kernel's user-space interface differ little between architectures;
			# those of the build host serve both.
			"$clang" --target=bpf -mcpu=v2 -O2 -g -std=gnu11 \
				-Wall -Wextra -Werror -Wno-unused-parameter \
				-D__TARGET_ARCH_"${target%:*}" -DFEATURES=$features \
				-I"/usr/include/$(uname -m)-linux-gnu" \
				-ffile-prefix-map="$here"=bpf -fdebug-compilation-dir=. \
				-c "$here/sampler.bpf.c" -o "$object"
			"$strip" -g "$object"
		done
	done
}

case ${1-} in
'')
	build "$here/objects"
	ls -l "$here/objects"
	;;
--check)
	rebuilt=$(mktemp -d)
	trap 'rm -rf "$rebuilt"' EXIT
	build "$rebuilt"
	for object in "$rebuilt"/*.o; do
		cmp "$object" "$here/objects/${object##*/}" || {
			echo "bpf/build.sh: bpf/objects/${object##*/} is not what the sources give; run bpf/build.sh and commit" >&2
			exit 1
		}
	done
	echo "bpf/objects match their sources"
	;;
*)
	echo "usage: bpf/build.sh [--check]" >&2
	exit 2
	;;
esac
