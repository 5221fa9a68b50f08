/*
 * A process that lives for a given amount of its own CPU time and does nothing else.
 *
 * Argument: microseconds of CPU. All of it goes to `spend`, called by `middle`, called by main.
 */
#include <stdlib.h>
#include <time.h>

static volatile unsigned long sink;

static long used_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec * 1000000000L + now.tv_nsec;
}

__attribute__((noipa)) void spend(void)
{
	unsigned long value = sink;

	for (int i = 0; i < 50000; i++)
		value = value * 2862933555777941757UL + 3037000493UL;
	sink = value;
}

__attribute__((noipa)) void middle(long end)
{
	while (used_ns() < end)
		spend();
	sink++;
}

int main(int argc, char **argv)
{
	middle(argc > 1 ? atol(argv[1]) * 1000 : 0);
	return 0;
}
