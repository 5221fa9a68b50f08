/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * One step of a stack walk by frame pointers: registers of a frame -> registers of its caller.
 *
 * Pure but for reading the sampled process' memory, so it is also compiled for the host
 * (-DHOST_TEST), where `cargo test -p hearth-unwind` compares it with the reference walker.
 */
#ifndef HEARTH_WALK_H
#define HEARTH_WALK_H

#include "record.h"

#if defined(HOST_TEST)
long read_user(void *to, u32 bytes, u64 from);
#else
#define read_user(to, bytes, from) bpf_probe_read_user((to), (bytes), (const void *)(from))
#endif

/* A step's result which is no stop reason: there is a caller. */
#define WALK_ON (-1)

/*
 * How far below its stack's top a chain of frame pointers may end and still count as complete: what
 * lies between is the start code of the C library, which keeps no frame pointer. In a thread the
 * stack's top is the thread's control block, with its thread-local variables below.
 */
#define START_BYTES_MAIN 512
#define START_BYTES_THREAD 4096

/* Functions without a frame are small; a word that looks like their return address is rarely one beyond. */
#define FRAMELESS_BYTES_MAX 4096

/* User addresses have at most 48 bits on arm64 here; above them lies a pointer's signature (PAC). */
#define ARM64_ADDRESS_MASK ((1ull << 48) - 1)

/*
 * DWARF's numbers of the stack pointer and the frame pointer, how many registers there are (a power of
 * two), and as a mask those which are known in a frame that was interrupted.
 */
#if defined(__TARGET_ARCH_arm64)
#define REGISTER_SP 31
#define REGISTER_FP 29
#define REGISTERS 32
#define REGISTERS_KNOWN 0x7fffffffu
#else
#define REGISTER_SP 7
#define REGISTER_FP 6
#define REGISTERS 16
#define REGISTERS_KNOWN 0xff3fu
#define REGISTER_BX 3
/* In the place of the stack pointer's bit: rbx is in the word whose address is @other[REGISTER_BX]. */
#define KNOWN_BX_AT (1u << REGISTER_SP)
#endif

/* A frame pointer whose value was lost: no address of a word, so that nothing is read through it. */
#define FP_UNKNOWN 1

/**
 * struct registers - What is needed to find the caller of a frame.
 * @ip:          Instruction pointer; in callers the return address.
 * @sp:          Lower bound of what may be read next: the stack pointer, then the end of the frame.
 * @fp:          Frame pointer.
 * @lr:          Link register (arm64); means something only where @leaf is set.
 * @stack_top:   Top of the thread's stack, or 0 if unknown.
 * @start_bytes: START_BYTES_MAIN or START_BYTES_THREAD.
 * @leaf:        The frame was interrupted, so @ip is the instruction itself.
 * @known:       Bit n says that @other[n] is known; REGISTERS_KNOWN where a walk begins.
 * @reserved:    0.
 * @other:       The registers by DWARF's numbers: x86-64 rax, rdx, rcx, rbx, rsi, rdi, -, -, r8 to r15;
 *               arm64 x0 to x30. Needed at a leaf, where code may address its frame by any of them.
 */
struct registers {
	u64 ip;
	u64 sp;
	u64 fp;
	u64 lr;
	u64 stack_top;
	u32 start_bytes;
	u32 leaf;
	u32 known;
	u32 reserved;
	u64 other[REGISTERS];
};

/**
 * chain_end - Why a chain that cannot be followed further ends.
 * @reason: What is wrong with the next link.
 *
 * Return: STOP_START where only start code can be missing, else @reason.
 */
INLINE int chain_end(const struct registers *regs, int reason)
{
	if (regs->sp <= regs->stack_top && regs->stack_top - regs->sp <= regs->start_bytes)
		return STOP_START;
	return reason;
}

/**
 * return_address_slot - Where the return address is if the leaf has no frame of its own now.
 *
 * Between a function's entry and its `mov %rsp,%rbp`, and from its `pop %rbp` to its `ret`, the
 * frame pointer is still the caller's: following it would skip the caller. The same holds in the
 * system call stubs of the C library. Each case is known from the instructions at @regs->ip alone,
 * which are an instruction boundary because the CPU was stopped there.
 *
 * Return: the address of the return address, or 0 if the leaf may have a frame.
 */
