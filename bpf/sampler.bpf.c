// SPDX-License-Identifier: (MIT OR GPL-2.0-only)
/*
 * The sampler: a timer interrupt -> a raw trace.
 *
 * A perf event on every CPU runs sample_cpu(). It writes one record with the kernel's frames and the
 * user frames as (file, offset) into a ring which user space polls; nothing is aggregated, unwound
 * further or named here. Three tracepoints report processes that begin, fork and end.
 *
 * Built per feature level, since a kernel refuses an object that names a helper it does not have:
 *
 *   FEATURES=510  Linux 5.10: the user registers' place on the kernel stack is computed.
 *   FEATURES=515  Linux 5.15: bpf_task_pt_regs() knows it (it moved in 6.9 with FRED).
 */
#include "filter.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

/* Size of a kernel stack; the same on x86-64 and arm64 with default options. */
#define THREAD_BYTES 16384

/**
 * frame_push - Append a user frame to the record.
 */
INLINE void frame_push(struct state *state, u64 frame)
{
	struct sample *sample = &state->record.sample;
	u32 at = sample->kernel_frames + sample->user_frames;

	if (at < FRAMES_MAX) {
		state->record.frames[at] = frame;
		sample->user_frames++;
	}
}

INLINE u64 frame_tagged(u64 tag, u64 address)
{
	return tag << FRAME_TAG_SHIFT | (address & ((1ull << FRAME_TAG_SHIFT) - 1));
}

/**
 * frame_encode - The frame for @address, which lies in the current mapping.
 */
INLINE u64 frame_encode(const struct state *state, u64 address)
{
	const struct mapping *mapping = &state->mapping;
	u64 offset = address - mapping->start + mapping->offset;

	if (mapping->kind == MAPPING_ANONYMOUS)
		return frame_tagged(FRAME_ANONYMOUS, address);
	if (mapping->kind != MAPPING_FILE || offset > FRAME_OFFSET_MAX)
		return frame_tagged(FRAME_RAW, address);
	return (u64)mapping->file_id << FRAME_OFFSET_BITS | offset;
}

/**
 * locate - Make sure that the current mapping covers @address and may hold code.
 *
 * Return: WALK_ON or a stop reason.
 */
INLINE int locate(struct state *state, u32 slot, u64 address)
{
	if (address < state->mapping.start || address >= state->mapping.end) {
		int found = mapping_find(slot);

		if (found != FOUND)
			return found;
	}
	return state->mapping.executable ? WALK_ON : STOP_NOT_EXECUTABLE;
}

/**
 * rows_step - Go to the caller by the unwind rows of the current mapping's file.
 *
 * A global function: verified once.
 *
 * Return: WALK_ON, RULE_NONE if no row covers the instruction, or a stop reason.
 */
__attribute__((noinline)) int rows_step(u32 slot)
{
	struct state *state = state_of(slot);
	struct rule_cache *cache;
	struct rule_slot *known;
	struct rule rule;
	u32 root, generation, zero = 0;
	u64 offset;
	int result;

	cache = bpf_map_lookup_elem(&rule_caches, &zero);
	if (!state || !cache)
		return STOP_NO_REGISTERS;
	offset = state->regs.ip - !state->regs.leaf - state->mapping.start + state->mapping.offset;
	/* Rows are kept for the first 4 GiB of a file. */
	if (offset >> 32)
		return RULE_NONE;
	root = state->mapping.root;
	generation = state->mapping.generation;
	known = &cache->slots[((u32)offset + generation) * 0x9e3779b1u >> 16 & (RULE_SLOTS - 1)];
	if (generation && known->generation == generation && known->offset == (u32)offset) {
		rule = known->rule;
	} else {
		result = rows_find(root, generation, offset, &rule);
		if (result != WALK_ON)
			return result;
		known->generation = 0;
		KEEP_ORDER();
		known->offset = offset;
		known->rule = rule;
		KEEP_ORDER();
		known->generation = generation;
	}
	return rule_apply(&rule, &state->regs);
}

/**
 * pointer_step - Go to the caller by the frame pointer. A global function: verified once.
 */
__attribute__((noinline)) int pointer_step(u32 slot)
{
	struct state *state = state_of(slot);

	if (!state)
		return STOP_NO_REGISTERS;
	return walk_step(&state->regs);
}

/**
 * caller_find - Go from the frame that was just recorded to its caller: by rows, else by frame pointer.
 *
 * Return: WALK_ON or a stop reason.
 */
