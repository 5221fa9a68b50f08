/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * Whether a process is sampled: one look-up per sample, whatever the rules are.
 *
 * A verdict is kept per process. It is dropped when the process ends and overwritten when its number is
 * given to another one, both from the tracepoints of this very object, so the number alone is enough.
 */
#ifndef HEARTH_FILTER_H
#define HEARTH_FILTER_H

#include "vma.h"

/* How far up the tree of cgroups a rule is looked for. */
#define FILTER_CGROUP_LEVELS_MAX 8

INLINE struct kernfs_node *kernfs_parent(struct kernfs_node *node)
{
	if (bpf_core_field_exists(struct kernfs_node___rcu, __parent)) {
		struct kernfs_node___rcu *rcu = (void *)node;

		return BPF_CORE_READ(rcu, __parent);
	} else {
		struct kernfs_node___plain *plain = (void *)node;

		return BPF_CORE_READ(plain, parent);
	}
}

/**
 * cgroup_v2_node - The directory of @task's cgroup in the v2 hierarchy.
 */
INLINE struct kernfs_node *cgroup_v2_node(struct task_struct *task)
{
	return BPF_CORE_READ(task, cgroups, dfl_cgrp, kn);
}

/* Which of the kernel's controllers has number @id is up to how it was built. */
#define CONTROLLER_NODE(set, id)                                                                        \
	if (!node && bpf_core_enum_value_exists(enum cgroup_subsys_id, id)) {                           \
		u32 index = bpf_core_enum_value(enum cgroup_subsys_id, id);                             \
		struct cgroup_subsys_state *state = NULL;                                               \
                                                                                                        \
		bpf_probe_read_kernel(&state, sizeof(state), (void *)(set) + subsys + index * 8);       \
		group = BPF_CORE_READ(state, cgroup);                                                   \
		if (group && BPF_CORE_READ(group, root) != v2)                                          \
			node = BPF_CORE_READ(group, kn);                                                \
	}

/**
 * cgroup_v1_node - The directory of @task's cgroup in a v1 hierarchy: of pids, cpu or memory.
 *
 * Return: NULL if all of these are in the v2 hierarchy.
 */
INLINE struct kernfs_node *cgroup_v1_node(struct task_struct *task)
{
	struct css_set *set = BPF_CORE_READ(task, cgroups);
	void *v2 = BPF_CORE_READ(set, dfl_cgrp, root);
	u32 subsys = bpf_core_field_offset(struct css_set, subsys);
	struct kernfs_node *node = NULL;
	struct cgroup *group;

	CONTROLLER_NODE(set, pids_cgrp_id);
	CONTROLLER_NODE(set, cpu_cgrp_id);
	CONTROLLER_NODE(set, memory_cgrp_id);
	return node;
}

/**
 * pid_namespace - The inode of the PID namespace @task is in.
 */
INLINE u32 pid_namespace(struct task_struct *task)
{
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	u32 level = BPF_CORE_READ(pid, level);
	struct upid *numbers = (void *)pid + bpf_core_field_offset(struct pid, numbers);
	struct pid_namespace *space = NULL;

	bpf_probe_read_kernel(&space, sizeof(space),
			      (void *)numbers + level * bpf_core_type_size(struct upid) +
				      bpf_core_field_offset(struct upid, ns));
	return BPF_CORE_READ(space, ns.inum);
}

INLINE u32 rule_find(const struct filter_rule *rule)
{
	u32 *verdict = bpf_map_lookup_elem(&filter_rules, rule);

	return verdict ? *verdict : VERDICT_NONE;
}

/**
 * cgroup_verdict - What the rules say of a cgroup and those it lies in.
 *
 * A global function, so that the verifier looks at it once.
 */
__attribute__((noinline)) int cgroup_verdict(u32 kind)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct kernfs_node *node = kind == FILTER_CGROUP ? cgroup_v2_node(task) : cgroup_v1_node(task);
	struct filter_rule rule = {.kind = kind};
	int result = VERDICT_NONE;

	for (u32 level = 0; level < FILTER_CGROUP_LEVELS_MAX && node; level++) {
		u32 verdict;

		rule.file.inode = BPF_CORE_READ(node, id);
		verdict = rule_find(&rule);
		if (verdict == VERDICT_EXCLUDE)
			return VERDICT_EXCLUDE;
		if (verdict == VERDICT_INCLUDE)
			result = VERDICT_INCLUDE;
		node = kernfs_parent(node);
	}
	return result;
}

