/*
 * Makes life hard for whoever looks at it: hostile WAY…, for ever.
 *
 *   remap LIBRARY      maps a library, runs in it and unmaps it, thousands of times a second
 *   mappings COUNT     has so many mappings, and runs
 *   bomb               forks as much as it may; so do its children
 *   run LIBRARY        runs the first page of a file as code, whatever else the file says
 */
#define _GNU_SOURCE
#include <elf.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))
#define PAGE 4096ul

typedef uint64_t function(uint64_t);

volatile uint64_t sink;

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

/* Maps the page that holds the entry point; its file offset is its address in these libraries. */
static function *code(int file, uint64_t entry, char **page)
{
	*page = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, entry & ~(PAGE - 1));
	if (*page == MAP_FAILED)
		fail("mmap");
	return (function *)(*page + (entry & (PAGE - 1)));
}

NOINLINE void hearth_remap(const char *path, int once)
{
	int file = open(path, O_RDONLY);
	Elf64_Ehdr header;
	char *page;

	if (file < 0 || pread(file, &header, sizeof(header), 0) != sizeof(header))
		fail(path);
	for (;;) {
		function *call = code(file, header.e_entry, &page);

		do
			sink += call(20000);
		while (once);
		munmap(page, PAGE);
	}
}

NOINLINE void hearth_mappings(long count)
{
	for (long i = 0; i < count; i++)
		if (mmap(NULL, PAGE, i % 2 ? PROT_READ : PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
			fail("mmap");
	for (;;)
		sink++;
}

NOINLINE void hearth_bomb(void)
{
	for (;;) {
		if (fork() < 0)
			for (int i = 0; i < 1000000; i++)
				sink++;
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
}

int main(int argc, char **argv)
{
	const char *way = argc > 1 ? argv[1] : "", *argument = argc > 2 ? argv[2] : "";

	if (!strcmp(way, "remap"))
		hearth_remap(argument, 0);
	else if (!strcmp(way, "run"))
		hearth_remap(argument, 1);
	else if (!strcmp(way, "mappings"))
		hearth_mappings(atol(argument));
	else if (!strcmp(way, "bomb"))
		hearth_bomb();
	return 2;
}