INLINE int caller_find(struct state *state, u32 slot)
{
	const struct mapping *mapping = &state->mapping;
	int result;

	if (mapping->kind == MAPPING_ANONYMOUS)
		return pointer_step(slot);
	if (mapping->kind != MAPPING_FILE || !(mapping->rows & ROWS_DECIDED))
		return STOP_UNKNOWN_FILE;
	if (!(mapping->rows & FILE_ROWS_READY))
		return pointer_step(slot);
	result = rows_step(slot);
	if (result == RULE_NONE)
		return pointer_step(slot);
	state->by_rows += result == WALK_ON;
	return result;
}

/**
 * step - Record the current frame and go to its caller.
 *
 * The leaf is always recorded: it ran. A caller is recorded only if it lies in executable memory,
 * otherwise what was taken for a return address is none.
 *
 * Return: WALK_ON or a stop reason.
 */
__attribute__((noinline)) int step(u32 slot)
{
	struct state *state = state_of(slot);
	u64 address;
	int stop;

	if (!state)
		return STOP_NO_REGISTERS;
	if (state->record.sample.user_frames >= USER_FRAMES_MAX)
		return STOP_DEPTH;
	address = state->regs.ip - !state->regs.leaf;
	stop = locate(state, slot, address);
	if (stop == WALK_ON) {
		frame_push(state, frame_encode(state, address));
	} else if (state->regs.leaf || stop == STOP_UNKNOWN_FILE) {
		frame_push(state, frame_tagged(FRAME_RAW, address));
		return state->is_32_bit ? STOP_32_BIT : stop;
	} else {
		return chain_end(&state->regs, stop);
	}
	if (state->is_32_bit)
		return STOP_32_BIT;
	return caller_find(state, slot);
}

/**
 * registers_load - Begin a walk with the registers in state->saved.
 */
INLINE void registers_load(struct state *state)
{
	struct registers *regs = &state->regs;
#if defined(__TARGET_ARCH_arm64)
	const struct user_pt_regs *from = (void *)state->saved;

	__builtin_memcpy(regs->other, from->regs, sizeof(from->regs));
	regs->ip = from->pc;
	regs->sp = from->sp;
	regs->fp = from->regs[29];
	regs->lr = from->regs[30];
	state->is_32_bit = !!(from->pstate & 0x10);
#else
	const struct pt_regs *from = (void *)state->saved;

	regs->other[0] = from->ax;
	regs->other[1] = from->dx;
	regs->other[2] = from->cx;
	regs->other[3] = from->bx;
	regs->other[4] = from->si;
	regs->other[5] = from->di;
	regs->other[8] = from->r8;
	regs->other[9] = from->r9;
	regs->other[10] = from->r10;
	regs->other[11] = from->r11;
	regs->other[12] = from->r12;
	regs->other[13] = from->r13;
	regs->other[14] = from->r14;
	regs->other[15] = from->r15;
	regs->ip = from->ip;
	regs->sp = from->sp;
	regs->fp = from->bp;
	regs->lr = 0;
	state->is_32_bit = from->cs == 0x23;
#endif
	regs->leaf = 1;
	regs->known = REGISTERS_KNOWN;
}

/**
 * user_registers - Find the user registers of the interrupted task.
 *
 * Return: false if there are none.
 */
INLINE bool user_registers(struct state *state, struct sample_context *ctx, struct task_struct *task,
			   bool in_kernel)
{
	struct pt_regs *saved = NULL;

	if (in_kernel) {
#if FEATURES >= 515
		saved = (void *)bpf_task_pt_regs(bpf_get_current_task_btf());
#else
		saved = BPF_CORE_READ(task, stack) + THREAD_BYTES - bpf_core_type_size(struct pt_regs);
#endif
	}
	if (in_kernel) {
		if (bpf_probe_read_kernel(state->saved, sizeof(ctx->regs), saved))
			return false;
	} else {
		__builtin_memcpy(state->saved, &ctx->regs, sizeof(ctx->regs));
	}
	registers_load(state);
	return true;
}

/**
 * walk_begin - Set up a walk in the memory of @task, whose registers are loaded.
 */
INLINE void walk_begin(struct state *state, struct task_struct *task, struct mm_struct *mm)
{
	state->mm = (u64)mm;
	state->exec_id = BPF_CORE_READ(task, self_exec_id);
	state->vdso = (u64)BPF_CORE_READ(mm, context.vdso);
	state->mapping.start = 0;
	state->mapping.end = 0;
	state->by_rows = 0;
	if (state->record.sample.tgid == state->record.sample.tid) {
		state->regs.stack_top = BPF_CORE_READ(mm, start_stack);
		state->regs.start_bytes = START_BYTES_MAIN;
	} else {
		state->regs.stack_top = 0;
		if (bpf_core_field_exists(task->thread.fsbase))
			state->regs.stack_top = BPF_CORE_READ(task, thread.fsbase);
		state->regs.start_bytes = START_BYTES_THREAD;
	}
}

