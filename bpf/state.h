/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * Maps, settings and working memory of the sampler.
 */
#ifndef HEARTH_STATE_H
#define HEARTH_STATE_H

#include "types.h"
#include "walk.h"

/* Working memory by use: a sampling interrupt may hit while the self-test runs. */
#define SLOT_SAMPLE 0
#define SLOT_TEST 1

enum mapping_kind {
	MAPPING_NONE = 0,
	MAPPING_FILE,
	MAPPING_ANONYMOUS,
	MAPPING_RAW, /* a file, but no id is left, or user space looks up addresses */
};

/**
 * struct mapping - The mapping which the last looked-up address lies in; empty at first.
 * @start:  Its first address.
 * @end:    The address behind it.
 * @offset: File offset of @start.
 */
struct mapping {
	u64 start;
	u64 end;
	u64 offset;
	u32 file_id;
	u32 kind;
	u32 executable;
	u32 reserved;
};

/* A record as it goes into the ring, with room for the largest. */
struct record {
	struct sample sample;
	u64 frames[FRAMES_MAX];
};

/**
 * struct state - Working memory of one sample; the BPF stack has only 512 bytes.
 * @mm:         The process' struct mm_struct.
 * @vdso:       Where its vDSO is mapped.
 * @next_file:  How many file ids this CPU has given out.
 * @node:       Copy of a node of the maple tree.
 * @key:        Key of the file of @mapping.
 * @file:       Its struct file.
 * @size:       Its size.
 * @is_32_bit:  The process runs in compatibility mode.
 * @test:       A self-test's look-up: give out no id, ask for no file.
 */
struct state {
	struct registers regs;
	struct mapping mapping;
	u64 mm;
	u64 vdso;
	u64 next_file;
	u64 node[32];
	struct file_key key;
	u64 file;
	s64 size;
	u32 is_32_bit;
	u32 test;
	struct record record;
};

/* Set by user space before loading. */
const volatile u32 possible_cpus = 1;
const volatile u32 filter_processes = 0; /* sample only `targets` and their children */
const volatile u32 raw_frames = 0;	 /* the self-test failed: user space looks up addresses */
const volatile u32 ring_bytes = 1 << 20; /* size of `samples`, to wake its reader when half full */

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} samples SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 17);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct file_key);
	__type(value, struct file_entry);
} files SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, u32);
	__type(value, u32);
} targets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, u32);
	__type(value, struct state);
} states SEC(".maps");

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

INLINE struct state *state_of(u32 slot)
{
	return bpf_map_lookup_elem(&states, &slot);
}

#endif
