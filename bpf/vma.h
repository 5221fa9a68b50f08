/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * Address -> mapping -> file, by walking the kernel's own tree of mappings without its locks.
 *
 * No state per process is kept, so a process that has just begun is walked on its first sample. The
 * price is that another thread may change the tree meanwhile, and that on some kernels what leaves the
 * tree is reused at once (mappings before 6.4 and from 6.15 on, open files from 6.7 on). So everything is
 * read twice, with what it leads to in between, and the kernel's own count of changes must be the same
 * before and after, where there is one. Then at most one change was under way, which goes from one state
 * to another and not back: what is the same twice was so all the time. What fails is tried again, and at
 * last a counted stop (STOP_TREE_CHANGED), never a guess. docs/adr/0006 has the argument per kernel.
 * User space compares look-ups with /proc/self/maps before it trusts any of this on a new kernel.
 */
#ifndef HEARTH_VMA_H
#define HEARTH_VMA_H

#include "told.h"

/* Linux' lib/maple_tree.c: nodes are 256-byte aligned, their pointers carry the type in bits 3..6. */
#define MAPLE_NODE_MASK 255ull
#define MAPLE_LEAF_64 1
#define MAPLE_ARANGE_64 3
#define MAPLE_RANGE_PIVOTS 15
#define MAPLE_ARANGE_PIVOTS 9
#define MAPLE_LEVELS_MAX 8
#define MAPLE_NODE_WORDS 32

#define RB_LEVELS_MAX 40

/* How often a look-up is tried that met a tree in motion. */
#define ATTEMPTS_MAX 3

#define ASK_AGAIN_NS 200000000ull
#define USED_EVERY_NS 100000000ull
#define MET_EVERY_NS 200000000ull
#define ROWS_DECIDED (FILE_ROWS_READY | FILE_ROWS_NONE | FILE_ROWS_TOO_BIG)

/* Whether the kernel counts changes of mappings. */
INLINE bool changes_are_counted(void)
{
	return bpf_core_field_exists(struct mm_struct___seqcount, mm_lock_seq.sequence) ||
	       bpf_core_field_exists(struct mm_struct___sequence, mm_lock_seq) ||
	       bpf_core_field_exists(struct mm_struct___cache, vmacache_seqnum);
}

/**
 * changes_of - How often the mappings of @state's process have changed, as the kernel counts.
 *
 * From 6.13 on the count is odd during a change and even between two; from 6.4 on it grows when a change
 * ends, up to 6.0 when mappings are removed. 6.1 to 6.3 count nothing: two equal readings are all there is.
 */
INLINE u64 changes_of(struct state *state)
{
	if (bpf_core_field_exists(struct mm_struct___seqcount, mm_lock_seq.sequence)) {
		struct mm_struct___seqcount *mm = (void *)state->mm;

		return BPF_CORE_READ(mm, mm_lock_seq.sequence);
	} else if (bpf_core_field_exists(struct mm_struct___sequence, mm_lock_seq)) {
		struct mm_struct___sequence *mm = (void *)state->mm;

		return (u32)BPF_CORE_READ(mm, mm_lock_seq);
	} else if (bpf_core_field_exists(struct mm_struct___cache, vmacache_seqnum)) {
		struct mm_struct___cache *mm = (void *)state->mm;

		return BPF_CORE_READ(mm, vmacache_seqnum);
	}
	return 0;
}

/**
 * maple_find - Find the mapping that covers @address in a tree of Linux 6.1 or later.
 * @vma:      Set to the struct vm_area_struct.
 * @found_at: Set to where the tree holds it, in the form of state->found_as.
 *
 * Return: FOUND, STOP_NO_MAPPING or STOP_TREE_CHANGED.
 */
