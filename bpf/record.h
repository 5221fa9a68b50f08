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
typedef __s32 s32;
typedef __s64 s64;

#define INLINE static inline __attribute__((always_inline))

#define COMM_BYTES 16
#define NAME_BYTES 64
#define PATH_BYTES 128

/* Bounds of one sample. */
#define USER_FRAMES_MAX 512
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
	STOP_REASONS = 12,
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
	COUNTERS = 10,
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

/**
 * struct file_entry - What the kernel side knows of a file.
 * @id:       Its id in frames; never reused.
 * @known:    User space has opened the file; no more requests are needed.
 * @asked_ns: When user space was last told of it.
 */
struct file_entry {
	u32 id;
	u32 known;
	u64 asked_ns;
};

/**
 * struct sample - Header of a record in the sample ring; kernel then user frames follow.
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
	u16 stop;
};

enum event_kind {
	EVENT_FILE = 1,
	EVENT_EXEC = 2,
	EVENT_FORK = 3,
	EVENT_EXIT = 4,
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
 * struct process_event - A process began to execute a program, was forked or ended.
 * @cgroup_id:       Its cgroup.
 * @parent_start_ns: For a fork: when the parent started.
 * @parent:          For a fork: the parent's process id.
 * @path:            For an exec: the path as given to execve(2).
 */
struct process_event {
	struct event event;
	u64 cgroup_id;
	u64 parent_start_ns;
	u32 parent;
	u32 reserved;
	char comm[COMM_BYTES];
	char path[PATH_BYTES];
};

_Static_assert(sizeof(struct file_key) == 32, "file_key");
_Static_assert(sizeof(struct file_entry) == 16, "file_entry");
_Static_assert(sizeof(struct sample) == 56, "sample");
_Static_assert(sizeof(struct event) == 24, "event");
_Static_assert(sizeof(struct file_event) == 152, "file_event");
_Static_assert(sizeof(struct process_event) == 192, "process_event");

#endif
