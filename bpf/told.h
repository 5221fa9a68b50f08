/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * Address -> mapping -> file, by tables which user space fills from /proc and from records of perf.
 *
 * For kernels whose own tree of mappings is laid out in a way that the self-test did not recognise. A
 * process that is not known yet is asked for; its samples carry stack bytes until it is.
 */
#ifndef HEARTH_TOLD_H
#define HEARTH_TOLD_H

#include "pages.h"

#define ASK_MAPPINGS_AGAIN_NS 20000000ull

/* Page ids of a node lie behind its addresses. */
#define NODE_PAGES (MAPPING_NODE_ENTRIES * 2)
#define NODE_STEPS 8
#define LEAF_STEPS 7
#define ENTRY_WORDS 8

/* The 8 bytes at word @at of a page, without the top bit, which addresses of processes do not have. */
INLINE u64 address_at(const struct unwind_page *page, u32 at)
{
	/* The compiler may know the bounds and leave out the masks; the verifier of 5.10 does not. */
	asm volatile("" : "+r"(at));
	return ((u64)page->u32[(at + 1) & WORDS_MASK] << 32 | page->u32[at & WORDS_MASK]) & ~(1ull << 63);
}

/**
 * last_below - The last of ascending addresses that is not above @address.
 * @stride: Words from one address to the next.
 * @steps:  Logarithm of their number.
 *
 * Return: its place; 0 also where there is none.
 */
INLINE u32 last_below(const struct unwind_page *page, u32 stride, u32 steps, u64 address)
{
	u32 found = 0;

#pragma unroll
	for (u32 step = 1u << (steps - 1); step; step >>= 1)
		found += step & (u32)below(address_at(page, (found + step) * stride), address + 1);
	return found;
}

INLINE void mappings_ask(struct state *state, struct process_entry *entry, u64 address)
{
	u64 now = state->record.sample.time_ns;
	struct mappings_event *event;

	if (state->test || (entry->asked_ns && now - entry->asked_ns < ASK_MAPPINGS_AGAIN_NS))
		return;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		count(COUNT_LOST_EVENTS, 1);
		return;
	}
	entry->asked_ns = now;
	event->event.kind = EVENT_MAPPINGS;
	event->event.tgid = state->record.sample.tgid;
	event->event.time_ns = now;
	event->event.start_ns = state->record.sample.start_ns;
	event->address = address;
	bpf_ringbuf_submit(event, BPF_RB_FORCE_WAKEUP);
}

/**
 * process_entry_of - The entry of the sampled process; a fresh one if it was not met before.
 */
INLINE struct process_entry *process_entry_of(struct state *state)
{
	u32 tgid = state->record.sample.tgid;
	struct process_entry *entry = bpf_map_lookup_elem(&process_mappings, &tgid);
	struct process_entry fresh = {};

	if (entry && entry->start_ns == state->record.sample.start_ns)
		return entry;
	fresh.start_ns = state->record.sample.start_ns;
	bpf_map_update_elem(&process_mappings, &tgid, &fresh, BPF_ANY);
	return bpf_map_lookup_elem(&process_mappings, &tgid);
}

/**
 * told_find - Make state->mapping the one which covers @address, by the process' table.
 *
 * Return: FOUND, STOP_UNKNOWN_FILE if the table does not say.
 */
INLINE int told_find(struct state *state, u64 address)
{
	struct process_entry *entry = process_entry_of(state);
	struct mapping *mapping = &state->mapping;
	const struct unwind_page *page;
	u32 at, flags;

	if (!entry)
		return STOP_UNKNOWN_FILE;
	page = page_get(entry->root);
	for (u32 level = 0; level < MAPPING_LEVELS_MAX && page && level < entry->levels; level++) {
		at = last_below(page, 2, NODE_STEPS, address);
		at += NODE_PAGES;
		asm volatile("" : "+r"(at));
		page = page_get(page->u32[at & WORDS_MASK]);
	}
	if (!page) {
		mappings_ask(state, entry, address);
		return STOP_UNKNOWN_FILE;
	}
	at = last_below(page, ENTRY_WORDS, LEAF_STEPS, address) * ENTRY_WORDS;
	mapping->start = address_at(page, at);
	mapping->end = address_at(page, at + 2);
	mapping->offset = address_at(page, at + 4);
	asm volatile("" : "+r"(at));
	mapping->file_id = page->u32[(at + 6) & WORDS_MASK];
	flags = page->u32[(at + 7) & WORDS_MASK];
	mapping->executable = flags & ENTRY_EXECUTABLE;
	mapping->kind = flags & ENTRY_ANONYMOUS ? MAPPING_ANONYMOUS : MAPPING_FILE;
	if (address < mapping->start || address >= mapping->end) {
		mappings_ask(state, entry, address);
		return STOP_UNKNOWN_FILE;
	}
	return FOUND;
}

#endif
