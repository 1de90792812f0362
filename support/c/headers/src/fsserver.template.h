/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The file protocol, version @VERSION@, for protection domains in C: files in containers that a client lends.
 * Needs microkit.h of Microkit 2.3.0 and pmserver.h.
 *
 * Each operation is a function of its name, and makes one protected procedure call. Any of them may be
 * FS_PENDING: the request waits for the disk, and the client makes the same call again when it is
 * notified. FS_UNTIL_DONE() does that.
 *
 *     client                      fsserver              pmserver
 *       | pm_share ------------------------------------->|
 *       | fs_read(file, weak, …) --->| locks, fills ---->|
 *       | pm_unshare ----------------------------------->|
 *       | pm_map, and only now trust the bytes --------->|
 *
 * Made by support/c/headers from the tables of the protocol: change those. FS and a number is a
 * sentence of support/docs/fs-protocol.md.
 */
#pragma once

#include "pmserver.h"

/**
 * The channel to fsserver. Where it is another one, define this before the header is included: as a
 * number, or as a variable that the Microkit tool sets (setvar_id).
 */
#ifndef FS_CHANNEL
#define FS_CHANNEL 1
#endif

@CONSTANTS@
/** A file that the caller has open, by the number that is valid for the caller only. */
typedef struct {
    seL4_Word raw;
} fs_file_t;

@ERRORS@
/** What a call came to. */
struct fs_result {
    /** FS_OK, or why it failed. */
    enum fs_error error;
    /** What the error says that it is: a size, an enum fs_feature, or pmserver's error; or 0. */
    seL4_Word detail;
};

@KINDS@
@FEATURES@
@STRUCTURES@/** The numbers of the operations. */
@OPERATIONS@

static inline struct fs_result fs_outcome(enum fs_error error)
{
    return (struct fs_result) { error, 0 };
}

/** Returns what a reply says that is no success. */
__attribute__((cold)) static inline struct fs_result fs_failed(microkit_msginfo reply)
{
    seL4_Word label = microkit_msginfo_get_label(reply);
    if (label > FS_OK && label <= FS_ERROR_LAST && microkit_msginfo_get_count(reply) == 1) {
        return (struct fs_result) { (enum fs_error)label, microkit_mr_get(0) };
    }
    bool is_known = label >= FS_UNKNOWN_OPERATION && label <= FS_STOPPED;
    return fs_outcome(is_known ? (enum fs_error)label : FS_BAD_REPLY);
}

/** Calls fsserver with the registers that were set; a success has so many registers. */
__attribute__((always_inline)) static inline struct fs_result fs_call(seL4_Word label, seL4_Uint16 count, seL4_Word replied)
{
    microkit_msginfo reply = microkit_ppcall(FS_CHANNEL, microkit_msginfo_new(label, count));
    if (microkit_msginfo_get_label(reply) == FS_OK && microkit_msginfo_get_count(reply) == replied) {
        return fs_outcome(FS_OK);
    }
    return fs_failed(reply);
}

/** Sets the registers to a path; returns whether it is short enough. */
static inline bool fs_set_path(const char *path)
{
    for (seL4_Uint8 i = 0; i < FS_SHORT_PATH_BYTES_MAX / 8; i++) {
        seL4_Word word = 0;
        for (unsigned byte = 0; byte < 8 && *path; byte++) {
            word |= (seL4_Word)(unsigned char)*path++ << (8 * byte);
        }
        microkit_mr_set(i, word);
    }
    return !*path;
}

/**
 * Waits until anybody notifies the caller, and returns who did: bit n is channel n. They are not told
 * to notified() any more. For domains without protected() and without children, in init() or
 * notified(): a request or a fault that arrived here would get no answer. Others return to
 * libmicrokit, and repeat the request in notified().
 */
static inline seL4_Word fs_wait(void)
{
    /* The capability that libmicrokit receives by: the notification of a domain that nobody calls. */
    const seL4_CPtr input = 1;
    seL4_Word badge = 0;
    if (microkit_have_signal) {
        seL4_Send(microkit_signal_cap, microkit_signal_msg);
        microkit_have_signal = seL4_False;
    }
    seL4_Wait(input, &badge);
    return badge;
}

/**
 * Sets `result` to that of a call, such as fs_read(…), which is made again after each fs_wait() until
 * it is not pending any more:
 *
 *     FS_UNTIL_DONE(result, fs_sync());
 */
#define FS_UNTIL_DONE(result, call)                                                         \
    for (unsigned fs_waits = 0;                                                             \
         ((result) = (call)).error == FS_PENDING && fs_waits < FS_WAITS_MAX; fs_waits++)    \
        fs_wait()

@FUNCTIONS@
