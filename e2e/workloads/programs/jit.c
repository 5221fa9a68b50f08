/*
 * Code made at run time in anonymous memory, with frame pointers, between functions without them:
 * `host` calls generated code, which calls `callback`.
 *
 * roots main
 * calls main: host library
 * calls host: [anonymous]
 * calls [anonymous]: [anonymous] callback
 * calls callback: burn
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

static volatile unsigned long sink;

__attribute__((noipa)) void burn(unsigned long rounds)
{
	unsigned long value = sink;

	for (unsigned long i = 0; i < rounds * 400; i++)
		value = value * 2862933555777941757UL + 3037000493UL;
	sink = value;
}

__attribute__((noipa)) void callback(void)
{
	burn(20);
	sink++;
}

/* push %rbp; mov %rsp,%rbp; sub $32,%rsp; movabs $INNER,%rax; call *%rax; then a loop of 3,000; leave; ret */
static unsigned char *generate(unsigned char *at, void *inner)
{
	static const unsigned char head[] = { 0x55, 0x48, 0x89, 0xe5, 0x48, 0x83, 0xec, 0x20, 0x48, 0xb8 };
	static const unsigned char tail[] = { 0xff, 0xd0, 0xb9, 0xb8, 0x0b, 0x00, 0x00, 0xff,
					      0xc9, 0x75, 0xfc, 0xc9, 0xc3 };

	memcpy(at, head, sizeof(head));
	memcpy(at + sizeof(head), &inner, 8);
	memcpy(at + sizeof(head) + 8, tail, sizeof(tail));
	return at + 64;
}

__attribute__((noipa)) void host(void (*generated)(void))
{
	unsigned long kept = sink;

	for (int i = 0; i < 2000; i++)
		generated();
	sink += kept;
}

int main(int argc, char **argv)
{
	time_t end = time(0) + (argc > 1 ? atoi(argv[1]) : 1);
	unsigned char *code =
		mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned char *outer;

	if (code == MAP_FAILED)
		return 1;
	outer = generate(code, (void *)callback);
	generate(outer, code);
	while (time(0) < end)
		host((void (*)(void))outer);
	return 0;
}
