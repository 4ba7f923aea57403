/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folders that the environment names.  `su` and `sudo -E` keep the variables of whoever called
 * them, so that a program of root may be told to trust a folder in which an ordinary user writes.
 */
#ifndef PECTEN_HOST_PLACE_H
#define PECTEN_HOST_PLACE_H

#include <stddef.h>

#include "util/compiler.h"
#include "util/err.h"

/**
 * place_check() - whether nobody but us and root can change what is at a path
 * @path:	absolute; what does not exist of it counts as made by us
 * @variable:	named in the remedy
 *
 * Each folder, and each symbolic link, has to be ours or root's, and closed to the writes of
 *others. A group that has nobody else in it, as far as numbers tell, is no other; in folders like
 * /tmp (sticky) others cannot exchange what exists.
 *
 * Return: 0; -EPERM, or the -errno of a path that cannot be walked, with a sentence that ends with
 *	   the remedy behind a ';'
 */
int place_check(const char *path, const char *variable, struct err *e) MUST_CHECK;

/**
 * place_cache() - path of something in the user's cache, $XDG_CACHE_HOME/pecten or ~/.cache/pecten
 * @name:	below that folder
 *
 * Return: 0; -ENOENT if the environment names no home, -ENAMETOOLONG, or what place_check() says of
 *	   the folder; with a sentence
 */
int place_cache(char *path, size_t size, const char *name, struct err *e) MUST_CHECK;

#endif
