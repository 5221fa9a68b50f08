/*
 * Calls the functions of handwritten.S.
 *
 * roots main
 * calls main: rounds library
 * calls rounds: by_expression by_rbx leaf_by_r10 remembers
 * calls by_expression: burn
 * calls by_rbx: burn
 * calls remembers: burn
 */
#include <stdlib.h>
#include <time.h>

static volatile unsigned long sink;

void by_expression(void);
void by_rbx(void);
void leaf_by_r10(unsigned long rounds);
void remembers(int first);

__attribute__((noipa)) void burn(unsigned long rounds)
{
	unsigned long value = sink;

	for (unsigned long i = 0; i < rounds * 400; i++)
		value = value * 2862933555777941757UL + 3037000493UL;
	sink = value;
}

__attribute__((noipa)) void rounds(void)
{
	for (int i = 0; i < 1000; i++) {
		by_expression();
		by_rbx();
		leaf_by_r10(20000);
		remembers(i & 1);
	}
	sink++;
}

int main(int argc, char **argv)
{
	time_t end = time(0) + (argc > 1 ? atoi(argv[1]) : 1);

	while (time(0) < end)
		rounds();
	return 0;
}
