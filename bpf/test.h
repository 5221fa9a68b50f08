/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * Programs which user space runs on itself (BPF_PROG_TEST_RUN), to see that this kernel is understood and
 * that walks find what is known to be there. They see the calling thread and change nothing.
 */
#ifndef HEARTH_TEST_H
#define HEARTH_TEST_H

/**
 * struct test_result - What a look-up found.
 * @key:    Of the mapping's file; all zeros if it has none.
 * @kind:   enum mapping_kind.
 * @result: FOUND or a stop reason.
 */
struct test_result {
	u64 start;
	u64 end;
	u64 offset;
	struct file_key key;
	u32 kind;
	u32 executable;
	s32 result;
	u32 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct test_result);
} test_results SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct record);
} test_records SEC(".maps");

/**
 * test_begin - Set up working memory for a look-up or walk of the calling thread.
 *
 * Return: NULL if there is nothing to look at.
 */
INLINE struct state *test_begin(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct state *state = state_of(SLOT_TEST);
	struct mm_struct *mm = BPF_CORE_READ(task, mm);

	if (!state || !mm)
		return NULL;
	state->test = TEST_MADE_UP;
	sample_header(state, task, bpf_ktime_get_ns());
	walk_begin(state, task, mm);
	return state;
}

/**
 * test_lookup - Look up an address of the calling process.
 *
 * args[0] is the address. The answer is left in `test_results`.
 */
SEC("raw_tp")
int test_lookup(struct bpf_raw_tracepoint_args *ctx)
{
	struct state *state = test_begin();
	struct test_result result = {};
	u32 zero = 0;

	if (!state)
		return 1;
	state->regs.ip = ctx->args[0];
	state->regs.leaf = 1;
	result.result = mapping_find(SLOT_TEST);
	if (result.result == FOUND) {
		result.start = state->mapping.start;
		result.end = state->mapping.end;
		result.offset = state->mapping.offset;
		result.kind = state->mapping.kind;
		result.executable = state->mapping.executable;
		if (result.kind == MAPPING_FILE)
			result.key = state->key;
	}
	bpf_map_update_elem(&test_results, &zero, &result, BPF_ANY);
	return 0;
}

/**
 * test_walk - Walk the calling thread's stack from given registers.
 *
 * args: instruction pointer, stack pointer, frame pointer, then the registers a callee keeps: on x86-64
 * rbx, r12 to r15; on arm64 the link register, x19 to x25. The record is left in `test_records`, as the
 * sample ring would hold it.
 */
SEC("raw_tp")
int test_walk(struct bpf_raw_tracepoint_args *ctx)
{
	struct state *state = test_begin();
	struct registers *regs;
	int stop = WALK_ON;
	u32 zero = 0;

	if (!state)
		return 1;
	regs = &state->regs;
	regs->ip = ctx->args[0];
	regs->sp = ctx->args[1];
	regs->fp = ctx->args[2];
	regs->lr = 0;
#if defined(__TARGET_ARCH_arm64)
	regs->lr = ctx->args[3];
	regs->other[19] = ctx->args[4];
	regs->other[20] = ctx->args[5];
	regs->other[21] = ctx->args[6];
	regs->other[22] = ctx->args[7];
	regs->other[23] = ctx->args[8];
	regs->other[24] = ctx->args[9];
	regs->other[25] = ctx->args[10];
	regs->known = 0x3f80000;
#else
	regs->other[3] = ctx->args[3];
	regs->other[12] = ctx->args[4];
	regs->other[13] = ctx->args[5];
	regs->other[14] = ctx->args[6];
	regs->other[15] = ctx->args[7];
	regs->known = 0xf008;
#endif
	regs->leaf = 1;
	state->is_32_bit = 0;
	for (u32 frame = 0; frame <= USER_FRAMES_MAX && stop == WALK_ON; frame++)
		stop = step(SLOT_TEST);
	state->record.sample.stop = stop;
	if (stop == STOP_UNKNOWN_FILE)
		tail_add(SLOT_TEST);
	bpf_map_update_elem(&test_records, &zero, &state->record, BPF_ANY);
	return 0;
}

#endif
