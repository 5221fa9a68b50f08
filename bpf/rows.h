/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * Unwind rows: file offset of an instruction -> rule -> registers of the caller.
 *
 * `crates/unwind` writes the tables (src/pages.rs describes the format) and holds the reference
 * implementation; its tests compile this file for the host and compare. The includer defines
 * page_get(). All loops are bounded, every index is masked, and searches have no branches, so that
 * the verifier sees one path.
 */
#ifndef HEARTH_ROWS_H
#define HEARTH_ROWS_H

#include "walk.h"

#define PAGE_BYTES 4096

/**
 * struct unwind_page - A page of a file's table, seen in three ways.
 *
 * The first word of every page is the stamp of the table it belongs to.
 */
struct unwind_page {
	union {
		u8 u8[PAGE_BYTES];
		u16 u16[PAGE_BYTES / 2];
		u32 u32[PAGE_BYTES / 4];
	};
};

/**
 * page_get - The page with this id, or NULL. Defined by the includer.
 */
static inline const struct unwind_page *page_get(u32 id);

/* A result of rule_apply() which is no stop reason: there is no row, so only the frame pointer can help. */
#define RULE_NONE (-2)

/* What is done to find the caller (struct rule, kind). */
enum rule_kind {
	RULE_KIND_NONE = 0,	   /* no row covers this: go on by frame pointer */
	RULE_KIND_ROOT = 1,	   /* there is no caller */
	RULE_KIND_UNSUPPORTED = 2, /* there is one, by a rule that is not understood */
	RULE_KIND_SIGNAL = 3,	   /* the kernel's signal frame is at the stack pointer */
	RULE_KIND_PLT = 4,	   /* CFA = sp + 8, + 8 from byte @reg of 16 on */
	RULE_KIND_CFA = 5,	   /* CFA = register @reg + @cfa */
	RULE_KIND_CFA_AT = 6,	   /* CFA = word at (register @reg + @cfa) + @add */
	RULE_KIND_CFA_ARRAY = 7,   /* CFA = word at (register @reg + @cfa + 8 * register @index) + @add */
};

/* Where the caller's value of a register is (struct rule, fp and ra). */
enum rule_saved {
	SAVED_SAME = 0,	    /* not touched; for the return address: in the link register */
	SAVED_AT_CFA = 1,   /* word at CFA + offset */
	SAVED_IS_CFA = 2,   /* CFA + offset itself */
	SAVED_AT_FP = 3,    /* word at frame pointer + offset */
	SAVED_AT_SP = 4,    /* word at stack pointer + offset */
	SAVED_REGISTER = 5, /* in the register whose number is the offset */
	SAVED_UNKNOWN = 6,  /* lost */
};

/**
 * struct rule - How to find the caller's registers. Also the form of a rule in a page.
 * @kind:  enum rule_kind.
 * @reg:   A register by DWARF's number, or the byte within an entry for RULE_KIND_PLT.
 * @fp:    enum rule_saved, for the frame pointer.
 * @ra:    enum rule_saved, for the return address.
 * @index: Another register, for RULE_KIND_CFA_ARRAY.
 * @bx_at: x86-64: where rbx was saved, from the CFA; 0 if it was not, BX_UNKNOWN if it is lost.
 * @cfa:   Offset of the CFA.
 * @add:   What is added after the word was read, for RULE_KIND_CFA_AT and RULE_KIND_CFA_ARRAY.
 * @fp_at: Offset for @fp.
 * @ra_at: Offset for @ra.
 */
struct rule {
	u8 kind;
	u8 reg;
	u8 fp;
	u8 ra;
	u16 index;
	s16 bx_at;
	s32 cfa;
	s32 add;
	s32 fp_at;
	s32 ra_at;
};

_Static_assert(sizeof(struct unwind_page) == PAGE_BYTES, "unwind_page");
_Static_assert(sizeof(struct rule) == 24, "rule");

#define BX_UNKNOWN 1

/* Words of a root page; see crates/unwind/src/pages.rs. */
#define ROOT_SHAPE 1	  /* levels | delta bits << 8 | keys << 16 */
#define ROOT_PLACES 2	  /* word of the keys | word of the dictionary's page ids << 16 */
#define ROOT_DICTIONARY 3 /* word of entry 0 | number of dictionary pages after the root << 16 */
#define ROOT_LEAF 4	  /* word of the leaf if there are no levels */
#define LEAF_WORD 1	  /* word of the leaf in its own page */
#define INNER_KEYS 1	  /* word with the number of keys in an inner page; they follow */