/**
 * walk_prepare - Set up the walk over the user frames of @task.
 *
 * Return: WALK_ON, or why there is nothing to walk.
 */
INLINE int walk_prepare(struct state *state, struct sample_context *ctx, struct task_struct *task,
			bool in_kernel)
{
	struct mm_struct *mm;

	if (BPF_CORE_READ(task, flags) & PF_KTHREAD)
		return STOP_KERNEL_THREAD;
	mm = BPF_CORE_READ(task, mm);
	if (!mm)
		return STOP_EXITING;
	if (!user_registers(state, ctx, task, in_kernel))
		return STOP_NO_REGISTERS;
	/* Helpers of io_uring and vhost share a process' memory but never run in user mode. */
	if (!state->regs.ip)
		return STOP_KERNEL_THREAD;
	walk_begin(state, task, mm);
	return WALK_ON;
}

INLINE bool interrupted_kernel(const struct sample_context *ctx)
{
#if defined(__TARGET_ARCH_arm64)
	return (ctx->regs.pstate & 0xf) != 0;
#else
	return !(ctx->regs.cs & 3);
#endif
}

INLINE void sample_header(struct state *state, struct task_struct *task, u64 now)
{
	struct sample *sample = &state->record.sample;
	u64 id = bpf_get_current_pid_tgid();

	sample->time_ns = now;
	sample->start_ns = BPF_CORE_READ(task, group_leader, start_boottime);
	sample->cgroup_id = bpf_get_current_cgroup_id();
	sample->tgid = id >> 32;
	sample->tid = (u32)id;
	sample->cpu = bpf_get_smp_processor_id();
	sample->kernel_frames = 0;
	sample->user_frames = 0;
	sample->flags = 0;
	bpf_get_current_comm(sample->comm, sizeof(sample->comm));
}

/* Where a record ends: behind its last frame. */
INLINE u64 frames_end(const struct state *state)
{
	const struct sample *sample = &state->record.sample;
	u64 frames = sample->kernel_frames + sample->user_frames;

	if (frames > FRAMES_MAX)
		frames = FRAMES_MAX;
	return sizeof(*sample) + frames * 8;
}

/**
 * stack_read - Copy the stack of the sampled thread from its stack pointer on.
 *
 * As much as there is below the stack's top; less if some of it cannot be read.
 *
 * Return: how many bytes.
 */
INLINE u64 stack_read(const struct registers *regs, u8 *to)
{
	u64 bytes = RAW_STACK_BYTES_MAX;

	if (regs->stack_top > regs->sp && regs->stack_top - regs->sp < RAW_STACK_BYTES_MAX)
		bytes = regs->stack_top - regs->sp;
	for (u32 attempt = 0; attempt < 5; attempt++) {
		if (bytes > RAW_STACK_BYTES_MAX)
			return 0;
		if (!bpf_probe_read_user(to, bytes, (void *)regs->sp))
			return bytes;
		bytes /= 2;
	}
	return 0;
}

/**
 * tail_add - Add registers and stack to a sample which user space has to finish.
 *
 * Such samples may fill half of the ring, so that they never push out others.
 *
 * Return: where the record ends now.
 */
__attribute__((noinline)) u64 tail_add(u32 slot)
{
	struct state *state = state_of(slot);
	const struct registers *regs;
	struct raw_tail *tail;
	u64 end, bytes;

	if (!state)
		return 0;
	end = frames_end(state);
	if (bpf_ringbuf_query(&samples, BPF_RB_AVAIL_DATA) > ring_bytes / 2) {
		count(COUNT_RAW_SKIPPED, 1);
		return end;
	}
	regs = &state->regs;
	tail = (void *)&state->record + end;
	__builtin_memset(tail, 0, sizeof(*tail));
	tail->known = regs->known;
	__builtin_memcpy(tail->registers, regs->other, sizeof(regs->other));
#if !defined(__TARGET_ARCH_arm64)
	if (regs->known & KNOWN_BX_AT &&
	    read_user(&tail->registers[REGISTER_BX], sizeof(u64), regs->other[REGISTER_BX]))
		tail->known &= ~(1ull << REGISTER_BX);
#endif
	tail->registers[REGISTER_SP] = regs->sp;
	tail->registers[REGISTER_FP] = regs->fp;
	tail->registers[RAW_REGISTER_IP] = regs->ip;
	tail->known |= 1ull << REGISTER_SP | 1ull << RAW_REGISTER_IP;
	if (regs->fp != FP_UNKNOWN)
		tail->known |= 1ull << REGISTER_FP;
#if defined(__TARGET_ARCH_arm64)
	if (regs->leaf) {
		tail->registers[30] = regs->lr;
		tail->known |= 1ull << 30;
	}
#endif
	tail->stack_top = regs->stack_top;
	tail->start_bytes = regs->start_bytes;
	tail->leaf = regs->leaf;
	bytes = stack_read(regs, (void *)tail + sizeof(*tail));
	tail->stack_bytes = bytes;
	state->record.sample.flags |= SAMPLE_RAW_TAIL;
	count(COUNT_RAW_TAILS, 1);
	count(COUNT_RAW_BYTES, bytes);
	return end + sizeof(*tail) + bytes;
}

