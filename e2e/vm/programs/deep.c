/*
 * Burns CPU at the bottom of a recursion: deep DEPTH, for ever.
 */
#include <stdint.h>
#include <stdlib.h>

volatile uint64_t sink;
volatile int end;

__attribute__((noinline, noclone)) void hearth_deeper(long depth)
{
	if (depth > 0)
		hearth_deeper(depth - 1);
	else
		while (!end)
			sink++;
	sink++;
}

int main(int argc, char **argv)
{
	hearth_deeper(argc > 1 ? atol(argv[1]) : 100);
	return 0;
}
