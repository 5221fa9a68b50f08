/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * What the kernel side and user space agree on: records, frames, keys, counters, stop reasons.
 *
 * `crates/sampler/src/abi.rs` reads these layouts and `crates/unwind/src/stop.rs` holds the table of
 * stop reasons for people; tests compare both with this file.
 */
#ifndef HEARTH_RECORD_H
#define HEARTH_RECORD_H

#include <linux/types.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s16 s16;
typedef __s32 s32;
typedef __s64 s64;

#define INLINE static inline __attribute__((always_inline))

#define COMM_BYTES 16
#define NAME_BYTES 64
#define PATH_BYTES 128

/* What an exec event tells of a control group: the innermost names of its path. */
#define CGROUP_LEVELS 3
#define CGROUP_NAME_BYTES 96
/* What it tells of arguments and environment: their first bytes. */
#define ARGUMENT_BYTES_MAX 1024
#define ENVIRONMENT_BYTES_MAX 3072

/* Bounds of one sample. */
#define USER_FRAMES_MAX 1024
#define KERNEL_FRAMES_MAX 127
#define FRAMES_MAX (USER_FRAMES_MAX + KERNEL_FRAMES_MAX)

/*
 * A user frame is 8 bytes. Below FRAME_TAG_MIN the upper 24 bits are a file id and the lower 40 bits
 * the offset in that file; else the upper 8 bits are one of these tags and the lower 56 bits are an
 * address in the process. A caller's frame points at the last byte of the call, not behind it.
 */
#define FRAME_OFFSET_BITS 40
#define FRAME_OFFSET_MAX ((1ull << FRAME_OFFSET_BITS) - 1)
#define FRAME_TAG_SHIFT 56
#define FRAME_TAG_MIN 0xfd
#define FRAME_ANONYMOUS 0xfe /* code in memory without a file: a JIT compiler's */
#define FRAME_RAW 0xff	     /* not looked up here: user space does, through /proc */
#define FILE_ID_MAX ((1 << 23) - 1) /* given out here; larger ones by user space */

/* The vDSO has no file; it is recognised by address and gets this key. */
#define VDSO_DEVICE 0xffffffffu
#define VDSO_INODE 1

/**
 * enum stop_reason - Why the walk over user frames ended.
 *
 * The first four say that the stack is complete. Numbers are never reused.
 */
enum stop_reason {
	STOP_ROOT = 0,
	STOP_START = 1,
	STOP_KERNEL_THREAD = 2,
	STOP_EXITING = 3,
	STOP_DEPTH = 4,
	STOP_NO_MAPPING = 5,
	STOP_NOT_EXECUTABLE = 6,
	STOP_UNREADABLE = 7,
	STOP_FRAME_POINTER = 8,
	STOP_TREE_CHANGED = 9,
	STOP_NO_REGISTERS = 10,
	STOP_32_BIT = 11,
	STOP_UNKNOWN_FILE = 12,
	STOP_NO_RULE = 13,
	STOP_REGISTER = 14,
	STOP_EVICTED = 15,
	STOP_BACKWARDS = 16,
	STOP_REASONS = 17,
};

/**
 * enum counter - Index into the per-CPU counters.
 *
 * All only grow. Every sample that is started is either sent or counted as lost.
 */
enum counter {
	COUNT_SAMPLES = 0,	 /* samples started: not idle, and of a wanted process */
	COUNT_LOST_RING = 1,	 /* samples which found the ring full */
	COUNT_LOST_STATE = 2,	 /* samples without working memory; never seen */
	COUNT_LOST_EVENTS = 3,	 /* exec, fork, exit and file events which found their ring full */
	COUNT_RUN_NS = 4,	 /* nanoseconds spent in the sampling program */
	COUNT_USER_FRAMES = 5,
	COUNT_KERNEL_FRAMES = 6,
	COUNT_VMA_WALKS = 7,
	COUNT_FILES_FULL = 8,	 /* frames sent raw because no file id was left */
	COUNT_TREE_CHANGED = 9,	 /* look-ups that met a tree in motion */
	COUNT_RAW_TAILS = 10,	 /* samples sent with stack bytes: a file was not ready */
	COUNT_RAW_BYTES = 11,	 /* those stack bytes */
	COUNT_RAW_SKIPPED = 12,	 /* samples that should have had some, but the ring was half full */
	COUNT_ROWS_FRAMES = 13,	 /* callers found by unwind rows */
	COUNT_VERDICTS_FULL = 14, /* filters asked again for want of room to remember the answer */
	COUNT_LOST_UNNAMED = 15, /* lost samples for whose process `lost` had no room */
	COUNTERS = 16,
};

