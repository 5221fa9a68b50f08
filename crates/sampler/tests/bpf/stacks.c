/*
 * Stacks whose frames are known, walked from inside by a BPF program that is run on the calling thread.
 *
 * argv[1] and argv[2] are descriptors of the programs test_lookup and test_walk. Commands come on standard
 * input, one a line; each is answered by one line: "ok", or what went wrong.
 *
 *   lookup ADDRESS   run test_lookup
 *   walk NAME        build the stack of this name and run test_walk in its innermost function
 *   at ADDRESS       run test_walk as if ADDRESS had just been called
 */
#define _GNU_SOURCE
#include <alloca.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))

static int lookup_program, walk_program;
static volatile int status, sink;

/* The part of union bpf_attr that BPF_PROG_TEST_RUN looks at; musl-gcc finds no <linux/bpf.h>. */
struct test_run {
	uint32_t program, result, data_size_in, data_size_out;
	uint64_t data_in, data_out;
	uint32_t repeat, duration, ctx_size_in, ctx_size_out;
	uint64_t ctx_in, ctx_out;
	uint32_t flags, cpu;
};

#define BPF_PROG_TEST_RUN 10

static NOINLINE void run(int program, uint64_t *arguments)
{
	struct test_run test = {.program = program, .ctx_in = (uintptr_t)arguments, .ctx_size_in = 12 * 8};

	status = syscall(SYS_bpf, BPF_PROG_TEST_RUN, &test, sizeof(test)) ? -1 : (int)test.result;
}

/* The registers here and now, as a sampling interrupt would find them. */
#if defined(__x86_64__)
#define REGISTERS(into)                                                                                 \
	__asm__ volatile("lea 0(%%rip), %%rax\n mov %%rax, 0(%0)\n mov %%rsp, 8(%0)\n mov %%rbp, 16(%0)\n" \
			 "mov %%rbx, 24(%0)\n mov %%r12, 32(%0)\n mov %%r13, 40(%0)\n"                  \
			 "mov %%r14, 48(%0)\n mov %%r15, 56(%0)\n"                                      \
			 :                                                                              \
			 : "r"(into)                                                                    \
			 : "rax", "memory")
#else
#define REGISTERS(into)                                                                                 \
	__asm__ volatile("adr x9, .\n mov x10, sp\n stp x9, x10, [%0]\n stp x29, x30, [%0, #16]\n"       \
			 "stp x19, x20, [%0, #32]\n stp x21, x22, [%0, #48]\n stp x23, x24, [%0, #64]\n"  \
			 "str x25, [%0, #80]\n"                                                         \
			 :                                                                              \
			 : "r"(into)                                                                    \
			 : "x9", "x10", "memory")
#endif

NOINLINE void innermost(void)
{
	static uint64_t arguments[12];

	REGISTERS(arguments);
	run(walk_program, arguments);
	sink++;
}

NOINLINE void third(void) { innermost(); sink++; }
NOINLINE void second(void) { third(); sink++; }
NOINLINE void first(void) { second(); sink++; }

NOINLINE void recurse(int depth)
{
	if (depth > 1)
		recurse(depth - 1);
	else
		innermost();
	sink++;
}

NOINLINE void dynamic(int bytes)
{
	volatile char *room = alloca(bytes);

	room[0] = 1;
	innermost();
	sink += room[0];
}

NOINLINE void aligned(int value)
{
	volatile char room[64] __attribute__((aligned(64)));

	room[value & 63] = 1;
	innermost();
	sink += room[0];
}

int compare(const void *left, const void *right)
{
	static int walked;

	if (!walked++)
		innermost();
	return *(const int *)left - *(const int *)right;
}

NOINLINE void sort(void)
{
	int numbers[] = {4, 3, 2, 1};

	qsort(numbers, 4, sizeof(int), compare);
	sink += numbers[0];
}

void handler(int signal) { (void)signal; innermost(); sink++; }

NOINLINE void signalled(void)
{
	signal(SIGUSR1, handler);
	syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGUSR1);
	sink++;
}

void *thread(void *unused) { first(); sink++; return unused; }

NOINLINE void threaded(void)
{
	pthread_t id;

	pthread_create(&id, NULL, thread, NULL);
	pthread_join(id, NULL);
	sink++;
}

/*
 * Walks as if the function at @address had just been called from here: the return address lies below the
 * frame, and the program is run from further down.
 */
NOINLINE void entered(uint64_t address)
{
#if defined(__x86_64__)
	static uint64_t arguments[12];

	REGISTERS(arguments);
	arguments[0] = address;
	__asm__ volatile("lea 1f(%%rip), %%rax\n mov %%rsp, %%r12\n mov %%rax, -8(%%r12)\n"
			 "lea -8(%%r12), %%rax\n mov %%rax, 8(%[arguments])\n"
			 "lea -256(%%r12), %%rsp\n and $-16, %%rsp\n"
			 "mov %[arguments], %%rsi\n mov %[program], %%edi\n call *%[run]\n"
			 "mov %%r12, %%rsp\n 1:\n"
			 :
			 : [arguments] "b"(arguments), [program] "r"(walk_program), [run] "r"(run)
			 : "rax", "rcx", "rdx", "rdi", "rsi", "r8", "r9", "r10", "r11", "r12", "memory", "cc");
#else
	(void)address;
#endif
	sink++;
}

NOINLINE const char *command(char *line)
{
	uint64_t arguments[12] = {0};
	char *operand = strchr(line, ' ');

	if (!operand)
		return "no operand";
	*operand++ = 0;
	status = -2;
	if (!strcmp(line, "lookup")) {
		arguments[0] = strtoull(operand, NULL, 16);
		run(lookup_program, arguments);
	} else if (!strcmp(line, "at")) {
		entered(strtoull(operand, NULL, 16));
	} else if (!strcmp(operand, "chain")) {
		first();
	} else if (!strcmp(operand, "recursion")) {
		recurse(1000);
	} else if (!strcmp(operand, "deeper")) {
		recurse(2000);
	} else if (!strcmp(operand, "alloca")) {
		dynamic(200);
	} else if (!strcmp(operand, "aligned")) {
		aligned(sink);
	} else if (!strcmp(operand, "callback")) {
		sort();
	} else if (!strcmp(operand, "signal")) {
		signalled();
	} else if (!strcmp(operand, "thread")) {
		threaded();
	}
	return status == 0 ? "ok" : status == -2 ? "nothing was walked" : "the program failed";
}

int main(int count, char **words)
{
	char line[256];

	if (count != 3)
		return 2;
	lookup_program = atoi(words[1]);
	walk_program = atoi(words[2]);
	/* Answers are flushed at once; the parent reads them. */
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = 0;
		puts(command(line));
		fflush(stdout);
	}
	return 0;
}