/**
 * sample_send - Put the record, which ends at @end, into the ring.
 *
 * Its reader polls; it is woken only when the ring is filling up faster than it polls.
 */
INLINE void sample_send(struct state *state, u64 end)
{
	const struct sample *sample = &state->record.sample;
	u64 flags = BPF_RB_NO_WAKEUP;

	if (end > sizeof(state->record))
		end = sizeof(state->record);
	if (bpf_ringbuf_query(&samples, BPF_RB_AVAIL_DATA) > ring_bytes / 2)
		flags = BPF_RB_FORCE_WAKEUP;
	count(COUNT_USER_FRAMES, sample->user_frames);
	count(COUNT_KERNEL_FRAMES, sample->kernel_frames);
	count(COUNT_ROWS_FRAMES, state->by_rows);
	if (bpf_ringbuf_output(&samples, &state->record, end, flags)) {
		count(COUNT_LOST_RING, 1);
		count_lost(sample->tgid, sample->start_ns, LOST_RING);
	}
}

/**
 * sample_cpu - Take a sample of what this CPU runs.
 */
SEC("perf_event")
int sample_cpu(struct sample_context *ctx)
{
	u64 now = bpf_ktime_get_ns();
	u64 id = bpf_get_current_pid_tgid();
	struct task_struct *task = (void *)bpf_get_current_task();
	bool in_kernel = interrupted_kernel(ctx);
	u32 tgid = id >> 32;
	struct state *state;
	int stop;

	if (!(u32)id) /* the idle task, which exclude_idle should have kept away */
		return 0;
	if (!is_wanted(tgid))
		return 0;
	count(COUNT_SAMPLES, 1);
	state = state_of(SLOT_SAMPLE);
	if (!state) {
		count(COUNT_LOST_STATE, 1);
		count_lost(tgid, BPF_CORE_READ(task, group_leader, start_boottime), LOST_STATE);
		return 0;
	}
	sample_header(state, task, now);
	if (in_kernel) {
		long bytes = bpf_get_stack(ctx, state->record.frames, KERNEL_FRAMES_MAX * 8, 0);

		if (bytes > 0)
			state->record.sample.kernel_frames = (u64)bytes / 8;
	}
	stop = walk_prepare(state, ctx, task, in_kernel);
	for (u32 frame = 0; frame <= USER_FRAMES_MAX && stop == WALK_ON; frame++)
		stop = step(SLOT_SAMPLE);
	state->record.sample.stop = stop;
	sample_send(state, stop == STOP_UNKNOWN_FILE ? tail_add(SLOT_SAMPLE) : frames_end(state));
	count(COUNT_RUN_NS, bpf_ktime_get_ns() - now);
	return 0;
}

INLINE void event_begin(struct event *event, u32 kind, struct task_struct *task)
{
	event->kind = kind;
	event->tgid = BPF_CORE_READ(task, tgid);
	event->time_ns = bpf_ktime_get_ns();
	event->start_ns = BPF_CORE_READ(task, group_leader, start_boottime);
}

/**
 * process_event_send - Report that @task's process was forked or ended.
 */
INLINE void process_event_send(u32 kind, struct task_struct *task, struct task_struct *parent)
{
	struct process_event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event) {
		count(COUNT_LOST_EVENTS, 1);
		return;
	}
	event_begin(&event->event, kind, task);
	event->cgroup_id = bpf_get_current_cgroup_id();
	event->parent = 0;
	event->parent_start_ns = 0;
	event->reserved = 0;
	if (parent) {
		event->parent = BPF_CORE_READ(parent, tgid);
		event->parent_start_ns = BPF_CORE_READ(parent, group_leader, start_boottime);
	}
	bpf_probe_read_kernel(event->comm, sizeof(event->comm), &task->comm);
	bpf_ringbuf_submit(event, event_flags());
}

