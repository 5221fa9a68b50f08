// SPDX-License-Identifier: (MIT OR GPL-2.0-only)
/*
 * Looks up one address again and again while other threads swap what is mapped there.
 *
 * Part of no product: `e2e/swap.rs` loads it and `e2e/vm/programs/swap.c` runs it with BPF_PROG_TEST_RUN.
 * The swapping thread counts an epoch in memory both can read: odd while it swaps, even while file
 * number epoch / 2 % 2 lies there for sure. Of a look-up during which the epoch did not move, the
 * answer is known.
 */
#include "../vma.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

#define ROUNDS 256

enum truth_mode {
	LEARN_FIRST, /* the first file lies there and nothing moves: remember what is found */
	LEARN_SECOND,
	JUDGE,
};

/* Read by e2e/swap.rs as numbers. */
enum truth_count {
	LOOKUPS,
	STILL,		/* the epoch stood still, so one answer is right */
	RIGHT,		/* ... and it was given */
	GAVE_UP,	/* ... and the look-up said that the tree was in motion, as other mappings were */
	NOT_SEEN,	/* ... and the look-up found no mapping */
	WRONG,		/* ... and the look-up named another file, offset or protection */
	SWAPPED,	/* the epoch moved: either file is right, and so is none */
	SWAPPED_WRONG,	/* ... and the look-up named a third thing */
	TRUTH_COUNTS,
};

struct truth_file {
	struct file_key key;
	u64 offset;
};

struct truth {
	struct truth_file files[2];
	u64 counts[TRUTH_COUNTS];
	/* Of the last wrong answer: epoch, file offset, inode, mapping's start, end and offset, result, kind. */
	u64 wrong[8];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct truth);
} truths SEC(".maps");

INLINE bool is_file(const struct state *state, const struct truth_file *file, u64 offset)
{
	const struct mapping *mapping = &state->mapping;

	return mapping->kind == MAPPING_FILE && offset == file->offset && mapping->executable &&
	       state->key.inode == file->key.inode && state->key.device == file->key.device &&
	       state->key.ctime_sec == file->key.ctime_sec && state->key.ctime_nsec == file->key.ctime_nsec;
}

INLINE void wrong(const struct state *state, struct truth *truth, u32 counter, u64 epoch, u64 offset, int result)
{
	truth->counts[counter]++;
	truth->wrong[0] = epoch;
	truth->wrong[1] = offset;
	truth->wrong[2] = state->key.inode;
	truth->wrong[3] = state->mapping.start;
	truth->wrong[4] = state->mapping.end;
	truth->wrong[5] = state->mapping.offset;
	truth->wrong[6] = result;
	truth->wrong[7] = state->mapping.kind;
}

/**
 * judge - Look up the address once and compare with what the epochs say.
 * @clock: Address of the epoch in user memory.
 */
__attribute__((noinline)) int judge(u64 clock, u64 mode)
{
	struct state *state = state_of(SLOT_TEST);
	u64 before = 0, after = 0, offset;
	struct truth *truth;
	u32 zero = 0;
	int result;

	truth = bpf_map_lookup_elem(&truths, &zero);
	if (!state || !truth)
		return 1;
	if (bpf_probe_read_user(&before, sizeof(before), (void *)clock))
		return 1;
	result = mapping_find(SLOT_TEST);
	if (bpf_probe_read_user(&after, sizeof(after), (void *)clock))
		return 1;
	offset = state->regs.ip - state->mapping.start + state->mapping.offset;
	if (mode != JUDGE) {
		struct truth_file *file = &truth->files[mode == LEARN_SECOND];

		if (result != FOUND || state->mapping.kind != MAPPING_FILE)
			return 1;
		file->key = state->key;
		file->offset = offset;
		return 0;
	}
	truth->counts[LOOKUPS]++;
	if (before != after || (before & 1)) {
		truth->counts[SWAPPED]++;
		if (result == FOUND && !is_file(state, &truth->files[0], offset) &&
		    !is_file(state, &truth->files[1], offset))
			wrong(state, truth, SWAPPED_WRONG, before, offset, result);
		return 0;
	}
	truth->counts[STILL]++;
	if (result == FOUND && is_file(state, &truth->files[before >> 1 & 1], offset))
		truth->counts[RIGHT]++;
	else if (result == FOUND)
		wrong(state, truth, WRONG, before, offset, result);
	else if (result == STOP_NO_MAPPING)
		wrong(state, truth, NOT_SEEN, before, offset, result);
	else
		truth->counts[GAVE_UP]++;
	return 0;
}

/**
 * truth - Look up args[1] while the epoch is at args[0], in mode args[2].
 */
SEC("raw_tp")
int truth(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct state *state = state_of(SLOT_TEST);
	u64 clock = ctx->args[0], mode = ctx->args[2];
	struct mm_struct *mm;

	if (!state)
		return 1;
	mm = BPF_CORE_READ(task, mm);
	if (!mm)
		return 1;
	state->test = 1;
	state->mm = (u64)mm;
	state->vdso = (u64)BPF_CORE_READ(mm, context.vdso);
	state->regs.ip = ctx->args[1];
	state->regs.leaf = 1;
	for (u32 round = 0; round < ROUNDS; round++) {
		if (judge(clock, mode))
			return 1;
	}
	return 0;
}