INLINE int maple_find(struct state *state, u64 address, u64 *vma, u64 *found_at)
{
	struct mm_struct___maple *mm = (void *)state->mm;
	u64 entry = (u64)BPF_CORE_READ(mm, mm_mt.ma_root);

	if ((entry & 3) != 2) /* the root is marked as a node, or the tree has none */
		return STOP_NO_MAPPING;
	for (u32 level = 0; level < MAPLE_LEVELS_MAX; level++) {
		u64 node = entry & ~MAPLE_NODE_MASK;
		u32 type = (entry >> 3) & 15;
		u32 pivots = type == MAPLE_ARANGE_64 ? MAPLE_ARANGE_PIVOTS : MAPLE_RANGE_PIVOTS;
		u32 index, slot;

		if (!node)
			return STOP_NO_MAPPING;
		if (bpf_probe_read_kernel(state->node, sizeof(state->node), (void *)node))
			return STOP_TREE_CHANGED;
		/* A node that has left the tree is its own parent. */
		if ((state->node[0] & ~MAPLE_NODE_MASK) == node)
			return STOP_TREE_CHANGED;
		for (index = 0; index < MAPLE_RANGE_PIVOTS; index++) {
			u64 pivot = state->node[1 + index];

			if (index >= pivots || pivot >= address || (!pivot && index))
				break;
		}
		slot = 1 + pivots + index;
		if (slot >= MAPLE_NODE_WORDS)
			return STOP_TREE_CHANGED;
		entry = state->node[slot];
		if (type <= MAPLE_LEAF_64) {
			*vma = entry;
			*found_at = node + 8 * slot;
			state->found_as = entry;
			state->found_in = node;
			return entry ? FOUND : STOP_NO_MAPPING;
		}
	}
	return STOP_TREE_CHANGED;
}

/**
 * rb_find - Find the mapping that covers @address in a tree of Linux 6.0 or earlier.
 * @vma:      Set to the struct vm_area_struct.
 * @found_at: Set to where the tree holds it, in the form of state->found_as.
 *
 * Return: FOUND, STOP_NO_MAPPING or STOP_TREE_CHANGED.
 */
INLINE int rb_find(struct state *state, u64 address, u64 *vma, u64 *found_at)
{
	struct mm_struct___rb *mm = (void *)state->mm;
	struct rb_node *node;
	u32 offset = bpf_core_field_offset(struct vm_area_struct___rb, vm_rb);
	u64 link = (u64)mm + bpf_core_field_offset(struct mm_struct___rb, mm_rb.rb_node);

	for (u32 level = 0; level < RB_LEVELS_MAX; level++) {
		struct vm_area_struct *at;

		if (bpf_probe_read_kernel(&node, sizeof(node), (void *)link))
			return STOP_TREE_CHANGED;
		if (!node)
			return STOP_NO_MAPPING;
		at = (void *)((u64)node - offset);
		if (address < BPF_CORE_READ(at, vm_start)) {
			link = (u64)node + bpf_core_field_offset(struct rb_node, rb_left);
		} else if (address >= BPF_CORE_READ(at, vm_end)) {
			link = (u64)node + bpf_core_field_offset(struct rb_node, rb_right);
		} else {
			*vma = (u64)at;
			*found_at = link;
			state->found_as = (u64)node;
			state->found_in = 0;
			return FOUND;
		}
	}
	return STOP_TREE_CHANGED;
}

/**
 * file_key_read - Read what identifies @inode's content.
 *
 * The change time's nanoseconds carry a flag in bit 31 since Linux 6.13 ("somebody has asked").
 */
INLINE void file_key_read(struct file_key *key, struct inode *inode)
{
	key->inode = BPF_CORE_READ(inode, i_ino);
	key->device = BPF_CORE_READ(inode, i_sb, s_dev);
	key->generation = BPF_CORE_READ(inode, i_generation);
	key->reserved = 0;
	if (bpf_core_field_exists(struct inode___ctime_split, i_ctime_sec)) {
		struct inode___ctime_split *split = (void *)inode;

		key->ctime_sec = BPF_CORE_READ(split, i_ctime_sec);
		key->ctime_nsec = BPF_CORE_READ(split, i_ctime_nsec) & 0x7fffffff;
	} else if (bpf_core_field_exists(struct inode___ctime_private, __i_ctime)) {
		struct inode___ctime_private *private = (void *)inode;

		key->ctime_sec = BPF_CORE_READ(private, __i_ctime.tv_sec);
		key->ctime_nsec = BPF_CORE_READ(private, __i_ctime.tv_nsec);
	} else {
		struct inode___ctime *old = (void *)inode;

		key->ctime_sec = BPF_CORE_READ(old, i_ctime.tv_sec);
		key->ctime_nsec = BPF_CORE_READ(old, i_ctime.tv_nsec);
	}
}

