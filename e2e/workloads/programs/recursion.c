/*
 * Recursion of a given depth, without frame pointers: how deep a stack may be and still reach main.
 *
 * roots main
 * calls main: descend library
 * calls descend: descend burn
 */
#include <stdlib.h>
#include <time.h>

static volatile unsigned long sink;

__attribute__((noipa)) void burn(void)
{
	unsigned long value = sink;

	for (int i = 0; i < 400000; i++)
		value = value * 2862933555777941757UL + 3037000493UL;
	sink = value;
}

/* Frames of two sizes alternate: what the compiler keeps for the odd ones differs. */
__attribute__((noipa)) void descend(int depth)
{
	char room[16];

	room[depth & 15] = (char)depth;
	if (depth > 1)
		descend(depth - 1);
	else
		burn();
	sink += room[sink & 15];
}

/* Arguments: seconds, depth. */
int main(int argc, char **argv)
{
	time_t end = time(0) + (argc > 1 ? atoi(argv[1]) : 1);
	int depth = argc > 2 ? atoi(argv[2]) : 100;

	while (time(0) < end)
		descend(depth);
	return 0;
}
