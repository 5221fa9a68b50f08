/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * The few kernel types the sampler reads, for CO-RE.
 *
 * Only the fields which are read are declared, in any order: the loader finds their true offsets in
 * the running kernel's BTF. Where a field was renamed or changed its type between kernels, each form
 * has its own flavour (`struct inode___ctime_split`); the loader ignores what follows the three
 * underscores. Nothing is copied from a generated vmlinux.h.
 */
#ifndef HEARTH_TYPES_H
#define HEARTH_TYPES_H

#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#include "record.h"

#define CORE __attribute__((preserve_access_index))

/* Bits which every supported kernel has at the same place. */
#define PF_EXITING 0x00000004
#define PF_KTHREAD 0x00200000
#define VM_EXEC 0x00000004
#define PAGE_SHIFT 12 /* x86-64; arm64 kernels with larger pages are refused by user space */

struct super_block {
	u32 s_dev;
} CORE;

struct timespec64 {
	s64 tv_sec;
	long tv_nsec;
} CORE;

struct inode {
	struct super_block *i_sb;
	unsigned long i_ino;
	u32 i_generation;
	s64 i_size;
} CORE;

/* Up to 6.5. */
struct inode___ctime {
	struct timespec64 i_ctime;
} CORE;

/* 6.6 to 6.10. */
struct inode___ctime_private {
	struct timespec64 __i_ctime;
} CORE;

/* From 6.11. */
struct inode___ctime_split {
	s64 i_ctime_sec;
	u32 i_ctime_nsec;
} CORE;

struct qstr {
	const unsigned char *name;
} CORE;

struct dentry {
	struct qstr d_name;
} CORE;

struct path {
	struct dentry *dentry;
} CORE;

struct file {
	struct inode *f_inode;
	struct path f_path;
} CORE;

struct rb_node {
	struct rb_node *rb_right;
	struct rb_node *rb_left;
} CORE;

struct rb_root {
	struct rb_node *rb_node;
} CORE;

struct maple_tree {
	void *ma_root;
} CORE;

struct mm_context {
	void *vdso;
} CORE;

struct mm_struct {
	unsigned long start_stack;
	unsigned long arg_start;
	unsigned long arg_end;
	unsigned long env_start;
	unsigned long env_end;
	struct file *exe_file;
	struct mm_context context;
} CORE;

struct seqcount {
	unsigned int sequence;
} CORE;

/* From 6.13. */
struct mm_struct___seqcount {
	struct seqcount mm_lock_seq;
} CORE;

/* 6.4 to 6.12. */
struct mm_struct___sequence {
	int mm_lock_seq;
} CORE;

/* Up to 6.0. */
struct mm_struct___cache {
	u64 vmacache_seqnum;
} CORE;

/* From 6.1. */
struct mm_struct___maple {
	struct maple_tree mm_mt;
} CORE;

/* Up to 6.0. */
struct mm_struct___rb {
	struct rb_root mm_rb;
} CORE;

struct vm_area_struct {
	unsigned long vm_start;
	unsigned long vm_end;
	struct mm_struct *vm_mm;
	unsigned long vm_flags;
	unsigned long vm_pgoff;
	struct file *vm_file;
} CORE;

/* Up to 6.0. */
struct vm_area_struct___rb {
	struct rb_node vm_rb;
} CORE;

struct atomic {
	int counter;
} CORE;

struct signal_struct {
	struct atomic live;
} CORE;

struct thread_struct {
	unsigned long fsbase; /* x86-64 only */
} CORE;

struct kernfs_node {
	const char *name;
	u64 id;
} CORE;

/* Up to 6.14. */
struct kernfs_node___plain {
	struct kernfs_node *parent;
} CORE;

/* From 6.15. */
struct kernfs_node___rcu {
	struct kernfs_node *__parent;
} CORE;

struct cgroup {
	struct kernfs_node *kn;
	void *root;
} CORE;

struct cgroup_subsys_state {
	struct cgroup *cgroup;
} CORE;

struct css_set {
	struct cgroup_subsys_state *subsys[1];
	struct cgroup *dfl_cgrp;
} CORE;

/* Numbers differ between kernels; the loader finds them. */
enum cgroup_subsys_id {
	pids_cgrp_id = 0x5001,
	cpu_cgrp_id,
	memory_cgrp_id,
};

struct ns_common {
	unsigned int inum;
} CORE;

struct pid_namespace {
	struct ns_common ns;
} CORE;

struct upid {
	int nr;
	struct pid_namespace *ns;
} CORE;

struct pid {
	unsigned int level;
	struct upid numbers[1];
} CORE;

struct task_struct {
	struct mm_struct *mm;
	struct css_set *cgroups;
	struct pid *thread_pid;
	void *stack;
	unsigned int flags;
	int pid;
	int tgid;
	u64 start_boottime;
	u64 self_exec_id;
	char comm[COMM_BYTES];
	struct task_struct *group_leader;
	struct signal_struct *signal;
	struct thread_struct thread;
} CORE;

struct linux_binprm {
	const char *filename;
} CORE;

#if defined(__TARGET_ARCH_arm64)

struct user_pt_regs {
	u64 regs[31];
	u64 sp;
	u64 pc;
	u64 pstate;
};

struct pt_regs {
	struct user_pt_regs user_regs;
} CORE;

struct sample_context {
	struct user_pt_regs regs;
	u64 sample_period;
	u64 addr;
};

#else

/* The layout of x86-64 is part of its user-space ABI (ptrace, perf); no relocation is needed. */
struct pt_regs {
	u64 r15, r14, r13, r12, bp, bx, r11, r10, r9, r8;
	u64 ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};

struct sample_context {
	struct pt_regs regs;
	u64 sample_period;
	u64 addr;
};

#endif

#endif
