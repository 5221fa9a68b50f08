/*
 * A library of one function which uses nothing and burns CPU for ARGUMENT rounds. Built twice, with
 * another NAME, another size of frame and at another offset in its file.
 */
#include <stdint.h>

__attribute__((section(".text.unlikely.pad"), used, aligned(4096))) static const char pad[PAD] = { 1 };

__attribute__((noinline)) uint64_t NAME(uint64_t rounds)
{
	volatile uint64_t frame[FRAME];

	for (uint64_t i = 0; i < rounds; i++)
		frame[i % FRAME] = i;
	return frame[0];
}
