/*
 * Swaps two libraries at one address, every way there is, while other threads look at it or run in it.
 *
 *   swap lookups PROGRAM FIRST SECOND COUNT    looks up COUNT times by PROGRAM, a pinned BPF program
 *   swap samples FIRST SECOND                  runs in what is there, for ever, for a profiler to watch
 *
 * In both, further threads and a further process map and unmap memory all the time, so that the kernel's
 * trees are in motion and its structures are freed and used again. In `samples` the file cannot change
 * while a thread runs in it, and which one it is shows in the caller: hearth_expect_first or _second.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <signal.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))
#define PAGE 4096ul
#define PAGES 6
#define ROUNDS_PER_RUN 256
#define CHURN_BASE 0x200000000000ul
#define CHURN_SLOTS 64
#define CHURN_PAGES 8

typedef uint64_t function(uint64_t);

/* A library: its file, the offset of the code in it, and its function in the mapping of the code. */
struct library {
	int file;
	uint64_t offset;
	uint64_t function;
};

static struct library libraries[2];
static char *region; /* where they are swapped */
static volatile uint64_t epoch __attribute__((aligned(64)));
static volatile uint64_t sink;
static unsigned churn_pause_us; /* to leave the CPUs to those who are sampled */
static pthread_rwlock_t stays = PTHREAD_RWLOCK_INITIALIZER;

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static struct library library(const char *path)
{
	struct library found = { .file = open(path, O_RDONLY | O_CLOEXEC) };
	Elf64_Phdr segment;
	Elf64_Ehdr header;

	if (found.file < 0 || pread(found.file, &header, sizeof(header), 0) != sizeof(header))
		fail(path);
	for (int i = 0; i < header.e_phnum; i++) {
		if (pread(found.file, &segment, sizeof(segment), header.e_phoff + i * sizeof(segment)) != sizeof(segment))
			fail(path);
		if (segment.p_type == PT_LOAD && header.e_entry - segment.p_vaddr < segment.p_filesz) {
			uint64_t at = segment.p_offset + (header.e_entry - segment.p_vaddr);

			/* Two pages before the function's, so that each mapping holds it at the same place. */
			found.offset = (at & ~(PAGE - 1)) - 2 * PAGE;
			found.function = at - found.offset;
			return found;
		}
	}
	fail("no code in the library");
	return found;
}

static void *map(const struct library *library, void *at)
{
	int flags = MAP_PRIVATE | (at ? MAP_FIXED : 0);
	void *memory = mmap(at, PAGES * PAGE, PROT_READ | PROT_EXEC, flags, library->file, library->offset);

	if (memory == MAP_FAILED)
		fail("mmap");
	return memory;
}

/* Puts a library at the region, each time by the next of four ways. */
static void put(const struct library *library, uint64_t way)
{
	void *elsewhere;

	switch (way % 4) {
	case 0: /* one call replaces the other */
		map(library, region);
		break;
	case 1: /* for a moment there is nothing */
		if (munmap(region, PAGES * PAGE))
			fail("munmap");
		map(library, region);
		break;
	case 2: /* it comes from another address */
		elsewhere = map(library, NULL);
		if (mremap(elsewhere, PAGES * PAGE, PAGES * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, region) != region)
			fail("mremap");
		break;
	case 3: /* in pieces */
		map(library, region);
		if (mprotect(region, PAGE, PROT_READ) || mprotect(region + 3 * PAGE, PAGE, PROT_NONE))
			fail("mprotect");
		break;
	}
}

/* While the epoch is even, file epoch / 2 % 2 is there, and only that. */
static void swap(void)
{
	uint64_t next = epoch / 2 + 1;

	epoch++;
	__sync_synchronize();
	put(&libraries[next % 2], next / 2 * 7 + next / 64);
	__sync_synchronize();
	epoch++;
}

/* Splits and joins the mapping without moving its code: no change of epoch. */
static void split(uint64_t way)
{
	char *page = region + (3 + way % 3) * PAGE;

	mprotect(page, PAGE, PROT_READ);
	mprotect(page, PAGE, PROT_READ | PROT_EXEC);
}

static void *swap_for_ever(void *pause)
{
	for (uint64_t way = 0;; way++) {
		if (pause)
			pthread_rwlock_wrlock(&stays);
		swap();
		if (pause)
			pthread_rwlock_unlock(&stays);
		for (uint64_t i = 0; i < way % 4; i++)
			split(way + i);
		if (pause)
			usleep(50);
	}
	return NULL;
}

/*
 * Memory comes and goes, in sizes that split and join mappings; each caller has addresses of its own, for
 * when the region is empty, it must stay so.
 */