#define LEAF_ROWS_STEPS 11
#define KEYS_STEPS 9
#define PATTERN_STEPS_MAX 8

#define WORDS_MASK (PAGE_BYTES / 4 - 1)
#define HALVES_MASK (PAGE_BYTES / 2 - 1)
#define BYTES_MASK (PAGE_BYTES - 1)

/**
 * below - All ones if @a < @b, else 0; both are below 2^63.
 *
 * The compiler must not see through it, or it would branch on it.
 */
INLINE u64 below(u64 a, u64 b)
{
	u64 difference = a - b;

	asm volatile("" : "+r"(difference));
	return (u64)((s64)difference >> 63);
}

/* Rules of 16 bits: below RULE_WIDE the common ones, above it the place of a wide one in the dictionary. */
#define RULE_WIDE 0x8000
#define RULE_WORD_MIN 8

/**
 * rule_compact - Decode a common rule.
 */
INLINE void rule_compact(u32 code, struct rule *rule)
{
#if defined(__TARGET_ARCH_arm64)
	u32 slot = code & 31;
	u32 size = code >> 5 & 511;

	rule->kind = RULE_KIND_CFA;
	rule->reg = code & 0x4000 ? REGISTER_FP : REGISTER_SP;
	rule->cfa = 16 * size;
	rule->fp = slot ? SAVED_AT_CFA : SAVED_SAME;
	rule->ra = rule->fp;
	rule->fp_at = slot == 0 ? 0 : slot == 1 ? -16 * (s32)size : -16 * (s32)(slot - 1);
	rule->ra_at = slot == 0 ? 0 : rule->fp_at + 8;
#else
	u32 bx = code & 7;
	u32 fp = code >> 3 & 7;

	rule->kind = RULE_KIND_CFA;
	rule->reg = code & 0x4000 ? REGISTER_FP : REGISTER_SP;
	rule->cfa = 8 * (code >> 6 & 255);
	rule->fp = fp ? SAVED_AT_CFA : SAVED_SAME;
	rule->fp_at = fp ? -8 * (s32)(fp + 1) : 0;
	rule->bx_at = bx ? -8 * (s32)(bx + 1) : 0;
	rule->ra = SAVED_AT_CFA;
	rule->ra_at = -8;
#endif
}

/**
 * keys_find - The last of @count sorted keys from word @at on that is not above @offset.
 *
 * The first key is never above it.
 */
INLINE u32 keys_find(const struct unwind_page *page, u32 at, u32 count, u32 offset)
{
	u32 found = 0;
	u32 step;

#pragma unroll
	for (step = 1 << (KEYS_STEPS - 1); step; step >>= 1) {
		u32 next = found + (step & (u32)below(found + step, count));

		found += (next - found) & (u32)below(page->u32[(at + next) & WORDS_MASK], (u64)offset + 1);
	}
	return found;
}

/**
 * leaf_find - The entry of the row that covers @offset, and how far into the row it is.
 * @word: Word of the leaf in @page.
 *
 * Return: entry << 32 | distance from the row's first byte; a distance of 2^31 is "far".
 */
INLINE u64 leaf_find(const struct unwind_page *page, u32 word, u32 delta_bits, u32 offset)
{
	u32 window = (offset >> delta_bits) - page->u32[word & WORDS_MASK];
	u32 counts = page->u32[(word + 1) & WORDS_MASK];
	u32 places = page->u32[(word + 2) & WORDS_MASK];
	u32 windows = counts & 0xffff;
	u32 delta = offset & ((1u << delta_bits) - 1);
	u32 low_bits = 16 - delta_bits;
	u32 low = page->u32[(word + 3) & WORDS_MASK];
	u32 rows = places & 0xffff;
	u32 first, end, found, step, half, near;
	u32 limit = (delta + 1) << low_bits;

	near = (u32)below(window, windows);
	window = (window & near) | (windows & ~near);
	first = page->u16[((places >> 16) + window) & HALVES_MASK];
	end = page->u16[((places >> 16) + window + 1) & HALVES_MASK];
	end = (end & near) | (first & ~near);
	/* The number of rows that begin at or below @offset is in first..end. */
	found = first;
#pragma unroll
	for (step = 1 << (LEAF_ROWS_STEPS - 1); step; step >>= 1) {
		u32 next = found + (step & (u32)below(found + step, end + 1));
		u32 key = page->u16[(rows + next - 1) & HALVES_MASK];

		found += (next - found) & (u32)below(key, limit);
	}
	near &= (u32)below(first, found);
	found -= 1;
	half = page->u16[(rows + found) & HALVES_MASK];
	return (u64)(page->u8[(low + found) & BYTES_MASK] | (half & ((1u << low_bits) - 1)) << 8) << 32 |
	       (((delta - (half >> low_bits)) & near) | (1u << 31 & ~near));
}

