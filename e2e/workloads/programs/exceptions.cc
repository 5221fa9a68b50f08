/*
 * C++: exceptions through several frames, virtual calls, destructors, callbacks of templates.
 *
 * While the unwinder of exceptions moves the stack to where the exception is caught, its own call frame
 * information is not exact: `inexact F` says that stacks with F are not judged.
 *
 * roots main thread_main
 * inexact _Unwind_RaiseException _Unwind_Resume _Unwind_Resume_or_Rethrow
 * calls main: rounds library
 * calls thread_main: rounds library
 * calls rounds: catches sorts calls_virtual rethrows library
 * calls catches: throws_2 burn library
 * calls throws_2: throws_1 guard_end library
 * calls throws_1: throws_0 guard_end library
 * calls throws_0: burn library
 * calls rethrows: middle burn library
 * calls middle: throws_0 burn library
 * calls guard_end: burn_little
 * calls sorts: library
 * through sorts: less
 * calls less: burn_little
 * calls calls_virtual: virtual_a virtual_b
 * calls virtual_a: burn
 * calls virtual_b: burn
 */
#include <cstdlib>
#include <ctime>
#include <pthread.h>
#include <stdexcept>
#include <string>

#define APART __attribute__((noipa))

static volatile unsigned long sink;

extern "C" {
APART void burn(unsigned long rounds)
{
	unsigned long value = sink;

	for (unsigned long i = 0; i < rounds * 400; i++)
		value = value * 2862933555777941757UL + 3037000493UL;
	sink = value;
}

APART void burn_little()
{
	unsigned long value = sink;

	for (int i = 0; i < 20; i++)
		value = value * 2862933555777941757UL + i;
	sink = value;
}

APART void guard_end() { burn_little(); sink++; }
}

struct Guard {
	~Guard() { guard_end(); }
};

extern "C" {
APART void throws_0(int depth)
{
	burn(10);
	throw std::runtime_error("a text that is longer than fifteen bytes " + std::to_string(depth));
}

APART void throws_1(int depth) { Guard guard; throws_0(depth); sink++; }
APART void throws_2(int depth) { Guard guard; throws_1(depth); sink++; }

APART void catches(int depth)
{
	try {
		throws_2(depth);
	} catch (const std::exception &error) {
		burn(10);
		sink += error.what()[0];
	}
}

APART void middle(int depth)
{
	try {
		throws_0(depth);
	} catch (...) {
		burn(5);
		throw;
	}
}

APART void rethrows(int depth)
{
	try {
		middle(depth);
	} catch (const std::exception &error) {
		burn(5);
		sink += error.what()[0];
	}
}

APART int less(const void *a, const void *b)
{
	burn_little();
	return *(const int *)a - *(const int *)b;
}

APART void sorts()
{
	int numbers[32];

	for (int i = 0; i < 32; i++)
		numbers[i] = (i * 7919) % 32;
	qsort(numbers, 32, sizeof(int), less);
	sink += numbers[0];
}

APART void virtual_a() { burn(20); sink++; }
APART void virtual_b() { burn(20); sink++; }
static void (*volatile table[2])() = { virtual_a, virtual_b };
APART void calls_virtual() { table[0](); table[1](); sink++; }

APART void rounds()
{
	time_t end = time(nullptr) + 1;

	while (time(nullptr) < end) {
		catches(1);
		rethrows(2);
		sorts();
		calls_virtual();
	}
	sink++;
}

static int seconds = 1;

APART void *thread_main(void *)
{
	for (int i = 0; i < seconds; i++)
		rounds();
	return nullptr;
}
}

/* Arguments: seconds, threads besides the main one. */
int main(int argc, char **argv)
{
	pthread_t thread;

	seconds = argc > 1 ? atoi(argv[1]) : 1;
	pthread_create(&thread, nullptr, thread_main, nullptr);
	for (int i = 0; i < seconds; i++)
		rounds();
	pthread_join(thread, nullptr);
	return 0;
}
