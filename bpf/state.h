/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * Maps, settings and working memory of the sampler.
 */
#ifndef HEARTH_STATE_H
#define HEARTH_STATE_H

#include "types.h"
#include "rows.h"

/* A look-up's result which is no stop reason. */
#define FOUND 0

/* Tests give out no id and ask for no file. */
#define TEST_LOOK_UP 1
#define TEST_MADE_UP 2 /* ... and their ids and rows mean nothing to others */

/* Working memory by use: a sampling interrupt may hit while the self-test runs. */
#define SLOT_SAMPLE 0
#define SLOT_TEST 1

enum mapping_kind {
	MAPPING_NONE = 0,
	MAPPING_FILE,
	MAPPING_ANONYMOUS,
	MAPPING_RAW, /* a file, but no id is left */
};

/**
 * struct mapping - The mapping which the last looked-up address lies in; empty at first.
 * @start:  Its first address.
 * @end:    The address behind it.
 * @offset: File offset of @start.
 * @rows:   FILE_ROWS_* of its file.
 * @root:   Where a look-up of its rows begins.
 */
struct mapping {
	u64 start;
	u64 end;
	u64 offset;
	u32 file_id;
	u32 kind;
	u32 executable;
	u32 rows;
	u32 root;
	u32 generation;
};

/*
 * What a CPU found lately. Between two samples the sampled program evicts all of our memory from the
 * CPU's caches: a look-up that touches one line rather than twenty costs a fraction.
 */
#define RULE_SLOTS 1024
#define MAPPING_SLOTS 64

/**
 * struct rule_slot - A rule that was looked up. It never changes: a table that is replaced gets another
 * stamp (@generation), which no other has had and is not 0.
 */
struct rule_slot {
	u32 generation;
	u32 offset;
	struct rule rule;
};

/**
 * struct mapping_slot - A mapping that was looked up. It holds as long as the kernel has counted no change
 * of the process' mappings.
 * @mm:       The process' struct mm_struct; 0 if the slot is empty.
 * @start_ns: When the process was started, and
 * @exec_id:  how often it executed a program: another process, or program, may get the same @mm.
 * @changes:  The kernel's count.
 * @met_ns:   When it was looked up.
 */
struct mapping_slot {
	u64 mm;
	u64 start_ns;
	u64 exec_id;
	u64 changes;
	u64 met_ns;
	u64 file;
	s64 size;
	struct mapping mapping;
	struct file_key key;
};

struct rule_cache {
	struct rule_slot slots[RULE_SLOTS];
};

struct mapping_cache {
	struct mapping_slot slots[MAPPING_SLOTS];
};

_Static_assert(sizeof(struct rule_cache) <= 32768, "the kernel's limit for values per CPU");

/* A record as it goes into the ring, with room for the largest; the tail follows the last frame. */
struct record {
	struct sample sample;
	u64 frames[FRAMES_MAX];
	u8 tail[sizeof(struct raw_tail) + RAW_STACK_BYTES_MAX];
};

/**
 * struct state - Working memory of one sample; the BPF stack has only 512 bytes.
 * @mm:         The process' struct mm_struct.
 * @exec_id:    How often it has executed a program.
 * @changes:    How often its mappings had changed when the last look-up began.
 * @vdso:       Where its vDSO is mapped.
 * @next_file:  How many file ids this CPU has given out.
 * @node:       Copy of a node of the maple tree.
 * @found_as:   The word by which the tree holds the mapping that was found.
 * @found_in:   The node of the maple tree it was found in, 0 in other trees.
 * @saved:      Copy of the user registers.
 * @key:        Key of the file of @mapping.
 * @file:       Its struct file.
 * @size:       Its size.
 * @by_rows:    How many callers were found by rows.
 * @is_32_bit:  The process runs in compatibility mode.
 * @test:       TEST_*; 0 for samples.
 */
struct state {
	struct registers regs;
	struct mapping mapping;
	u64 mm;
	u64 exec_id;
	u64 changes;
	u64 vdso;
	u64 next_file;
	u64 node[32];
	u64 found_as;
	u64 found_in;
	u64 saved[34];
	struct file_key key;
	u64 file;
	s64 size;
	u32 by_rows;
	u32 is_32_bit;
	u32 test;
	u32 reserved;
	struct record record;
};

/* Set by user space before loading. */
const volatile u32 possible_cpus = 1;
const volatile u32 filter_default = VERDICT_NONE; /* without rules and targets there are no verdicts */
const volatile u32 report_excluded = 0; /* tell of execs that are not sampled: rules by names need them */
const volatile u32 numbered_mappings = 0; /* the self-test failed: user space tells the mappings */
const volatile u32 ring_bytes = 1 << 20;  /* size of `samples`, to wake its reader when half full */
const volatile u32 events_bytes = 1 << 17; /* size of `events`, likewise */

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} samples SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 17);
} events SEC(".maps");

struct unwind_chunk {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, UNWIND_CHUNK_PAGES);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, u32);
	__type(value, u8[UNWIND_PAGE_BYTES]);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, UNWIND_CHUNKS_MAX);
	__type(key, u32);
	__array(values, struct unwind_chunk);
} unwind_chunks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct file_key);
	__type(value, struct file_entry);
} files SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, u32);
	__type(value, struct process_verdict);
} verdicts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct filter_rule);
	__type(value, u32);
} filter_rules SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} filter_generation SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, u32);
	__type(value, struct process_entry);
} process_mappings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct lost_key);
	__type(value, u64);
} lost SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct exec_event);
} exec_events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, u32);
	__type(value, struct state);
} states SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct rule_cache);
} rule_caches SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct mapping_cache);
} mapping_caches SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTERS);
	__type(key, u32);
	__type(value, u64);
} counters SEC(".maps");

INLINE void count(u32 counter, u64 by)
{
	u64 *value = bpf_map_lookup_elem(&counters, &counter);

	if (value)
		*value += by;
}

/**
 * count_lost - Count a lost sample of a process.
 */
INLINE void count_lost(u32 tgid, u64 start_ns, u32 reason)
{
	struct lost_key key = {.start_ns = start_ns, .tgid = tgid, .reason = reason};
	u64 *value = bpf_map_lookup_elem(&lost, &key);
	u64 one = 1;

	if (value)
		__sync_fetch_and_add(value, 1);
	else if (bpf_map_update_elem(&lost, &key, &one, BPF_NOEXIST))
		count(COUNT_LOST_UNNAMED, 1);
}

/**
 * event_flags - How to put an event into its ring: wake its reader only when it fills up.
 */
INLINE u64 event_flags(void)
{
	if (bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) > events_bytes / 2)
		return BPF_RB_FORCE_WAKEUP;
	return BPF_RB_NO_WAKEUP;
}

/* The compiler must not move what it writes across this; interrupts on this CPU see one before the other. */
#define KEEP_ORDER() asm volatile("" ::: "memory")

INLINE struct state *state_of(u32 slot)
{
	return bpf_map_lookup_elem(&states, &slot);
}

#endif
