/*
 * Burns CPU in hearth_a, hearth_b and hearth_c, 60, 30 and 10 percent, all called by hearth_outer.
 *
 *   shares [MILLISECONDS]    of CPU time, its start not counted; for ever without
 */
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#define NOINLINE __attribute__((noinline, noclone))

volatile uint64_t sink;

NOINLINE void hearth_spin(uint64_t rounds)
{
	for (uint64_t i = 0; i < rounds; i++)
		sink += i;
}

NOINLINE void hearth_a(void) { hearth_spin(6000); sink++; }
NOINLINE void hearth_b(void) { hearth_spin(3000); sink++; }
NOINLINE void hearth_c(void) { hearth_spin(1000); sink++; }

NOINLINE void hearth_outer(void)
{
	for (int i = 0; i < 100; i++) {
		hearth_a();
		hearth_b();
		hearth_c();
	}
}

int main(int argc, char **argv)
{
	clock_t limit = argc > 1 ? clock() + atol(argv[1]) * (CLOCKS_PER_SEC / 1000) : 0;

	do
		hearth_outer();
	while (!limit || clock() < limit);
	return 0;
}