/**
 * file_ask - Tell user space that a file was met which it has not opened yet, or whose rows it dropped.
 * @kind: EVENT_FILE or EVENT_ROWS.
 *
 * Return: whether there was room in the ring.
 */
INLINE bool file_ask(const struct state *state, u32 kind, u32 id)
{
	struct file *file = (void *)state->file;
	struct file_event *event;

	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		count(COUNT_LOST_EVENTS, 1);
		return false;
	}
	event->event.kind = kind;
	event->event.tgid = state->record.sample.tgid;
	event->event.time_ns = state->record.sample.time_ns;
	event->event.start_ns = state->record.sample.start_ns;
	event->vma_start = state->mapping.start;
	event->vma_end = state->mapping.end;
	event->size = state->size;
	event->key = state->key;
	event->id = id;
	event->reserved = 0;
	event->name[0] = 0;
	if (file) {
		const unsigned char *name = BPF_CORE_READ(file, f_path.dentry, d_name.name);

		bpf_probe_read_kernel_str(event->name, sizeof(event->name), name);
	}
	bpf_ringbuf_submit(event, BPF_RB_FORCE_WAKEUP);
	return true;
}

/**
 * file_meet - Find the mapping's file, giving it an id when it is met for the first time.
 *
 * Ids are given out here rather than by user space, so that even the first frame in a file leaves as
 * (file, offset), which stays meaningful when the process is gone. Each CPU has its own sequence:
 * kernels before 5.12 have no atomic that returns a value.
 *
 * Return: false if no id is left.
 */
INLINE bool file_meet(struct state *state)
{
	struct file_entry *entry = bpf_map_lookup_elem(&files, &state->key);
	struct mapping *mapping = &state->mapping;
	u64 now = state->record.sample.time_ns;
	u32 kind = 0;

	mapping->file_id = 0;
	mapping->rows = 0;
	if (!entry) {
		struct file_entry fresh = {};
		u64 id = 1 + state->next_file * possible_cpus + bpf_get_smp_processor_id();

		if (id > FILE_ID_MAX || state->test)
			return false;
		fresh.id = id;
		/* Fails when the map is full, or when another CPU was faster. */
		if (bpf_map_update_elem(&files, &state->key, &fresh, BPF_NOEXIST) == 0)
			state->next_file++;
		entry = bpf_map_lookup_elem(&files, &state->key);
		if (!entry)
			return false;
	}
	mapping->file_id = entry->id;
	mapping->rows = entry->flags;
	mapping->root = entry->root;
	mapping->generation = entry->generation;
	if (state->test)
		return true;
	if (!entry->known)
		kind = EVENT_FILE;
	else if (entry->flags & FILE_ROWS_EVICTED)
		kind = EVENT_ROWS;
	if (kind && (!entry->asked_ns || now - entry->asked_ns > ASK_AGAIN_NS) &&
	    file_ask(state, kind, entry->id))
		entry->asked_ns = now;
	if (now - entry->used_ns > USED_EVERY_NS)
		entry->used_ns = now;
	return true;
}

/**
 * rows_of_numbered - Find the rows of a file that user space numbered.
 */
INLINE void rows_of_numbered(struct state *state)
{
	struct mapping *mapping = &state->mapping;
	struct file_key key = {.inode = mapping->file_id, .device = NUMBERED_DEVICE};
	struct file_entry *entry = bpf_map_lookup_elem(&files, &key);
	u64 now = state->record.sample.time_ns;

	mapping->rows = 0;
	if (!entry)
		return;
	mapping->rows = entry->flags;
	mapping->root = entry->root;
	mapping->generation = entry->generation;
	if (state->test)
		return;
	if (entry->flags & FILE_ROWS_EVICTED && now - entry->asked_ns > ASK_AGAIN_NS) {
		state->key = key;
		state->file = 0;
		state->size = 0;
		if (file_ask(state, EVENT_ROWS, mapping->file_id))
			entry->asked_ns = now;
	}
	if (now - entry->used_ns > USED_EVERY_NS)
		entry->used_ns = now;
}