/**
 * dictionary_page - The page which holds word @at of the dictionary.
 *
 * The dictionary's first page is the root.
 */
INLINE const struct unwind_page *dictionary_page(const struct unwind_page *root, u32 at)
{
	u32 places = root->u32[ROOT_PLACES];
	u32 pages = root->u32[ROOT_DICTIONARY] >> 16;
	u32 number = at / (PAGE_BYTES / 4);

	if (number == 0)
		return root;
	if (number > pages)
		return 0;
	return page_get(root->u32[((places >> 16) + number - 1) & WORDS_MASK]);
}

/**
 * pattern_find - The rule, of 16 bits, of a pattern's step @distance bytes into it.
 * @last: The rule behind its steps.
 */
INLINE u32 pattern_find(const struct unwind_page *page, u32 at, u32 distance, u32 last)
{
	u32 count = page->u32[at & WORDS_MASK];
	u32 number = 0;
	u32 i, inside;

#pragma unroll
	for (i = 1; i <= PATTERN_STEPS_MAX; i++) {
		u32 end = page->u32[(at + i) & WORDS_MASK] & 0xffff;

		number += 1 & (u32)below(i, count + 1) & (u32)below(end, distance + 1);
	}
	inside = (u32)below(number, count);
	return ((page->u32[(at + number + 1) & WORDS_MASK] >> 16) & inside) | (last & ~inside);
}

/**
 * rule_decode - Turn a rule of 16 bits into one that can be applied.
 *
 * Return: WALK_ON, or STOP_EVICTED if the dictionary has no such rule.
 */
INLINE int rule_decode(const struct unwind_page *root, u32 code, struct rule *rule)
{
	u32 at = code & (RULE_WIDE - 1);
	const struct unwind_page *page;
	u32 head;

	if (!(code & RULE_WIDE)) {
		rule_compact(code, rule);
		return WALK_ON;
	}
	if (at < RULE_WORD_MIN) {
		rule->kind = at;
		return WALK_ON;
	}
	page = dictionary_page(root, at);
	if (!page)
		return STOP_EVICTED;
	head = page->u32[at & WORDS_MASK];
	rule->kind = head & 0xff;
	rule->reg = head >> 8 & 0xff;
	rule->fp = head >> 16 & 0xff;
	rule->ra = head >> 24;
	head = page->u32[(at + 1) & WORDS_MASK];
	rule->index = head & 0xffff;
	rule->bx_at = head >> 16;
	rule->cfa = page->u32[(at + 2) & WORDS_MASK];
	rule->add = page->u32[(at + 3) & WORDS_MASK];
	rule->fp_at = page->u32[(at + 4) & WORDS_MASK];
	rule->ra_at = page->u32[(at + 5) & WORDS_MASK];
	return WALK_ON;
}

/**
 * rows_find - The rule for the instruction at @offset of a file.
 * @root:   Id of the table's root page.
 * @stamp:  The table's stamp; pages of a table that was evicted bear another.
 * @offset: File offset of the instruction; of a caller, of the last byte of its call.
 * @rule:   Filled in; RULE_KIND_NONE where no row covers @offset.
 *
 * Return: WALK_ON, or STOP_EVICTED.
 */
INLINE int rows_find(u32 root, u32 stamp, u32 offset, struct rule *rule)
{
	const struct unwind_page *top = page_get(root);
	const struct unwind_page *page = top;
	const struct unwind_page *words;
	u32 shape, keys, keys_at, word, number, i, entry, at, code;
	u64 row;

	__builtin_memset(rule, 0, sizeof(*rule));
	if (!top)
		return STOP_EVICTED;
	shape = top->u32[ROOT_SHAPE];
	keys = shape >> 16;
	keys_at = top->u32[ROOT_PLACES] & 0xffff;
	word = top->u32[ROOT_LEAF];
	/* Key 0 is where the first row begins. */
	if (offset < top->u32[keys_at & WORDS_MASK])
		return top->u32[0] == stamp ? WALK_ON : STOP_EVICTED;
	for (i = 0; i < 2; i++) {
		if (i >= (shape & 0xff))
			break;
		number = keys_find(page, keys_at, keys, offset);
		page = page_get(page->u32[(keys_at + keys + number) & WORDS_MASK]);
		if (!page || page->u32[0] != stamp)
			return STOP_EVICTED;
		word = LEAF_WORD;
		keys = page->u32[INNER_KEYS];
		keys_at = INNER_KEYS + 1;
	}
	row = leaf_find(page, word, shape >> 8 & 15, offset);
	if (page->u32[0] != stamp)
		return STOP_EVICTED;
	entry = (top->u32[ROOT_DICTIONARY] & 0xffff) + (u32)(row >> 32);
	words = dictionary_page(top, entry);
	if (!words)
		return STOP_EVICTED;
	code = words->u32[entry & WORDS_MASK];
	at = code >> 16;
	code &= 0xffff;
	if (at) {
		words = dictionary_page(top, at);
		if (!words)
			return STOP_EVICTED;
		code = pattern_find(words, at, (u32)row, code);
	}
	if (words->u32[0] != stamp || rule_decode(top, code, rule) != WALK_ON || top->u32[0] != stamp)
		return STOP_EVICTED;
	return WALK_ON;
}

