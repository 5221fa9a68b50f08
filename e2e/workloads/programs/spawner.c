/*
 * Starts many short processes and prints what each program used, as the kernel accounts it.
 *
 * Arguments: processes, how many at once, then ARGUMENT and programs, which take turns. Each gets the
 * service name `short-INDEX`. Prints per program: index, processes, microseconds of CPU.
 */
#define _GNU_SOURCE
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define PROGRAMS_MAX 1024
#define AT_ONCE_MAX 64

struct running {
	pid_t pid;
	int program;
};

static struct running running[AT_ONCE_MAX];
static long count[PROGRAMS_MAX], used_us[PROGRAMS_MAX];

static void reap(void)
{
	struct rusage usage;
	int status;
	pid_t pid = wait4(-1, &status, 0, &usage);

	for (int i = 0; i < AT_ONCE_MAX; i++) {
		if (running[i].pid != pid)
			continue;
		running[i].pid = 0;
		count[running[i].program]++;
		used_us[running[i].program] += usage.ru_utime.tv_sec * 1000000 + usage.ru_utime.tv_usec +
					       usage.ru_stime.tv_sec * 1000000 + usage.ru_stime.tv_usec;
	}
}

static int start(struct running *slot, int program, char *path, char *argument)
{
	char service[64];
	char *arguments[] = { path, argument, 0 };
	char *environment[] = { service, "PATH=/usr/bin:/bin", 0 };

	snprintf(service, sizeof(service), "OTEL_SERVICE_NAME=short-%d", program);
	slot->program = program;
	return posix_spawn(&slot->pid, path, 0, 0, arguments, environment);
}

int main(int argc, char **argv)
{
	int programs = argc - 4, total, at_once;

	if (programs < 1 || programs > PROGRAMS_MAX)
		return 2;
	total = atoi(argv[1]);
	at_once = atoi(argv[2]) < AT_ONCE_MAX ? atoi(argv[2]) : AT_ONCE_MAX;
	for (int i = 0; i < total; i++) {
		int slot = 0;

		if (i >= at_once)
			reap();
		while (running[slot].pid)
			slot++;
		if (start(&running[slot], i % programs, argv[4 + i % programs], argv[3]))
			return 1;
	}
	for (int i = 0; i < at_once && i < total; i++)
		reap();
	for (int i = 0; i < programs; i++)
		printf("%d %ld %ld\n", i, count[i], used_us[i]);
	return 0;
}
