/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mutator that knows what commands look like: everything is little-endian words of four bytes;
 * numbers of commands, sTypes, ids of the prologue's objects and small counts are what makes sense;
 * a whole valid command can be put at the end, where the one before it stopped.
 */
#include <string.h>

#include "fuzz.h"
#include "seeds.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);

#define COMMANDS 346

static const uint32_t odd_words[] = { 0,          1,          2,          3,          4,
				      7,          8,          0x40,       0x41,       0xff,
				      0x100,      0xfff,      0x1000,     0x10000,    0x7fffffff,
				      0x80000000, 0xfffffffc, 0xfffffff8, 0xfffffffe, 0xffffffff };

static uint32_t next(uint32_t *state)
{
	/* A linear congruence will do: libFuzzer brings the seed. */
	*state = *state * 1664525U + 1013904223U;
	return *state >> 8;
}

static uint32_t word_at(const uint8_t *data, size_t word)
{
	uint32_t v;

	memcpy(&v, data + word * 4, 4);
	return v;
}

static uint32_t new_word(uint32_t old, uint32_t *rnd)
{
	switch (next(rnd) % 6) {
	case 0:
		return odd_words[next(rnd) % ARRAY_LEN(odd_words)];
	case 1:
		return next(rnd) % (ID_FREE + 2);
	case 2:
		return next(rnd) % COMMANDS;
	case 3:
		return seed_stypes[next(rnd) % seed_stypes_count];
	case 4:
		return old + next(rnd) % 9 - 4;
	default:
		return old ^ (1U << next(rnd) % 32);
	}
}

/* Puts a valid command at word @at; what was there moves up. */
static size_t insert_seed(uint8_t *data, size_t size, size_t max_size, size_t at, uint32_t *rnd)
{
	const struct seed *s = &seeds[next(rnd) % seeds_count];

	if (s->len > max_size - size)
		return size;
	memmove(data + at * 4 + s->len, data + at * 4, size - at * 4);
	memcpy(data + at * 4, s->bytes, s->len);
	return size + s->len;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
	uint32_t rnd = seed;
	size_t words = size / 4;

	size = words * 4;
	if (words < 2)
		return LLVMFuzzerMutate(data, size, max_size);
	switch (next(&rnd) % 8) {
	case 0:
		return LLVMFuzzerMutate(data, size, max_size);
	case 1:
		return insert_seed(data, size, max_size, words, &rnd);
	case 2:
		return insert_seed(data, size, max_size, 1, &rnd);
	case 3: { /* take words out */
		size_t at = 1 + next(&rnd) % (words - 1);
		size_t n = 1 + next(&rnd) % 4;

		if (n > words - at)
			n = words - at;
		memmove(data + at * 4, data + (at + n) * 4, size - (at + n) * 4);
		return size - n * 4;
	}
	case 4: { /* say something twice */
		size_t at = 1 + next(&rnd) % (words - 1);
		size_t n = 1 + next(&rnd) % 16;

		if (n > words - at)
			n = words - at;
		if (n * 4 > max_size - size)
			return size;
		memmove(data + (at + n) * 4, data + at * 4, size - at * 4);
		return size + n * 4;
	}
	default:
		for (uint32_t n = 1 + next(&rnd) % 3; n; n--) {
			size_t at = next(&rnd) % words;
			uint32_t v = new_word(word_at(data, at), &rnd);

			memcpy(data + at * 4, &v, 4);
		}
		return size;
	}
}
