#!/usr/bin/env bash
# boot.sh KERNEL IMAGE [APPEND…]: boots a guest without hardware virtualisation; its console is our output.
#
# KERNEL is a folder fetch.sh made. CPUS and MEMORY_MB change the machine.
set -euo pipefail
kernel=$1 image=$2
shift 2
case ${kernel##*/} in
arm64*)
	machine=(qemu-system-aarch64 -M virt -cpu "max,pauth-impdef=on")
	console=ttyAMA0
	;;
*)
	machine=(qemu-system-x86_64 -cpu max)
	console=ttyS0
	;;
esac
# A kernel that stumbles must not go on: the boot is tried again.
exec "${machine[@]}" -accel tcg,thread=multi -smp "${CPUS:-2}" -m "${MEMORY_MB:-1024}" \
	-display none -monitor none -serial stdio -nic none -no-reboot \
	-kernel "$kernel/vmlinuz" -initrd "$image" \
	-append "console=$console quiet oops=panic panic=-1 $*" </dev/null
