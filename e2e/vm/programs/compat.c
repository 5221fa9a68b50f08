/*
 * A 32-bit program without a C library, since none is installed for it: burns CPU, for ever.
 */
volatile unsigned sink;

__attribute__((noinline)) void hearth_compat(void)
{
	for (;;)
		sink++;
}

void _start(void)
{
	hearth_compat();
}
