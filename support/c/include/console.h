/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Printing for protection domains in C, through the console domain: a call writes at most 31 bytes, so
 * longer text takes several. Needs microkit.h of Microkit 2.3.0 and nothing else.
 */
#pragma once

#include <microkit.h>

/**
 * The channel to the console. Where it is another one, define this before the header is included: as
 * a number, or as a variable that the Microkit tool sets (setvar_id).
 */
#ifndef CONSOLE_CHANNEL
#define CONSOLE_CHANNEL 2
#endif

/** Bytes that one call writes at most. */
#define CONSOLE_WRITE_BYTES_MAX 31
/** The number of the operation. */
#define CONSOLE_OP_WRITE 1

/** Writes bytes, in order. Lines end with \n alone. */
static inline void console_write(const char *text, seL4_Word bytes)
{
    while (bytes > 0) {
        seL4_Word count = bytes < CONSOLE_WRITE_BYTES_MAX ? bytes : CONSOLE_WRITE_BYTES_MAX;
        /* Four registers: how many bytes, the bytes, then zeros; the lowest byte comes first. */
        seL4_Word word = count;
        for (seL4_Word at = 1; at <= CONSOLE_WRITE_BYTES_MAX; at++) {
            seL4_Word byte = at <= count ? (unsigned char)text[at - 1] : 0;
            word |= byte << (8 * (at % 8));
            if (at % 8 == 7) {
                microkit_mr_set((seL4_Uint8)(at / 8), word);
                word = 0;
            }
        }
        /* An error of the console could be told on the console only. */
        microkit_ppcall(CONSOLE_CHANNEL, microkit_msginfo_new(CONSOLE_OP_WRITE, 4));
        text += count;
        bytes -= count;
    }
}

/** Writes a text that ends with NUL. */
static inline void console_puts(const char *text)
{
    seL4_Word bytes = 0;
    while (text[bytes]) {
        bytes++;
    }
    console_write(text, bytes);
}

/** Writes a number in a base of at most 16. */
static inline void console_put_in_base(seL4_Word number, unsigned base)
{
    char digits[64];
    unsigned at = sizeof(digits);
    do {
        digits[--at] = "0123456789abcdef"[number % base];
        number /= base;
    } while (number > 0);
    console_write(digits + at, sizeof(digits) - at);
}

/** Writes a number. */
static inline void console_put_number(seL4_Word number)
{
    console_put_in_base(number, 10);
}

/** Writes a number as 0x…, such as an address. */
static inline void console_put_hex(seL4_Word number)
{
    console_puts("0x");
    console_put_in_base(number, 16);
}