/**
 * struct file_key - What identifies the content of a file, read from its inode.
 *
 * An opaque identity: stat(2) may report other numbers (overlayfs, btrfs). The change time tells
 * apart what was replaced in place or got a recycled inode number.
 */
struct file_key {
	u64 inode;
	s64 ctime_sec;
	u32 ctime_nsec;
	u32 device;
	u32 generation;
	u32 reserved;
};

/*
 * What user space says of a file's unwind rows. None of these: they are still to come, and samples that
 * need them carry stack bytes.
 */
#define FILE_ROWS_READY 1   /* root and levels are valid */
#define FILE_ROWS_NONE 2    /* it has none: only frame pointers */
#define FILE_ROWS_TOO_BIG 4 /* more than the budget allows: only frame pointers */
#define FILE_ROWS_EVICTED 8 /* they were dropped for want of room; EVENT_ROWS asks for them again */

/**
 * struct file_entry - What the kernel side knows of a file.
 * @id:         Its id in frames; never reused.
 * @known:      User space has opened the file; no more requests are needed.
 * @asked_ns:   When user space was last told of it.
 * @root:       Unwind page at which a look-up of its rows begins.
 * @levels:     How many pages lie between @root and a leaf.
 * @flags:      FILE_ROWS_*.
 * @generation: Stamp of its unwind pages; a page with another one is somebody else's by now.
 * @used_ns:    When a sample last needed it, to the precision of a coarse clock.
 */
struct file_entry {
	u32 id;
	u32 known;
	u64 asked_ns;
	u32 root;
	u32 levels;
	u32 flags;
	u32 generation;
	u64 used_ns;
};

/*
 * Unwind pages are kept in chunks, inner maps of `unwind_chunks`. A page's id is its chunk's number and
 * its place there; 0 is no page.
 */
#define UNWIND_PAGE_BYTES 4096
#define UNWIND_CHUNK_PAGES 256
#define UNWIND_CHUNKS_MAX 256

/*
 * The mappings of a process, for kernels in which they are not looked up. They are in pages of the same
 * chunks: leaves of ascending entries, above them nodes with the first addresses and ids of 256 pages
 * each. A process has one leaf (levels 0) or up to two levels of nodes above.
 */
#define MAPPING_LEAF_ENTRIES 128
#define MAPPING_NODE_ENTRIES 256
#define MAPPING_LEVELS_MAX 2

#define ENTRY_EXECUTABLE 1
#define ENTRY_ANONYMOUS 2 /* has no file; file_id is 0 */

/**
 * struct mapping_entry - A mapping; unused ones at a leaf's end have all bits of @start set.
 * @start:   Its first address.
 * @end:     The address behind it.
 * @offset:  File offset of @start.
 * @file_id: Its file, as user space numbers them.
 * @flags:   ENTRY_*.
 */
struct mapping_entry {
	u64 start;
	u64 end;
	u64 offset;
	u32 file_id;
	u32 flags;
};

/**
 * struct mapping_node - First addresses and page ids of the pages below; unused: all bits set.
 */
struct mapping_node {
	u64 start[MAPPING_NODE_ENTRIES];
	u32 page[MAPPING_NODE_ENTRIES];
	u32 reserved[MAPPING_NODE_ENTRIES];
};

/* In `files`, a file that user space numbered has this key: its id as inode, this device, else zeros. */
#define NUMBERED_DEVICE 0xfffffffeu

/**
 * struct process_entry - A process' mappings, in the map `process_mappings` under its tgid.
 * @start_ns: When the process was started, to tell it from an earlier one.
 * @asked_ns: When user space was last told that they do not cover an address.
 * @root:     Page at which a look-up begins; 0 if there are none yet.
 * @levels:   How many pages lie between @root and a leaf.
 */
struct process_entry {
	u64 start_ns;
	u64 asked_ns;
	u32 root;
	u32 levels;
};

/*
 * Filters. A process has a verdict, which is found on its first sample, inherited by what it forks and
 * found again when it executes another program. A matching rule that excludes wins, then one that
 * includes, then `filter_default`.
 */
