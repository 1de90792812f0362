/* SPDX-License-Identifier: BSD-2-Clause */
/* A heap that grows by containers of the program's own account. */
#pragma once

#include <stddef.h>

#include "pmserver.h"

/**
 * Returns memory for any object of this size, or NULL if there is no more (malloc_refusal). May make
 * calls of pmserver: what is in the message registers does not outlive it.
 */
void *malloc(size_t bytes);

/** Gives back what malloc returned. The heap keeps it, for the next allocation. */
void free(void *memory);

/** Returns why pmserver gave no more memory when malloc last asked for some in vain. */
enum pm_error malloc_refusal(void);