/**
 * vma_read - Fill state->mapping, ->key and ->size from @vma, then check that it did not change.
 *
 * Return: FOUND or STOP_TREE_CHANGED.
 */
INLINE int vma_read(struct state *state, u64 address, struct vm_area_struct *vma)
{
	struct mapping *mapping = &state->mapping;
	struct file *file = BPF_CORE_READ(vma, vm_file);
	unsigned long pages = BPF_CORE_READ(vma, vm_pgoff);
	struct inode *inode = NULL;
	u32 kind = MAPPING_ANONYMOUS;
	u64 offset = 0;

	mapping->start = BPF_CORE_READ(vma, vm_start);
	mapping->end = BPF_CORE_READ(vma, vm_end);
	mapping->executable = 1;
	if (bpf_core_field_exists(vma->vm_flags))
		mapping->executable = !!(BPF_CORE_READ(vma, vm_flags) & VM_EXEC);
	state->file = (u64)file;
	state->size = 0;
	if (file) {
		inode = BPF_CORE_READ(file, f_inode);
		kind = MAPPING_FILE;
		offset = (u64)pages << PAGE_SHIFT;
		state->size = BPF_CORE_READ(inode, i_size);
		file_key_read(&state->key, inode);
	} else if (mapping->start == state->vdso) {
		kind = MAPPING_FILE;
		state->key.inode = VDSO_INODE;
		state->key.ctime_sec = 0;
		state->key.ctime_nsec = 0;
		state->key.device = VDSO_DEVICE;
		state->key.generation = 0;
		state->key.reserved = 0;
	}
	/* Assigned once and here: clang 14 drops stores to these made in the branches above. */
	mapping->kind = kind;
	mapping->offset = offset;
	/* All of the above was read without a lock: is it still true? */
	if (file && BPF_CORE_READ(file, f_inode) != inode)
		return STOP_TREE_CHANGED;
	if (address < mapping->start || address >= mapping->end ||
	    BPF_CORE_READ(vma, vm_start) != mapping->start || BPF_CORE_READ(vma, vm_end) != mapping->end ||
	    BPF_CORE_READ(vma, vm_pgoff) != pages || BPF_CORE_READ(vma, vm_file) != file ||
	    (u64)BPF_CORE_READ(vma, vm_mm) != state->mm)
		return STOP_TREE_CHANGED;
	return FOUND;
}

/**
 * vma_find - Make state->mapping the one which covers @address, by the kernel's tree.
 *
 * Return: FOUND, STOP_NO_MAPPING or STOP_TREE_CHANGED.
 */
INLINE int vma_find(struct state *state, u64 address)
{
	u64 vma = 0, slot = 0, again = 0;
	int result;

	state->changes = changes_of(state);
	if (bpf_core_field_exists(struct mm_struct___maple, mm_mt))
		result = maple_find(state, address, &vma, &slot);
	else
		result = rb_find(state, address, &vma, &slot);
	if (result == FOUND) {
		result = vma_read(state, address, (void *)vma);
		/* Is what was read still where it was found? */
		bpf_probe_read_kernel(&again, sizeof(again), (void *)slot);
		if (again != state->found_as)
			result = STOP_TREE_CHANGED;
		/* A node that has left the tree is its own parent. */
		if (state->found_in) {
			bpf_probe_read_kernel(&again, sizeof(again), (void *)state->found_in);
			if (again != state->node[0])
				result = STOP_TREE_CHANGED;
		}
	}
	return state->changes == changes_of(state) ? result : STOP_TREE_CHANGED;
}

/**
 * mapping_try - Make state->mapping the one which covers regs.ip, minus one for callers.
 *
 * A global function, so that the verifier looks at it once and not at every place it is called from.
 *
 * Return: FOUND or a stop reason.
 */
__attribute__((noinline)) int mapping_try(u32 slot)
{
	struct state *state = state_of(slot);

	if (!state)
		return STOP_NO_REGISTERS;
	if (numbered_mappings)
		return told_find(state, state->regs.ip - !state->regs.leaf);
	return vma_find(state, state->regs.ip - !state->regs.leaf);
}

