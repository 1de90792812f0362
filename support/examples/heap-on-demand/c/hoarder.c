/* SPDX-License-Identifier: BSD-2-Clause */
/* Allocates until its account is at its limit, is told so, and goes on. */
#include "console.h"
#include "malloc.h"

#define BLOCK_BYTES 10000
#define BLOCKS_MAX 100

static unsigned char *blocks[BLOCKS_MAX];
static bool all_is_well = true;

static void check(const char *what, bool is_so)
{
    all_is_well = all_is_well && is_so;
    console_puts(what);
    console_puts(is_so ? ": yes\n" : ": no\n");
}

/** Returns whether all bytes of a block are as they were written: the number of the block. */
static bool is_whole(unsigned number)
{
    for (unsigned i = 0; i < BLOCK_BYTES; i++) {
        if (blocks[number][i] != number) {
            return false;
        }
    }
    return true;
}

void init(void)
{
    unsigned count = 0;
    bool are_whole = true;
    while (count < BLOCKS_MAX && (blocks[count] = malloc(BLOCK_BYTES)) != NULL) {
        for (unsigned i = 0; i < BLOCK_BYTES; i++) {
            blocks[count][i] = (unsigned char)count;
        }
        count++;
    }
    console_puts("no more memory: ");
    console_puts(pm_error_string(malloc_refusal()));
    console_puts("\n");
    check("most of the account's 512 KiB are in blocks of 10000 bytes", count > 40);
    for (unsigned number = 0; number < count; number++) {
        are_whole = are_whole && is_whole(number);
    }
    check("all blocks are as they were written", are_whole);
    free(blocks[7]);
    check("after one is freed there is room for one", malloc(BLOCK_BYTES) != NULL);
    console_puts(all_is_well ? "PASS\n" : "FAIL\n");
}

void notified(microkit_channel channel) { (void)channel; }
