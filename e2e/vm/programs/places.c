/*
 * Is interrupted in places of the kernel's making: places PLACE, for ever.
 *
 *   vdso      in the vDSO
 *   kernel    in a system call
 *   fault     in page faults
 *   signal    in a signal handler
 *   orphan    in a thread whose process has lost its main thread
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))

volatile uint64_t sink;

NOINLINE void hearth_vdso(void)
{
	struct timespec now;

	for (;;) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		sink += now.tv_nsec;
	}
}

NOINLINE void hearth_kernel(void)
{
	static char buffer[1 << 20];
	int zero = open("/dev/zero", O_RDONLY);

	for (;;)
		sink += read(zero, buffer, sizeof(buffer));
}

NOINLINE void hearth_fault(void)
{
	size_t bytes = 1 << 20;

	for (;;) {
		char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		for (size_t at = 0; at < bytes; at += 4096)
			memory[at] = 1;
		munmap(memory, bytes);
		sink++;
	}
}

NOINLINE void hearth_handler(int number)
{
	for (int i = 0; i < 1000000; i++)
		sink += number;
}

NOINLINE void hearth_signal(void)
{
	signal(SIGUSR1, hearth_handler);
	for (;;) {
		raise(SIGUSR1);
		sink++;
	}
}

NOINLINE void *hearth_orphan(void *argument)
{
	for (;;)
		sink++;
	return argument;
}

int main(int argc, char **argv)
{
	const char *place = argc > 1 ? argv[1] : "";
	pthread_t thread;

	if (!strcmp(place, "vdso"))
		hearth_vdso();
	else if (!strcmp(place, "kernel"))
		hearth_kernel();
	else if (!strcmp(place, "fault"))
		hearth_fault();
	else if (!strcmp(place, "signal"))
		hearth_signal();
	else if (!strcmp(place, "orphan") && !pthread_create(&thread, NULL, hearth_orphan, NULL))
		pthread_exit(NULL);
	return 2;
}
