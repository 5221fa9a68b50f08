// SPDX-License-Identifier: (MIT OR GPL-2.0-only)
/*
 * Runs bpf/rows.h on the host. Built and driven by crates/unwind/tests/c_rows.rs.
 *
 * stdin:  a table: 3 words (number of pages, id of the first, stamp) and the pages; ids ascend from the
 *         first, which is the root, by 2. Then 1 word, the number of offsets, and these as words. Then
 *         cases until the end: a rule (3 words), 6 words (ip, sp, fp, lr, leaf, known), the other
 *         registers, 2 words (address and size of the readable memory), and that many bytes.
 * stdout: per offset a result (1 word) and a rule (3 words); per case a result, ip, sp, fp, leaf, known
 *         and the other registers.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOST_TEST
#include "../rows.h"

static struct unwind_page *pages;
static u64 table[3];
static u8 memory[4096];
static u64 memory_at, memory_size;

static inline const struct unwind_page *page_get(u32 id)
{
	u64 number = (id - table[1]) / 2;

	return id >= table[1] && (id - table[1]) % 2 == 0 && number < table[0] ? pages + number : NULL;
}

long read_user(void *to, u32 bytes, u64 from)
{
	if (from < memory_at || from - memory_at > memory_size || memory_size - (from - memory_at) < bytes)
		return -14;
	memcpy(to, memory + (from - memory_at), bytes);
	return 0;
}

static int find_all(void)
{
	u64 count, offset, out[4];

	if (fread(&count, sizeof(count), 1, stdin) != 1)
		return 1;
	while (count--) {
		struct rule rule;

		if (fread(&offset, sizeof(offset), 1, stdin) != 1)
			return 1;
		out[0] = (u64)(s64)rows_find(table[1], table[2], offset, &rule);
		memcpy(out + 1, &rule, sizeof(rule));
		fwrite(out, sizeof(out), 1, stdout);
	}
	return 0;
}

static int apply_all(void)
{
	struct rule rule;

	while (fread(&rule, sizeof(rule), 1, stdin) == 1) {
		struct registers regs = {0};
		u64 in[6], place[2], out[6];

		if (fread(in, sizeof(in), 1, stdin) != 1 || fread(regs.other, sizeof(regs.other), 1, stdin) != 1 ||
		    fread(place, sizeof(place), 1, stdin) != 1)
			return 1;
		regs.ip = in[0];
		regs.sp = in[1];
		regs.fp = in[2];
		regs.lr = in[3];
		regs.leaf = in[4];
		regs.known = in[5];
		memory_at = place[0];
		memory_size = place[1];
		if (memory_size > sizeof(memory) || fread(memory, 1, memory_size, stdin) != memory_size)
			return 1;
		out[0] = (u64)(s64)rule_apply(&rule, &regs);
		out[1] = regs.ip;
		out[2] = regs.sp;
		out[3] = regs.fp;
		out[4] = regs.leaf;
		out[5] = regs.known;
		fwrite(out, sizeof(out), 1, stdout);
		fwrite(regs.other, sizeof(regs.other), 1, stdout);
	}
	return 0;
}

int main(void)
{
	if (fread(table, sizeof(table), 1, stdin) != 1 || table[0] > 1 << 20)
		return 1;
	pages = calloc(table[0] + 1, sizeof(*pages));
	if (!pages || fread(pages, sizeof(*pages), table[0], stdin) != table[0])
		return 1;
	return find_all() || apply_all();
}