/**
 * register_find - The value of a register in this frame, by its number.
 *
 * Return: 0, or a stop reason.
 */
INLINE int register_find(const struct registers *regs, u32 number, u64 *value)
{
	if (number == REGISTER_SP) {
		*value = regs->sp;
		return 0;
	}
	if (number == REGISTER_FP && regs->fp != FP_UNKNOWN) {
		*value = regs->fp;
		return 0;
	}
	*value = regs->other[number & (REGISTERS - 1)];
#if !defined(__TARGET_ARCH_arm64)
	if (number == REGISTER_BX && (regs->known & KNOWN_BX_AT))
		return read_user(value, sizeof(*value), *value) ? STOP_UNREADABLE : 0;
#endif
	return regs->known >> (number & 31) & 1 ? 0 : STOP_REGISTER;
}

/**
 * others_keep - Note what a step leaves of the registers beside stack and frame pointer.
 *
 * Code which addresses its frame by a register relies on what it calls to leave it alone. Compilers do so
 * with rbx only, which is followed wherever it is saved; others are used by hand-written code across calls
 * of its own helpers, which do not touch them, so they are kept for one step.
 */
INLINE void others_keep(struct registers *regs, const struct rule *rule, u64 cfa)
{
#if defined(__TARGET_ARCH_arm64)
	regs->known = regs->leaf ? regs->known : 0;
#else
	u32 bx = KNOWN_BX_AT | 1u << REGISTER_BX;

	regs->known &= regs->leaf ? ~0u : bx;
	if (rule->bx_at == 0)
		return;
	regs->known &= ~bx;
	if (rule->bx_at == BX_UNKNOWN)
		return;
	/* The word is read only if a frame asks for it. */
	regs->other[REGISTER_BX] = cfa + (s64)rule->bx_at;
	regs->known |= KNOWN_BX_AT;
#endif
}

/**
 * saved_find - The caller's value of a register.
 * @saved: enum rule_saved.
 * @at:    Its offset.
 * @same:  The value if it is where it was.
 *
 * Return: 0, or a stop reason.
 */
INLINE int saved_find(const struct registers *regs, u32 saved, s32 at, u64 cfa, u64 same, u64 *value)
{
	u64 from = (saved == SAVED_AT_FP ? regs->fp : saved == SAVED_AT_SP ? regs->sp : cfa) + (s64)at;

	if (saved == SAVED_SAME) {
		*value = same;
		return 0;
	}
	if (saved == SAVED_IS_CFA) {
		*value = from;
		return 0;
	}
	if (saved == SAVED_REGISTER)
		return register_find(regs, at & 31, value);
	if (saved == SAVED_UNKNOWN)
		return STOP_REGISTER;
	return read_user(value, sizeof(*value), from) ? STOP_UNREADABLE : 0;
}

/**
 * signal_apply - Go from a signal handler's return code to what the signal interrupted.
 *
 * The kernel's frame is at the stack pointer; struct rt_sigframe of the architecture.
 */