static void *churn(void *number)
{
	uint64_t state = (uint64_t)number * 2654435761u + 1;
	char *base = (char *)CHURN_BASE + (uint64_t)number * CHURN_SLOTS * CHURN_PAGES * PAGE;

	for (;;) {
		state ^= state << 13, state ^= state >> 7, state ^= state << 17;
		char *slot = base + state % CHURN_SLOTS * CHURN_PAGES * PAGE;
		size_t size = (1 + state / 4096 % CHURN_PAGES) * PAGE;
		int protection = state & 256 ? PROT_READ : PROT_READ | PROT_WRITE;
		int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;

		munmap(slot, CHURN_PAGES * PAGE);
		if (mmap(slot, size, protection, flags, -1, 0) == MAP_FAILED)
			fail("mmap");
		if (state & 512 && size > 2 * PAGE)
			mprotect(slot + PAGE, PAGE, PROT_NONE);
		if (churn_pause_us)
			usleep(churn_pause_us);
	}
	return NULL;
}

static void start(void *(*run)(void *), void *argument)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, run, argument))
		fail("pthread_create");
}

/* Another process takes and gives back the same kernel structures; it ends with this one. */
static void churn_elsewhere(void)
{
	pid_t child = fork();

	if (child < 0)
		fail("fork");
	if (child)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	churn((void *)77);
}

static int run(int program, uint64_t mode)
{
	uint64_t arguments[12] = { (uint64_t)&epoch, (uint64_t)region + libraries[0].function, mode };
	union bpf_attr attributes = {
		.test = {
			.prog_fd = program,
			.ctx_in = (uint64_t)arguments,
			.ctx_size_in = sizeof(arguments),
		},
	};

	if (syscall(SYS_bpf, BPF_PROG_TEST_RUN, &attributes, sizeof(attributes)))
		fail("BPF_PROG_TEST_RUN");
	return attributes.test.retval;
}

static int lookups(const char *pinned, uint64_t count)
{
	union bpf_attr attributes = { .pathname = (uint64_t)pinned };
	int program = syscall(SYS_bpf, BPF_OBJ_GET, &attributes, sizeof(attributes));
	cpu_set_t first;

	if (program < 0)
		fail(pinned);
	if (libraries[0].function != libraries[1].function)
		fail("the libraries do not lie alike");
	for (uint64_t mode = 0; mode < 2; mode++) {
		epoch = 0; /* it must be in memory: BPF programs cause no page faults */
		map(&libraries[mode], region);
		sink += *(volatile char *)(region + libraries[0].function);
		if (run(program, mode))
			fail("learning the libraries");
	}
	epoch = 2;
	churn_elsewhere();
	start(swap_for_ever, NULL);
	start(churn, (void *)1);
	start(churn, (void *)2);
	/* The program's working memory is this CPU's alone. */
	CPU_ZERO(&first);
	CPU_SET(0, &first);
	sched_setaffinity(0, sizeof(first), &first);
	for (uint64_t done = 0; done < count; done += ROUNDS_PER_RUN)
		if (run(program, 2))
			fail("the program could not look up");
	printf("%llu swaps\n", (unsigned long long)epoch / 2);
	return 0;
}

NOINLINE uint64_t hearth_expect_first(function *call)
{
	return call(20000) + 1;
}

NOINLINE uint64_t hearth_expect_second(function *call)
{
	return call(20000) + 1;
}

NOINLINE void *hearth_runner(void *unused)
{
	(void)unused;
	for (;;) {
		pthread_rwlock_rdlock(&stays);
		uint64_t now = epoch / 2 % 2;
		function *call = (function *)(region + libraries[now].function);

		sink += now ? hearth_expect_second(call) : hearth_expect_first(call);
		pthread_rwlock_unlock(&stays);
	}
	return NULL;
}

static int samples(void)
{
	pthread_rwlockattr_t fair;

	pthread_rwlockattr_init(&fair);
	pthread_rwlockattr_setkind_np(&fair, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&stays, &fair);
	map(&libraries[0], region);
	churn_pause_us = 20;
	churn_elsewhere();
	start(hearth_runner, NULL);
	start(hearth_runner, NULL);
	start(churn, (void *)1);
	swap_for_ever(region);
	return 0;
}

int main(int argc, char **argv)
{
	int mode = argc > 3 && !strcmp(argv[1], "samples");

	if (!mode && (argc < 6 || strcmp(argv[1], "lookups"))) {
		fprintf(stderr, "usage: swap lookups PROGRAM FIRST SECOND COUNT | swap samples FIRST SECOND\n");
		return 2;
	}
	libraries[0] = library(argv[3 - mode]);
	libraries[1] = library(argv[4 - mode]);
	/* Room before and after, so that neighbours cannot join it. */
	region = mmap(NULL, (PAGES + 2) * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (region == MAP_FAILED)
		fail("mmap");
	region += PAGE;
	return mode ? samples() : lookups(argv[2], strtoull(argv[5], NULL, 10));
}