/**
 * verdict_find - What the rules say of the current process.
 */
__attribute__((noinline)) int verdict_find(u32 fallback)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct inode *executable = BPF_CORE_READ(task, mm, exe_file, f_inode);
	struct filter_rule rule = {.kind = FILTER_PID_NAMESPACE};
	u32 group = cgroup_verdict(FILTER_CGROUP);
	u32 group_v1 = cgroup_verdict(FILTER_CGROUP_V1);
	u32 space, program = VERDICT_NONE;

	rule.file.inode = pid_namespace(task);
	space = rule_find(&rule);
	if (executable) {
		rule.kind = FILTER_EXECUTABLE;
		file_key_read(&rule.file, executable);
		program = rule_find(&rule);
	}
	if (group == VERDICT_EXCLUDE || group_v1 == VERDICT_EXCLUDE || space == VERDICT_EXCLUDE ||
	    program == VERDICT_EXCLUDE)
		return VERDICT_EXCLUDE;
	if (group == VERDICT_INCLUDE || group_v1 == VERDICT_INCLUDE || space == VERDICT_INCLUDE ||
	    program == VERDICT_INCLUDE)
		return VERDICT_INCLUDE;
	return fallback;
}

INLINE u32 rules_generation(void)
{
	u32 zero = 0;
	u32 *generation = bpf_map_lookup_elem(&filter_generation, &zero);

	return generation ? *generation : 0;
}

/**
 * is_wanted - Whether the current process, @tgid, is to be sampled.
 */
INLINE bool is_wanted(u32 tgid)
{
	struct process_verdict *known, fresh = {};
	struct task_struct *task;

	if (filter_default == VERDICT_NONE)
		return true;
	known = bpf_map_lookup_elem(&verdicts, &tgid);
	if (known && (known->verdict == VERDICT_TARGET || known->generation == rules_generation()))
		return known->verdict != VERDICT_EXCLUDE;
	task = (void *)bpf_get_current_task();
	fresh.start_ns = BPF_CORE_READ(task, group_leader, start_boottime);
	fresh.verdict = verdict_find(filter_default);
	fresh.generation = rules_generation();
	/* A process whose end was already noted must not leave a verdict behind. */
	if (!(BPF_CORE_READ(task, flags) & PF_EXITING) &&
	    bpf_map_update_elem(&verdicts, &tgid, &fresh, BPF_ANY))
		count(COUNT_VERDICTS_FULL, 1);
	return fresh.verdict != VERDICT_EXCLUDE;
}

/**
 * verdict_inherit - Give a process that was just forked the verdict on its parent.
 *
 * Return: whether it is to be sampled.
 */
INLINE bool verdict_inherit(u32 parent, u32 tgid, u64 start_ns)
{
	struct process_verdict *known, copy;

	if (filter_default == VERDICT_NONE)
		return true;
	known = bpf_map_lookup_elem(&verdicts, &parent);
	if (!known) {
		bpf_map_delete_elem(&verdicts, &tgid);
		return is_wanted(parent);
	}
	copy.start_ns = start_ns;
	copy.verdict = known->verdict;
	copy.generation = known->generation;
	if (bpf_map_update_elem(&verdicts, &tgid, &copy, BPF_ANY))
		count(COUNT_VERDICTS_FULL, 1);
	return copy.verdict != VERDICT_EXCLUDE;
}

/**
 * verdict_forget - The process ended, or executes another program.
 */
INLINE void verdict_forget(u32 tgid, bool ended)
{
	struct process_verdict *known;

	if (filter_default == VERDICT_NONE)
		return;
	known = bpf_map_lookup_elem(&verdicts, &tgid);
	if (known && (ended || known->verdict != VERDICT_TARGET))
		bpf_map_delete_elem(&verdicts, &tgid);
}

#endif
