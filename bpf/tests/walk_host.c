// SPDX-License-Identifier: (MIT OR GPL-2.0-only)
/*
 * Runs bpf/walk.h on the host. Built and driven by crates/unwind/tests/c_walker.rs.
 *
 * stdin:  per case 6 words (ip, sp, fp, stack_top, start_bytes, leaf), 2 words (address and size of
 *         the readable memory), then that many bytes.
 * stdout: per case 5 words (result, ip, sp, fp, leaf).
 */
#include <stdio.h>
#include <string.h>

#define HOST_TEST
#include "../walk.h"

#define MEMORY_MAX 4096

static u8 memory[MEMORY_MAX];
static u64 memory_at, memory_size;

long read_user(void *to, u32 bytes, u64 from)
{
	if (from < memory_at || from - memory_at > memory_size || memory_size - (from - memory_at) < bytes)
		return -14;
	memcpy(to, memory + (from - memory_at), bytes);
	return 0;
}

int main(void)
{
	u64 in[8];

	while (fread(in, sizeof(in), 1, stdin) == 1) {
		struct registers regs = {
			.ip = in[0], .sp = in[1], .fp = in[2], .stack_top = in[3],
			.start_bytes = in[4], .leaf = in[5],
		};
		u64 out[5];

		memory_at = in[6];
		memory_size = in[7];
		if (memory_size > MEMORY_MAX || fread(memory, 1, memory_size, stdin) != memory_size)
			return 1;
		out[0] = (u64)(s64)walk_step(&regs);
		out[1] = regs.ip;
		out[2] = regs.sp;
		out[3] = regs.fp;
		out[4] = regs.leaf;
		if (fwrite(out, sizeof(out), 1, stdout) != 1)
			return 1;
	}
	return 0;
}