INLINE struct mapping_slot *mapping_slot_of(struct mapping_cache *cache, const struct state *state, u64 address)
{
	u32 hash = (u32)(address >> 20) * 0x9e3779b1u ^ (u32)(state->mm >> 6) * 0x85ebca6bu;

	return &cache->slots[hash >> 16 & (MAPPING_SLOTS - 1)];
}

/**
 * mapping_recall - Make state->mapping the one which covers @address, if it was found lately.
 *
 * Return: whether it was.
 */
INLINE bool mapping_recall(struct state *state, const struct mapping_slot *slot, u64 address)
{
	/* A file's rows come and go, it may be written to, and its use must be noted. */
	if (state->record.sample.time_ns - slot->met_ns > MET_EVERY_NS)
		return false;
	if (slot->mapping.kind == MAPPING_FILE && !(slot->mapping.rows & ROWS_DECIDED) && !state->test)
		return false;
	if (slot->mm != state->mm || slot->start_ns != state->record.sample.start_ns ||
	    slot->exec_id != state->exec_id || address < slot->mapping.start || address >= slot->mapping.end ||
	    slot->changes != changes_of(state))
		return false;
	state->mapping = slot->mapping;
	state->key = slot->key;
	state->file = slot->file;
	state->size = slot->size;
	return true;
}

INLINE void mapping_remember(const struct state *state, struct mapping_slot *slot)
{
	slot->mm = 0;
	KEEP_ORDER();
	slot->start_ns = state->record.sample.start_ns;
	slot->exec_id = state->exec_id;
	slot->changes = state->changes;
	slot->met_ns = state->record.sample.time_ns;
	slot->file = state->file;
	slot->size = state->size;
	slot->mapping = state->mapping;
	slot->key = state->key;
	KEEP_ORDER();
	slot->mm = state->mm;
}

/**
 * file_find - Find the file of state->mapping and its rows.
 */
INLINE void file_find(struct state *state)
{
	if (state->mapping.kind != MAPPING_FILE)
		return;
	if (numbered_mappings) {
		rows_of_numbered(state);
	} else if (!file_meet(state) && !state->test) {
		state->mapping.kind = MAPPING_RAW;
		count(COUNT_FILES_FULL, 1);
	}
}

/**
 * mapping_walk - As mapping_try(), tried again while the tree is in motion; finds the file, too.
 *
 * Return: FOUND or a stop reason; then the mapping is empty.
 */
INLINE int mapping_walk(struct state *state, u32 slot)
{
	int result = STOP_TREE_CHANGED;

	if (!state->test)
		count(COUNT_VMA_WALKS, 1);
	for (u32 attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
		result = mapping_try(slot);
		/* A tree that is being balanced may hide a mapping for a moment. */
		if (result != STOP_TREE_CHANGED && result != STOP_NO_MAPPING)
			break;
	}
	if (result == FOUND) {
		file_find(state);
		return FOUND;
	}
	state->mapping.start = 0;
	state->mapping.end = 0;
	state->mapping.kind = MAPPING_NONE;
	if (result == STOP_TREE_CHANGED && !state->test)
		count(COUNT_TREE_CHANGED, 1);
	return result;
}

/**
 * mapping_find - Make state->mapping the one which covers regs.ip, minus one for callers; and its file.
 *
 * A global function, so that the verifier looks at it once and not at every place it is called from.
 *
 * Return: FOUND or a stop reason; then the mapping is empty.
 */
__attribute__((noinline)) int mapping_find(u32 slot)
{
	struct state *state = state_of(slot);
	struct mapping_cache *cache;
	struct mapping_slot *known;
	u64 address;
	u32 zero = 0;
	int result;

	cache = bpf_map_lookup_elem(&mapping_caches, &zero);
	if (!state || !cache)
		return STOP_NO_REGISTERS;
	if (!changes_are_counted() || numbered_mappings)
		return mapping_walk(state, slot);
	address = state->regs.ip - !state->regs.leaf;
	known = mapping_slot_of(cache, state, address);
	if (mapping_recall(state, known, address))
		return FOUND;
	result = mapping_walk(state, slot);
	/* Ids and rows of tests are made up. */
	if (result == FOUND && state->test != TEST_MADE_UP)
		mapping_remember(state, known);
	return result;
}

#endif
