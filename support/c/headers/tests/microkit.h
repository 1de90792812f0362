/* SPDX-License-Identifier: BSD-2-Clause */
/* As much of Microkit's interface as the headers use, on a host: a call prints its message. */
#pragma once

#include <stdint.h>
#include <stdio.h>

typedef uint64_t seL4_Word, seL4_CPtr;
typedef uint8_t seL4_Uint8, seL4_Bool;
typedef uint16_t seL4_Uint16;
typedef unsigned microkit_channel;
typedef struct { seL4_Word label, count; } microkit_msginfo;

static seL4_Word registers[64], replied;
static seL4_Bool microkit_have_signal;
static const seL4_CPtr microkit_signal_cap = 1;
static const int microkit_signal_msg = 0;
#define seL4_False 0

static inline void seL4_Send(seL4_CPtr to, int what) { (void)to; (void)what; }
static inline void seL4_Wait(seL4_CPtr on, seL4_Word *badge) { *badge = on; }

static inline void microkit_mr_set(seL4_Uint8 mr, seL4_Word value) { registers[mr] = value; }
static inline seL4_Word microkit_mr_get(seL4_Uint8 mr) { return registers[mr]; }

static inline microkit_msginfo microkit_msginfo_new(seL4_Word label, seL4_Uint16 count)
{
    return (microkit_msginfo) { label, count };
}
static inline seL4_Word microkit_msginfo_get_label(microkit_msginfo info) { return info.label; }
static inline seL4_Word microkit_msginfo_get_count(microkit_msginfo info) { return info.count; }

static inline microkit_msginfo microkit_ppcall(microkit_channel ch, microkit_msginfo info)
{
    printf("%u %llx", ch, (unsigned long long)info.label);
    for (seL4_Word i = 0; i < info.count; i++) {
        printf(" %llx", (unsigned long long)registers[i]);
    }
    printf("\n");
    return microkit_msginfo_new(0, (seL4_Uint16)replied);
}
