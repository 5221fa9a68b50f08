/*
 * A program whose every stack obeys a grammar, so that a wrong or missing frame cannot hide.
 *
 * The grammar is the `calls`, `through`, `roots` and `interrupts` lines below, which the tests read
 * from this file: `calls F: G H` says that F calls G and H; `library` among them, that F calls code
 * outside this file; `through F: G`, that such code calls back G; `roots`, what start code calls;
 * `interrupts`, what signal frames call at any place.
 *
 * roots main worker coroutine
 * interrupts on_alarm
 * calls on_alarm: handler_work
 * calls handler_work: burn library
 * calls main: rounds library
 * calls worker: rounds library
 * calls rounds: straight_1 with_alloca sorter realigned big_frame even tail_first jumper formatter
 * calls rounds: strings passes_many variadic by_pointer noreturn_user clock_user coroutines saves_all library
 * calls straight_1: straight_2
 * calls straight_2: straight_3
 * calls straight_3: burn
 * calls with_alloca: burn library
 * calls sorter: library
 * through sorter: compare
 * calls compare: burn_little
 * calls realigned: burn library
 * calls big_frame: burn library
 * calls even: odd burn
 * calls odd: even burn
 * calls tail_first: tail_second
 * calls tail_second: burn
 * calls rounds: tail_second
 * calls jumper: jump_2 library
 * calls jump_2: jump_3
 * calls jump_3: burn library
 * calls formatter: library
 * calls strings: library
 * calls passes_many: takes_many
 * calls takes_many: burn
 * calls variadic: variadic_inner
 * calls variadic_inner: library
 * calls by_pointer: target_a target_b
 * calls target_a: burn
 * calls target_b: burn_little burn
 * calls noreturn_user: last_call library
 * calls last_call: never_returns
 * calls never_returns: burn library
 * calls clock_user: library
 * calls coroutines: library
 * calls coroutine: coroutine_step library
 * calls coroutine_step: burn library
 * calls saves_all: burn
 */
#define _GNU_SOURCE
#include <alloca.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#ifdef __GLIBC__
#include <ucontext.h>
#endif

#if defined(__clang__)
#define APART __attribute__((noinline))
#else
#define APART __attribute__((noipa))
#endif

static volatile unsigned long sink;
static volatile int stop;

/* What every function does last, so that no call before it becomes a jump. */
#define AFTER_CALL() (sink++)

APART void burn(unsigned long rounds)
{
	unsigned long value = sink;

	for (unsigned long i = 0; i < rounds * 400; i++)
		value = value * 2862933555777941757UL + 3037000493UL;
	sink = value;
}

APART void burn_little(void)
{
	unsigned long value = sink;

	for (int i = 0; i < 20; i++)
		value = value * 2862933555777941757UL + i;
	sink = value;
}

/* Signal handlers, on the thread's stack or on one of their own. */

APART void handler_work(int signal)
{
	char text[32];

	burn(4);
	snprintf(text, sizeof(text), "%d", signal);
	sink += text[0];
}

APART void on_alarm(int signal)
{
	handler_work(signal);
	AFTER_CALL();
}

APART void straight_3(void) { burn(40); AFTER_CALL(); }
APART void straight_2(void) { straight_3(); AFTER_CALL(); }
APART void straight_1(void) { straight_2(); AFTER_CALL(); }

APART void with_alloca(int bytes)
{
	char *room = alloca(bytes);

	memset(room, bytes, bytes);
	burn(30);
	sink += room[bytes / 2];
}

APART int compare(const void *a, const void *b)
{
	int left = *(const int *)a, right = *(const int *)b;

	burn_little();
	return (left > right) - (left < right);
}

APART void sorter(void)
{
	int numbers[64];

	for (int i = 0; i < 64; i++)
		numbers[i] = (i * 7919) % 64;
	qsort(numbers, 64, sizeof(numbers[0]), compare);
	sink += numbers[3];
}

/* An over-aligned local beside a variable-sized one: the CFA is kept in a register of its own. */
APART void realigned(int bytes)
{
	char wide[128] __attribute__((aligned(64)));
	char *room = alloca(bytes);

	memset(wide, bytes, sizeof(wide));
	memset(room, 1, bytes);
	burn(30);
	sink += wide[bytes & 127] + room[0];
}

APART void big_frame(int seed)
{
	char room[40000];

	memset(room, seed, sizeof(room));
	burn(30);
	sink += room[seed];
}

APART void odd(int depth);

APART void even(int depth)
{
	if (depth)
		odd(depth - 1);
	else
		burn(50);
	AFTER_CALL();
}

APART void odd(int depth)
{
	char room[24];

	memcpy(room, (char *)&sink, 8);
	if (depth)
		even(depth - 1);
	else
		burn(50);
	sink += room[2];
}

APART void tail_second(int rounds)
{
	burn(rounds);
	AFTER_CALL();
}

/* Becomes a jump when optimised: then tail_second's caller is rounds. */
APART void tail_first(int rounds)
{
	sink++;
	tail_second(rounds + 5);
}

static __thread jmp_buf landing;

APART void jump_3(void)
{
	burn(25);
	longjmp(landing, 1);
}

APART void jump_2(void) { jump_3(); AFTER_CALL(); }

APART void jumper(void)
{
	if (!setjmp(landing))
		jump_2();
	AFTER_CALL();
}

APART void formatter(void)
{
	char text[200];

	for (int i = 0; i < 20; i++)
		snprintf(text, sizeof(text), "%d %s %.6f %lx", i, "text", i * 1.25, sink);
	sink += text[0];
}