enum verdict {
	VERDICT_NONE = 0,
	VERDICT_EXCLUDE = 1,
	VERDICT_INCLUDE = 2,
	VERDICT_TARGET = 3, /* included by its number, with its children, whatever they execute */
};

enum filter_kind {
	FILTER_CGROUP = 1,	  /* id in the v2 hierarchy, of the group or one it lies in */
	FILTER_CGROUP_V1 = 2,	  /* id in a v1 hierarchy, likewise */
	FILTER_PID_NAMESPACE = 3, /* inode of the namespace */
	FILTER_EXECUTABLE = 4,	  /* the file that the process executes */
};

/**
 * struct process_verdict - Value of the map `verdicts`, under a tgid.
 * @generation: Of the rules it was found by (the map `filter_generation`); others are outdated.
 */
struct process_verdict {
	u64 start_ns;
	u32 verdict;
	u32 generation;
};

/**
 * struct filter_rule - Key of the map `filter_rules`; its value is VERDICT_EXCLUDE or VERDICT_INCLUDE.
 * @kind: enum filter_kind.
 * @file: The executable's key; for ids the id is its inode, all else is 0.
 */
struct filter_rule {
	u32 kind;
	u32 reserved;
	struct file_key file;
};

enum lost_reason {
	LOST_RING = 0,	/* the ring was full */
	LOST_STATE = 1, /* no working memory */
};

/**
 * struct lost_key - Key of the map `lost`: whose samples were lost, and why. Its value counts them.
 */
struct lost_key {
	u64 start_ns;
	u32 tgid;
	u32 reason; /* enum lost_reason */
};

/**
 * struct sample - Header of a record in the sample ring; kernel then user frames follow, then perhaps
 * a struct raw_tail.
 * @time_ns:       When it was taken, CLOCK_MONOTONIC.
 * @start_ns:      When the process was started, CLOCK_BOOTTIME; with @tgid it is the process' key.
 * @cgroup_id:     Inode of the cgroup in the v2 hierarchy.
 * @tgid:          Process id, as the initial PID namespace counts.
 * @tid:           Thread id.
 * @comm:          The thread's name.
 * @cpu:           Where it was taken.
 * @kernel_frames: How many kernel frames follow, leaf first, 8-byte kernel addresses.
 * @user_frames:   How many user frames follow them, leaf first.
 * @stop:          Why there are no more (enum stop_reason).
 * @flags:         SAMPLE_*.
 */
struct sample {
	u64 time_ns;
	u64 start_ns;
	u64 cgroup_id;
	u32 tgid;
	u32 tid;
	char comm[COMM_BYTES];
	u16 cpu;
	u16 kernel_frames;
	u16 user_frames;
	u8 stop;
	u8 flags;
};

#define SAMPLE_RAW_TAIL 1

/*
 * Registers are numbered as DWARF does. x86-64: rax rdx rcx rbx rsi rdi rbp rsp r8..r15, then the
 * instruction pointer. arm64: x0..x30, sp, then the instruction pointer.
 */
#define RAW_REGISTERS 33
#if defined(__TARGET_ARCH_arm64)
#define RAW_REGISTER_IP 32
#else
#define RAW_REGISTER_IP 16
#endif
#define RAW_STACK_BYTES_MAX 16384

/**
 * struct raw_tail - What user space needs to walk on from the last user frame of a sample, whose file or
 * process was not known well enough: the registers in that frame, and the stack from its stack pointer.
 * @registers:   Values of the registers in @known.
 * @known:       Bit per register. In a leaf all are known, in callers those which a walk keeps.
 * @stack_top:   Top of the thread's stack, or 0 if unknown.
 * @start_bytes: START_BYTES_* of walk.h.
 * @leaf:        The frame was interrupted, so its instruction pointer is the instruction itself.
 * @stack_bytes: How many bytes of stack follow; 0 to RAW_STACK_BYTES_MAX.
 */
struct raw_tail {
	u64 registers[RAW_REGISTERS];
	u64 known;
	u64 stack_top;
	u32 start_bytes;
	u32 leaf;
	u32 stack_bytes;
	u32 reserved;
};