INLINE int signal_apply(struct registers *regs)
{
#if defined(__TARGET_ARCH_arm64)
	u64 last[2];

	/* x0 to x30, sp, pc; not through the stack, of which there is too little. */
	if (read_user(regs->other, sizeof(u64) * 31, regs->sp + 312) ||
	    read_user(last, sizeof(last), regs->sp + 312 + sizeof(u64) * 31))
		return STOP_UNREADABLE;
	regs->fp = regs->other[29];
	regs->lr = regs->other[30];
	regs->sp = last[0];
	regs->ip = last[1];
	regs->known = 0x7fffffff;
#else
	/* r8-r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip */
	u64 saved[17];
	u32 i;

	if (read_user(saved, sizeof(saved), regs->sp + 40))
		return STOP_UNREADABLE;
#pragma unroll
	for (i = 0; i < 8; i++)
		regs->other[8 + i] = saved[i];
	regs->other[0] = saved[13];
	regs->other[1] = saved[12];
	regs->other[2] = saved[14];
	regs->other[3] = saved[11];
	regs->other[4] = saved[9];
	regs->other[5] = saved[8];
	regs->fp = saved[10];
	regs->sp = saved[15];
	regs->ip = saved[16];
	regs->known = REGISTERS_KNOWN;
#endif
	regs->leaf = 1;
	return regs->ip ? WALK_ON : STOP_ROOT;
}

/**
 * is_signal_return - Whether the next instructions are a signal handler's return code.
 *
 * C libraries other than glibc describe theirs by no row. The handler returns to its first byte.
 */
INLINE int is_signal_return(const struct registers *regs)
{
#if defined(__TARGET_ARCH_arm64)
	/* mov x8, #139; svc #0 */
	u32 code[2];

	return !read_user(code, sizeof(code), regs->ip) && code[0] == 0xd2801168 && code[1] == 0xd4000001;
#else
	/* mov $15,%rax (or %eax); syscall */
	u8 code[9];

	if (read_user(code, sizeof(code), regs->ip))
		return 0;
	if (code[0] == 0xb8)
		return code[1] == 15 && !code[2] && !code[3] && !code[4] && code[5] == 0x0f && code[6] == 0x05;
	return code[0] == 0x48 && code[1] == 0xc7 && code[2] == 0xc0 && code[3] == 15 && !code[4] && !code[5] &&
	       !code[6] && code[7] == 0x0f && code[8] == 0x05;
#endif
}

/**
 * rule_apply - Go from a frame to its caller by the rule of its instruction.
 *
 * Return: WALK_ON if @regs are now the caller's, RULE_NONE if the frame pointer has to be tried, else
 * a stop reason.
 */
INLINE int rule_apply(const struct rule *rule, struct registers *regs)
{
	u64 cfa, fp, ip;
	int stop;

	switch (rule->kind) {
	case RULE_KIND_NONE:
		return is_signal_return(regs) ? signal_apply(regs) : RULE_NONE;
	case RULE_KIND_ROOT:
		return STOP_ROOT;
	case RULE_KIND_SIGNAL:
		return signal_apply(regs);
	case RULE_KIND_PLT:
		cfa = regs->sp + 8 + ((regs->ip & 15) >= rule->reg ? 8 : 0);
		break;
	case RULE_KIND_CFA:
	case RULE_KIND_CFA_AT:
	case RULE_KIND_CFA_ARRAY:
		stop = register_find(regs, rule->reg, &cfa);
		if (stop)
			return stop;
		cfa += (s64)rule->cfa;
		if (rule->kind == RULE_KIND_CFA)
			break;
		if (rule->kind == RULE_KIND_CFA_ARRAY) {
			stop = register_find(regs, rule->index, &ip);
			if (stop)
				return stop;
			cfa += 8 * ip;
		}
		if (read_user(&cfa, sizeof(cfa), cfa))
			return STOP_UNREADABLE;
		cfa += (s64)rule->add;
		break;
	default:
		return STOP_NO_RULE;
	}
	/* Stacks grow down: a caller's frame lies above, hence no walk can loop. */
	if (cfa < regs->sp || (cfa == regs->sp && !regs->leaf))
		return STOP_BACKWARDS;
	if (rule->kind == RULE_KIND_PLT) {
		fp = regs->fp;
		stop = read_user(&ip, sizeof(ip), cfa - 8) ? STOP_UNREADABLE : 0;
	} else if (rule->ra == SAVED_SAME && !regs->leaf) {
		return STOP_REGISTER;
	} else {
		stop = saved_find(regs, rule->ra, rule->ra_at, cfa, regs->lr, &ip);
		if (!stop && rule->fp == SAVED_UNKNOWN)
			fp = FP_UNKNOWN;
		else if (!stop)
			stop = saved_find(regs, rule->fp, rule->fp_at, cfa, regs->fp, &fp);
	}
	if (stop)
		return stop;
#if defined(__TARGET_ARCH_arm64)
	ip &= ARM64_ADDRESS_MASK;
#endif
	regs->sp = cfa;
	regs->fp = fp;
	regs->ip = ip;
	others_keep(regs, rule, cfa);
	regs->leaf = 0;
	return ip ? WALK_ON : STOP_ROOT;
}

#endif
