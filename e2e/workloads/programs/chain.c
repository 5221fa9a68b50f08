/*
 * Twenty-odd frames of a plain program without frame pointers: what a sample costs.
 *
 * Arguments: seconds, depth.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

static volatile unsigned long sink;

#define LINK(name, next, bytes)                                \
	__attribute__((noipa)) void name(int depth)            \
	{                                                      \
		char room[bytes];                              \
                                                               \
		memset(room, depth, bytes);                    \
		if (depth)                                     \
			next(depth - 1);                       \
		else                                           \
			spend();                               \
		sink += room[depth & 7];                       \
	}

__attribute__((noipa)) void spend(void)
{
	unsigned long value = sink;

	for (int i = 0; i < 200000; i++)
		value = value * 2862933555777941757UL + 3037000493UL;
	sink = value;
}

void link_a(int depth);
LINK(link_d, link_a, 200)
LINK(link_c, link_d, 24)
LINK(link_b, link_c, 64)
LINK(link_a, link_b, 8)

int main(int argc, char **argv)
{
	time_t end = time(0) + (argc > 1 ? atoi(argv[1]) : 1);
	int depth = argc > 2 ? atoi(argv[2]) : 16;

	while (time(0) < end)
		link_a(depth);
	return 0;
}