INLINE u64 return_address_slot(const struct registers *regs)
{
#if !defined(__TARGET_ARCH_arm64)
	struct {
		u8 previous;
		u8 at[9];
	} code;
	u64 word;

	if (read_user(&code, sizeof(code), regs->ip - 1))
		return 0;
	word = (u64)code.at[0] | (u64)code.at[1] << 8 | (u64)code.at[2] << 16 | (u64)code.at[3] << 24 |
	       (u64)code.at[4] << 32 | (u64)code.at[5] << 40 | (u64)code.at[6] << 48 |
	       (u64)code.at[7] << 56;
	/* ret; rep ret */
	if (code.at[0] == 0xc3 || (word & 0xffff) == 0xc3f3)
		return regs->sp;
	/* push %rbp; mov %rsp,%rbp, perhaps after endbr64 */
	if ((word & 0xffffffff) == 0xe5894855 || word == 0xe5894855fa1e0ff3)
		return regs->sp;
	/* mov %rsp,%rbp after push %rbp */
	if ((word & 0xffffff) == 0xe58948 && code.previous == 0x55)
		return regs->sp + 8;
	/* syscall; here: cmp $-4096,%rax; ja error; ret */
	if ((word & 0x00ffffffffffffff) == 0x77fffff0003d48 && code.at[8] == 0xc3)
		return regs->sp;
#endif
	return 0;
}

/**
 * call_target - The function which the direct call before @return_address calls.
 *
 * Return: its address, or 0 if there is no direct call.
 */
INLINE u64 call_target(u64 return_address)
{
#if !defined(__TARGET_ARCH_arm64)
	u8 code[5];
	u32 distance;

	if (!return_address || read_user(code, sizeof(code), return_address - 5) || code[0] != 0xe8)
		return 0;
	distance = (u32)code[1] | (u32)code[2] << 8 | (u32)code[3] << 16 | (u32)code[4] << 24;
	return return_address + (u64)(s64)(s32)distance;
#else
	return 0;
#endif
}

/**
 * is_frameless - Whether the leaf is a function that never sets up a frame.
 *
 * Compilers leave out the frame of functions that call nothing, even when told to keep frame pointers;
 * the frame pointer is then the caller's for the whole function, and following it would skip the caller.
 * Two words may be the return address: the one at the stack pointer, and the one in the frame. The right
 * one follows a call of the function that @regs->ip is in, whose start is the closest below it.
 */
INLINE int is_frameless(const struct registers *regs)
{
	u64 word, at_sp, in_frame;

	if (regs->fp < regs->sp || read_user(&word, sizeof(word), regs->sp))
		return 0;
	at_sp = call_target(word);
	if (!at_sp || at_sp > regs->ip || regs->ip - at_sp >= FRAMELESS_BYTES_MAX)
		return 0;
	if (read_user(&word, sizeof(word), regs->fp + 8))
		return 0;
	in_frame = call_target(word);
	return in_frame && (in_frame > regs->ip || in_frame < at_sp);
}

/**
 * leaf_step - Go from a leaf without a frame of its own to its caller.
 *
 * Return: 1 if @regs are now the caller's, 0 if they did not change.
 */
INLINE int leaf_step(struct registers *regs)
{
	u64 slot = return_address_slot(regs);
	u64 ip;

	if (!slot && is_frameless(regs))
		slot = regs->sp;
	if (!slot || read_user(&ip, sizeof(ip), slot) || !ip)
		return 0;
	regs->ip = ip;
	regs->sp = slot + 8;
	regs->leaf = 0;
	regs->known = 0;
	return 1;
}

/**
 * frame_pointer_step - Go from a frame to its caller by the frame pointer.
 *
 * A frame pointer points at the caller's frame pointer, with the return address above it. Stacks
 * grow down, so each link must lie above the frame it belongs to; hence no walk can loop.
 *
 * Return: WALK_ON if @regs are now the caller's, else a stop reason.
 */
INLINE int frame_pointer_step(struct registers *regs)
{
	u64 link[2];

	if (!regs->fp)
		return STOP_ROOT;
	if (regs->fp < regs->sp || (regs->fp & 7))
		return chain_end(regs, STOP_FRAME_POINTER);
	if (read_user(link, sizeof(link), regs->fp))
		return chain_end(regs, STOP_UNREADABLE);
#if defined(__TARGET_ARCH_arm64)
	link[1] &= ARM64_ADDRESS_MASK;
#endif
	if (!link[1])
		return STOP_ROOT;
	regs->sp = regs->fp + 16;
	regs->fp = link[0];
	regs->ip = link[1];
	regs->leaf = 0;
	regs->known = 0;
	return WALK_ON;
}

/**
 * walk_step - Go from a frame to its caller.
 *
 * Return: WALK_ON if @regs are now the caller's, else a stop reason.
 */
INLINE int walk_step(struct registers *regs)
{
	if (regs->leaf && leaf_step(regs))
		return WALK_ON;
	return frame_pointer_step(regs);
}

#endif