enum event_kind {
	EVENT_FILE = 1,
	EVENT_EXEC = 2,
	EVENT_FORK = 3,
	EVENT_EXIT = 4,
	EVENT_ROWS = 5,	    /* a file_event: rows that were evicted are needed again */
	EVENT_MAPPINGS = 6, /* a mappings_event */
};

/**
 * struct event - Header of every record in the event ring.
 * @kind: enum event_kind.
 * @tgid: The process it happened to.
 */
struct event {
	u32 kind;
	u32 tgid;
	u64 time_ns;
	u64 start_ns;
};

/**
 * struct file_event - A sample met a file which user space has not opened.
 * @vma_start: Start of the mapping through which it was met, in @event.tgid.
 * @vma_end:   Its end.
 * @size:      Size of the file, to recognise it when it is opened.
 * @id:        The id it was given.
 * @name:      Last component of its path.
 */
struct file_event {
	struct event event;
	u64 vma_start;
	u64 vma_end;
	s64 size;
	struct file_key key;
	u32 id;
	u32 reserved;
	char name[NAME_BYTES];
};

/**
 * struct mappings_event - The mappings of a process are not known, or do not cover an address.
 * @address: That address.
 */
struct mappings_event {
	struct event event;
	u64 address;
};

/**
 * struct process_event - A process was forked or ended.
 * @cgroup_id:       Its cgroup.
 * @parent_start_ns: For a fork: when the parent started.
 * @parent:          For a fork: the parent's process id.
 */
struct process_event {
	struct event event;
	u64 cgroup_id;
	u64 parent_start_ns;
	u32 parent;
	u32 reserved;
	char comm[COMM_BYTES];
};

/**
 * struct exec_event - A process began to execute a program. All that names it is read here and now, since
 * it may be gone in a moment.
 * @cgroup_id:     Inode of its cgroup in the v2 hierarchy.
 * @cgroup_v1_id:  Inode of its cgroup in the v1 hierarchy that @cgroup_v1 is of, or 0.
 * @pid_namespace: Inode of its PID namespace.
 * @argument_bytes:    How many bytes of its arguments are in @text, each ended by NUL.
 * @environment_bytes: How many bytes of its environment follow them there.
 * @path:          The path as given to execve(2).
 * @cgroup:        Names on the cgroup's path in the v2 hierarchy, innermost first; empty beyond the root.
 * @cgroup_v1:     The same in a v1 hierarchy: of pids, cpu or memory, the first there is.
 * @text:          Only as much of it is sent as is used.
 */
struct exec_event {
	struct event event;
	u64 cgroup_id;
	u64 cgroup_v1_id;
	u32 pid_namespace;
	u16 argument_bytes;
	u16 environment_bytes;
	char comm[COMM_BYTES];
	char path[PATH_BYTES];
	char cgroup[CGROUP_LEVELS][CGROUP_NAME_BYTES];
	char cgroup_v1[CGROUP_LEVELS][CGROUP_NAME_BYTES];
	char text[ARGUMENT_BYTES_MAX + ENVIRONMENT_BYTES_MAX];
};

#define EXEC_EVENT_BYTES_MIN (768)

_Static_assert(sizeof(struct file_key) == 32, "file_key");
_Static_assert(sizeof(struct file_entry) == 40, "file_entry");
_Static_assert(sizeof(struct mapping_entry) * MAPPING_LEAF_ENTRIES == UNWIND_PAGE_BYTES, "mapping_entry");
_Static_assert(sizeof(struct mapping_node) == UNWIND_PAGE_BYTES, "mapping_node");
_Static_assert(sizeof(struct process_entry) == 24, "process_entry");
_Static_assert(sizeof(struct process_verdict) == 16, "process_verdict");
_Static_assert(sizeof(struct filter_rule) == 40, "filter_rule");
_Static_assert(sizeof(struct lost_key) == 16, "lost_key");
_Static_assert(sizeof(struct sample) == 56, "sample");
_Static_assert(sizeof(struct raw_tail) == 296, "raw_tail");
_Static_assert(sizeof(struct event) == 24, "event");
_Static_assert(sizeof(struct file_event) == 152, "file_event");
_Static_assert(sizeof(struct mappings_event) == 32, "mappings_event");
_Static_assert(sizeof(struct process_event) == 64, "process_event");
_Static_assert(__builtin_offsetof(struct exec_event, text) == EXEC_EVENT_BYTES_MIN, "exec_event");

#endif
