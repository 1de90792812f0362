/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * First fit: the free blocks are a ring in the order of their addresses, and neighbours are joined.
 * Each container is mapped behind the one before, so what is free at its end is joined, too.
 */
#include "malloc.h"

#define WINDOW 0x10000000
#define WINDOW_END 0x18000000
/** Pages that the heap grows by, at least: fewer only where the account has no more. */
#define STEP_PAGES 16

/** The head of a block. Sizes are in heads. */
struct head {
    _Alignas(16) struct head *next;
    size_t heads;
};

static struct head ring = { &ring, 0 };
static uintptr_t end = WINDOW;
static enum pm_error refusal = PM_OK;

/** Maps so many pages more, all or none. */
static bool map_more(size_t pages)
{
    pm_container_t more = { 0 };
    struct pm_result result = pm_container_create(PM_ACCOUNT_OWN, &more);
    if (result.error == PM_OK) {
        result = pm_allocate_until_done(more, 0, pages, 0);
        if (result.error == PM_OK) {
            /* All frames get memory now: no store to them faults later because the pool is empty. */
            seL4_Word flags = PM_MAP_READ | PM_MAP_WRITE | PM_MAP_FORCE_WRITE;
            result = pm_map_until_done(more, 0, end, pages, flags);
        }
        if (result.error != PM_OK) {
            pm_container_destroy_until_done(more);
        }
    }
    refusal = result.error;
    return result.error == PM_OK;
}

static bool grow(size_t heads)
{
    size_t needed = (heads * sizeof(struct head) + PM_PAGE_BYTES - 1) / PM_PAGE_BYTES;
    size_t pages = needed < STEP_PAGES ? STEP_PAGES : needed;
    if (pages > (WINDOW_END - end) / PM_PAGE_BYTES || (!map_more(pages) && !map_more(pages = needed))) {
        return false;
    }
    struct head *block = (struct head *)end;
    block->heads = pages * PM_PAGE_BYTES / sizeof(struct head);
    end += pages * PM_PAGE_BYTES;
    free(block + 1);
    return true;
}

void *malloc(size_t bytes)
{
    if (bytes > WINDOW_END - WINDOW) {
        return NULL;
    }
    size_t heads = (bytes + sizeof(struct head) - 1) / sizeof(struct head) + 1;
    do {
        for (struct head *before = &ring; before->next != &ring; before = before->next) {
            struct head *block = before->next;
            if (block->heads == heads) {
                before->next = block->next;
                return block + 1;
            }
            if (block->heads > heads) {
                /* The end of it. */
                block->heads -= heads;
                block += block->heads;
                block->heads = heads;
                return block + 1;
            }
        }
    } while (grow(heads));
    return NULL;
}

void free(void *memory)
{
    if (memory == NULL) {
        return;
    }
    struct head *block = (struct head *)memory - 1;
    struct head *before = &ring;
    while (before->next != &ring && before->next < block) {
        before = before->next;
    }
    block->next = before->next;
    if (block + block->heads == block->next) {
        block->heads += block->next->heads;
        block->next = block->next->next;
    }
    before->next = block;
    if (before != &ring && before + before->heads == block) {
        before->heads += block->heads;
        before->next = block->next;
    }
}

enum pm_error malloc_refusal(void)
{
    return refusal;
}