APART void strings(void)
{
	static const char base[] = "the quick brown fox jumps over the lazy dog, again and again";
	char text[8192];

	for (int i = 0; i < 8; i++) {
		memset(text, 'a' + i, sizeof(text) - 1);
		text[sizeof(text) - 1] = 0;
		memcpy(text + i, base, sizeof(base) - 1);
		sink += strlen(text) + (strstr(text, "lazy dog") != 0) + (memchr(text, 0, sizeof(text)) != 0);
		memmove(text + 1, text, sizeof(text) - 2);
	}
}

APART long takes_many(long a, long b, long c, long d, long e, long f, long g, long h, long i, long j)
{
	burn(25);
	return a + b + c + d + e + f + g + h + i + j + sink;
}

APART void passes_many(long n)
{
	sink += takes_many(n, 1, 2, 3, 4, 5, 6, 7, 8, n);
	sink += takes_many(n, n, 2, 3, n, 5, 6, n, 8, 9);
}

APART int variadic_inner(const char *format, va_list list)
{
	char text[128];
	int length = 0;

	for (int i = 0; i < 10; i++) {
		va_list copy;

		va_copy(copy, list);
		length += vsnprintf(text, sizeof(text), format, copy);
		va_end(copy);
	}
	return length;
}

APART int variadic(const char *format, ...)
{
	va_list list;
	int length;

	va_start(list, format);
	length = variadic_inner(format, list);
	va_end(list);
	AFTER_CALL();
	return length;
}

APART void target_a(void) { burn(20); AFTER_CALL(); }
APART void target_b(void) { burn_little(); burn(20); AFTER_CALL(); }

static void (*volatile targets[2])(void) = { target_a, target_b };

APART void by_pointer(void)
{
	targets[0]();
	targets[1]();
	AFTER_CALL();
}

/* The return address of a call that does not return lies in the next function. */
static __thread jmp_buf rescue;

APART __attribute__((noreturn)) void never_returns(void)
{
	burn(25);
	longjmp(rescue, 1);
}

APART void last_call(void)
{
	sink++;
	never_returns();
}

APART void noreturn_user(void)
{
	if (!setjmp(rescue))
		last_call();
	AFTER_CALL();
}

APART void clock_user(void)
{
	struct timespec now;

	for (int i = 0; i < 300; i++) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		sink += now.tv_nsec;
	}
}

/* All registers a function must preserve are saved, used, and restored. */
APART void saves_all(unsigned long a)
{
	unsigned long b = a * 3 + sink, c = b * 5, d = c * 7, e = d * 11, f = e * 13, g = f * 17;

	burn(15);
	a += b * c;
	burn(15);
	d += e * f;
	burn(5);
	sink += a ^ b ^ c ^ d ^ e ^ f ^ g;
}

#ifdef __GLIBC__
static __thread ucontext_t caller_context, coroutine_context;
static __thread char *coroutine_stack;

APART void coroutine_step(void)
{
	burn(25);
	swapcontext(&coroutine_context, &caller_context);
	AFTER_CALL();
}

APART void coroutine(void)
{
	for (;;)
		coroutine_step();
}

APART void coroutines(void)
{
	if (!coroutine_stack) {
		coroutine_stack = malloc(65536);
		getcontext(&coroutine_context);
		coroutine_context.uc_stack.ss_sp = coroutine_stack;
		coroutine_context.uc_stack.ss_size = 65536;
		coroutine_context.uc_link = &caller_context;
		makecontext(&coroutine_context, coroutine, 0);
	}
	swapcontext(&caller_context, &coroutine_context);
	AFTER_CALL();
}
#else
APART void coroutines(void) { sink++; }
#endif

APART void rounds(void)
{
	time_t end = time(0) + 1;

	while (!stop && time(0) < end) {
		straight_1();
		with_alloca(3000 + (sink & 1023));
		sorter();
		realigned(200 + (sink & 63));
		big_frame(7);
		even(17);
		tail_first(20);
		jumper();
		formatter();
		strings();
		passes_many(sink & 7);
		sink += variadic("%d %s %d", 5, "five", 6);
		by_pointer();
		noreturn_user();
		clock_user();
		coroutines();
		saves_all(sink & 31);
	}
	AFTER_CALL();
}

static void own_signal_stack(void)
{
	stack_t stack = { .ss_size = 65536 };

	stack.ss_sp = malloc(stack.ss_size);
	sigaltstack(&stack, 0);
}

static int seconds = 1;
static int on_own_stack;

APART void *worker(void *unused)
{
	(void)unused;
	if (on_own_stack)
		own_signal_stack();
	for (int i = 0; i < seconds; i++)
		rounds();
	return 0;
}

/* Arguments: seconds, threads besides the main one, `onstack` for handlers on a stack of their own. */
int main(int argc, char **argv)
{
	struct itimerval interval = { { 0, 1500 }, { 0, 1500 } };
	struct sigaction action = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
	pthread_t threads[16];
	int count = argc > 2 ? atoi(argv[2]) : 1;

	seconds = argc > 1 ? atoi(argv[1]) : 1;
	on_own_stack = argc > 3 && !strcmp(argv[3], "onstack");
	if (count > 16)
		count = 16;
	if (on_own_stack) {
		own_signal_stack();
		action.sa_flags |= SA_ONSTACK;
	}
	sigaction(SIGALRM, &action, 0);
	setitimer(ITIMER_REAL, &interval, 0);
	for (int i = 0; i < count; i++)
		pthread_create(&threads[i], 0, worker, 0);
	for (int i = 0; i < seconds; i++)
		rounds();
	for (int i = 0; i < count; i++)
		pthread_join(threads[i], 0);
	return 0;
}
