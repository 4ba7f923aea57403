/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest kernel's console, as it passes by: forwarded to a file and searched for a panic, whose
 * text is kept for the report.
 */
#ifndef PECTEN_VMM_KLOG_H
#define PECTEN_VMM_KLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/thread.h"

struct gm;

#define KLOG_LINE_MAX  256
#define KLOG_PANIC_MAX 1024

struct klog {
	int fd; /* borrowed; -1: nowhere */
	struct mutex lock;
	/* All below: lock. */
	char line[KLOG_LINE_MAX]; /* without its newline; longer lines are cut */
	size_t line_len;
	char panic[KLOG_PANIC_MAX]; /* lines from the panic on, NUL-terminated */
	size_t panic_len;
	bool has_output;
};

void klog_init(struct klog *k, int fd);
void klog_fini(struct klog *k);

/* Bytes from a console device; any thread.  A file that takes no more loses bytes. */
void klog_put(struct klog *k, const void *p, size_t len);

/* Copies the panic's text and returns whether there was one; any thread. */
bool klog_panic(struct klog *k, char *text, size_t len);

/* Whether the guest has written to its console at all; any thread. */
bool klog_has_output(struct klog *k);

/**
 * klog_find_panic() - search guest memory for the text of a panic that no console has shown
 * @start:	gpa; @len bytes of RAM are searched
 *
 * The guest does not run.
 *
 * Return: whether one was found; @text then has its first line
 */
bool klog_find_panic(const struct gm *gm, uint64_t start, uint64_t len, char *text, size_t max);

#endif
