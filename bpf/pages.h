/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * Pages which user space writes: unwind rows of files, and mappings of processes where they are told.
 */
#ifndef HEARTH_PAGES_H
#define HEARTH_PAGES_H

#include "state.h"
#include "rows.h"

_Static_assert(PAGE_BYTES == UNWIND_PAGE_BYTES, "unwind page");

static inline __attribute__((always_inline)) const struct unwind_page *page_get(u32 id)
{
	u32 chunk = id / UNWIND_CHUNK_PAGES;
	u32 index = id % UNWIND_CHUNK_PAGES;
	void *pages;

	if (!id)
		return NULL;
	pages = bpf_map_lookup_elem(&unwind_chunks, &chunk);
	if (!pages)
		return NULL;
	return bpf_map_lookup_elem(pages, &index);
}

#endif