/**
 * cgroup_names - Read the innermost names of a cgroup's path.
 */
INLINE void cgroup_names(char names[CGROUP_LEVELS][CGROUP_NAME_BYTES], struct kernfs_node *node)
{
	for (u32 level = 0; level < CGROUP_LEVELS; level++) {
		struct kernfs_node *parent = node ? kernfs_parent(node) : NULL;

		names[level][0] = 0;
		/* The root has no parent, and no name worth telling. */
		if (parent)
			bpf_probe_read_kernel_str(names[level], CGROUP_NAME_BYTES, BPF_CORE_READ(node, name));
		node = parent;
	}
}

/**
 * exec_text_read - Read the first bytes of arguments and environment of @task, the current one.
 *
 * The kernel has just written them, so they are in memory.
 *
 * Return: how many bytes of @event are in use now.
 */
INLINE u64 exec_text_read(struct exec_event *event, struct task_struct *task)
{
	struct mm_struct *mm = BPF_CORE_READ(task, mm);
	u64 from = BPF_CORE_READ(mm, arg_start);
	u64 arguments = BPF_CORE_READ(mm, arg_end) - from;
	u64 environment;

	if (arguments > ARGUMENT_BYTES_MAX)
		arguments = ARGUMENT_BYTES_MAX;
	if (bpf_probe_read_user(event->text, arguments, (void *)from))
		arguments = 0;
	from = BPF_CORE_READ(mm, env_start);
	environment = BPF_CORE_READ(mm, env_end) - from;
	if (environment > ENVIRONMENT_BYTES_MAX)
		environment = ENVIRONMENT_BYTES_MAX;
	if (bpf_probe_read_user(event->text + arguments, environment, (void *)from))
		environment = 0;
	event->argument_bytes = arguments;
	event->environment_bytes = environment;
	return EXEC_EVENT_BYTES_MIN + arguments + environment;
}

/**
 * process_exec - A process began to execute another program.
 */
SEC("raw_tp/sched_process_exec")
int process_exec(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (void *)ctx->args[0];
	struct linux_binprm *program = (void *)ctx->args[2];
	u32 tgid = BPF_CORE_READ(task, tgid);
	struct kernfs_node *v1;
	struct exec_event *event;
	u32 zero = 0;
	u64 bytes;

	verdict_forget(tgid, false);
	if (!is_wanted(tgid) && !report_excluded)
		return 0;
	event = bpf_map_lookup_elem(&exec_events, &zero);
	if (!event)
		return 0;
	v1 = cgroup_v1_node(task);
	event_begin(&event->event, EVENT_EXEC, task);
	event->cgroup_id = bpf_get_current_cgroup_id();
	event->cgroup_v1_id = v1 ? BPF_CORE_READ(v1, id) : 0;
	event->pid_namespace = pid_namespace(task);
	event->path[0] = 0;
	bpf_probe_read_kernel(event->comm, sizeof(event->comm), &task->comm);
	bpf_probe_read_kernel_str(event->path, sizeof(event->path), BPF_CORE_READ(program, filename));
	cgroup_names(event->cgroup, cgroup_v2_node(task));
	cgroup_names(event->cgroup_v1, v1);
	bytes = exec_text_read(event, task);
	if (bpf_ringbuf_output(&events, event, bytes, event_flags()))
		count(COUNT_LOST_EVENTS, 1);
	return 0;
}

/**
 * process_fork - A process was forked; new threads of a process are not reported.
 */
SEC("raw_tp/sched_process_fork")
int process_fork(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *parent = (void *)ctx->args[0];
	struct task_struct *child = (void *)ctx->args[1];
	u32 parent_tgid = BPF_CORE_READ(parent, tgid);
	u32 tgid = BPF_CORE_READ(child, tgid);

	if (tgid == parent_tgid)
		return 0;
	if (verdict_inherit(parent_tgid, tgid, BPF_CORE_READ(child, start_boottime)))
		process_event_send(EVENT_FORK, child, parent);
	return 0;
}

/**
 * process_exit - The last thread of a process ends.
 */
SEC("raw_tp/sched_process_exit")
int process_exit(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (void *)ctx->args[0];
	u32 tgid = BPF_CORE_READ(task, tgid);
	bool wanted;

	if (BPF_CORE_READ(task, signal, live.counter) > 0)
		return 0;
	wanted = is_wanted(tgid);
	verdict_forget(tgid, true);
	if (wanted)
		process_event_send(EVENT_EXIT, task, NULL);
	return 0;
}

#include "test.h"
