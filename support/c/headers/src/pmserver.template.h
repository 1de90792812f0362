/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The container protocol, version @VERSION@, for protection domains in C: memory that is made, lent and
 * taken back at run time. Needs microkit.h of Microkit 2.3.0 and nothing else.
 *
 * Each operation is a function of its name, and makes one protected procedure call. It returns a
 * struct pm_result; what else there is to tell, it writes to its last parameters. Calls that pmserver
 * asks to be made again are made by the functions whose names end with _until_done.
 *
 * Made by support/c/headers from the tables of the protocol: change those. PM and a number is a
 * sentence of support/docs/pm-protocol.md.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <microkit.h>

/**
 * The channel to pmserver. Where it is another one, define this before the header is included: as a
 * number, or as a variable that the Microkit tool sets (setvar_id).
 */
#ifndef PM_CHANNEL
#define PM_CHANNEL 0
#endif

_Static_assert(sizeof(seL4_Word) == 8, "the protocol has registers of 64 bits");

@CONSTANTS@
/**
 * A container: strong if the caller has made it, weak if it was shared with the caller (PM-6). As all
 * handles, it is valid for one protection domain only, and a number that names nothing is
 * PM_INVALID_CAP. `raw` is what is told to another domain.
 */
typedef struct {
    seL4_Word raw;
} pm_container_t;

/** A share, for the owner of the container. */
typedef struct {
    seL4_Word raw;
} pm_share_t;

/** A lease, for who took it. */
typedef struct {
    seL4_Word raw;
} pm_lease_t;

/** An account. */
typedef struct {
    seL4_Word raw;
} pm_account_t;

/** A fault that its handler has to answer. */
typedef struct {
    seL4_Word raw;
} pm_fault_t;

/** A range of a container that another domain supplies. */
typedef struct {
    seL4_Word raw;
} pm_range_t;

/** The caller's own account. */
#define PM_ACCOUNT_OWN ((pm_account_t) { @ACCOUNT_OWN@ })
/** The account of the pool: what pmserver uses itself, and the free memory. */
#define PM_ACCOUNT_POOL ((pm_account_t) { @ACCOUNT_POOL@ })

/** Returns the own account of a peer. */
static inline pm_account_t pm_account_of_peer(seL4_Word peer)
{
    return (pm_account_t) { @ACCOUNT_OF_PEER@ + peer };
}

/**
 * Returns the peer that has made a container, if the handle is what it claims to be. A server compares
 * it with the client that has sent the number: otherwise a client could make it work on a container
 * that somebody else has lent (PM-5).
 */
static inline seL4_Word pm_container_owner(pm_container_t container)
{
    return container.raw >> @MAKER_SHIFT@ & @MAKER_MASK@;
}

/** Returns the peer that owns the container of a range. */
static inline seL4_Word pm_range_owner(pm_range_t range)
{
    return range.raw >> @MAKER_SHIFT@ & @MAKER_MASK@;
}

@ERRORS@
/** What a call came to. */
struct pm_result {
    /** PM_OK, or why it failed: then nothing was changed but what `done` says (PM-4). */
    enum pm_error error;
    /** How many frames, pages or grants were done and stay done, of a call that counts them. */
    uint32_t done;
    /** The frame number, address or deadline in microseconds that the error is about, or 0. */
    seL4_Word at;
};

@FLAGS@
/** To whom a range is lent, and on which terms. */
struct pm_terms {
    /** The peer. */
    seL4_Word peer;
    /** What it may do, of enum pm_rights. */
    seL4_Word rights;
    /** The longest lease that it may take, in microseconds. */
    seL4_Word lease_us;
};

/** Consecutive frames that were mapped with the same rights. */
struct pm_run {
    /** How many; 0 ends the runs. */
    uint16_t count;
    /** The rights, of enum pm_map_flags. WRITE is not among them as long as a store makes a copy. */
    uint16_t rights;
};

/** With which rights frames were mapped, in order. */
struct pm_runs {
    struct pm_run run[6];
};

/** The states of consecutive frames, each of enum pm_frame_state. */
struct pm_states {
    /** How many there are. */
    seL4_Word count;
    uint16_t state[PM_STATUS_FRAMES_MAX];
};

/** A frame to be copied, and where to. */
struct pm_pair {
    seL4_Word from;
    seL4_Word to;
};

@STRUCTURES@/** The numbers of the operations. */
@OPERATIONS@

/**
 * Returns a field of a register, or of a label. What does not fit becomes the largest number, so that
 * no field changes another.
 */
static inline seL4_Word pm_field(seL4_Word value, unsigned shift, unsigned bits)
{
    seL4_Word most = ((seL4_Word)1 << bits) - 1;
    return (value < most ? value : most) << shift;
}

static inline seL4_Word pm_terms_word(struct pm_terms terms)
{
    return pm_field(terms.peer, 0, 16) | pm_field(terms.rights, 16, 16)
         | pm_field(terms.lease_us, 32, 32);
}

static inline void pm_take_runs(struct pm_runs *runs)
{
    for (unsigned i = 0; i < 6; i++) {
        seL4_Word pair = microkit_mr_get((seL4_Uint8)(1 + i / 2)) >> (i % 2 * 32);
        runs->run[i] = (struct pm_run) { (uint16_t)pair, (uint16_t)(pair >> 16) };
    }
}

static inline void pm_take_states(struct pm_states *states)
{
    seL4_Word count = microkit_mr_get(0);
    states->count = count < PM_STATUS_FRAMES_MAX ? count : PM_STATUS_FRAMES_MAX;
    for (unsigned i = 0; i < PM_STATUS_FRAMES_MAX; i++) {
        states->state[i] = (uint16_t)(microkit_mr_get((seL4_Uint8)(1 + i / 4)) >> (i % 4 * 16));
    }
}

/** Returns the rights that all frames of these runs have. */
static inline seL4_Word pm_runs_rights(const struct pm_runs *runs)
{
    seL4_Word rights = 0xffff;
    for (unsigned i = 0; i < 6 && runs->run[i].count; i++) {
        rights &= runs->run[i].rights;
    }
    return rights;
}

static inline struct pm_result pm_outcome(enum pm_error error)
{
    return (struct pm_result) { error, 0, 0 };
}

/** Returns what a reply says that is no success. */
__attribute__((cold)) static inline struct pm_result pm_failed(microkit_msginfo reply)
{
    seL4_Word label = microkit_msginfo_get_label(reply);
    seL4_Word count = microkit_msginfo_get_count(reply);
    if (label >= PM_ERROR_FIRST && label <= PM_ERROR_LAST && count == 2) {
        uint32_t done = (uint32_t)microkit_mr_get(0);
        return (struct pm_result) { (enum pm_error)label, done, microkit_mr_get(1) };
    }
    bool is_known = label >= PM_UNKNOWN_OPERATION && label <= PM_STOPPED;
    return pm_outcome(is_known ? (enum pm_error)label : PM_BAD_REPLY);
}

/** Calls pmserver with the registers that were set; a success has so many registers. */
__attribute__((always_inline)) static inline struct pm_result pm_call(seL4_Word label, seL4_Uint16 count, seL4_Word replied)
{
    microkit_msginfo reply = microkit_ppcall(PM_CHANNEL, microkit_msginfo_new(label, count));
    if (microkit_msginfo_get_label(reply) == PM_OK && microkit_msginfo_get_count(reply) == replied) {
        return pm_outcome(PM_OK);
    }
    return pm_failed(reply);
}

@FUNCTIONS@
/** Returns whether pmserver asks for the same call again, at once. */
static inline bool pm_is_to_go_on(struct pm_result result)
{
    return result.error == PM_PENDING && result.at == 0;
}

/** How far the calls for a range have come. */
struct pm_progress {
    /** How many numbers were passed. */
    seL4_Word passed;
    /** How many of them were counted. */
    uint32_t done;
    /** How many the next call takes at most. */
    seL4_Word most;
};

/** Returns how many numbers the next call takes: a large frame as one (PM-445). */
static inline seL4_Word pm_piece(struct pm_progress progress, seL4_Word start, seL4_Word count)
{
    seL4_Word left = count - progress.passed;
    bool is_large = left >= PM_LARGE_FRAMES && progress.most == PM_LARGE_FRAMES
                 && start % PM_LARGE_FRAMES == 0;
    seL4_Word most = is_large ? PM_LARGE_FRAMES : PM_CALL_FRAMES_MAX;
    return left < most ? left : most;
}

/**
 * Takes the result of a call for so many numbers, and returns whether the calls go on. A call that
 * `passes` numbers where nothing is has done with all of them.
 */
static inline bool pm_goes_on(struct pm_progress *progress, struct pm_result *result,
                              seL4_Word piece, bool passes)
{
    seL4_Word did = result->done < piece ? result->done : piece;
    bool goes_on = result->error == PM_OK || pm_is_to_go_on(*result);
    if (result->error == PM_OK && did == 0 && !passes) {
        *result = pm_outcome(PM_BAD_REPLY);
        goes_on = false;
    } else if (result->error == PM_TOO_MANY && piece == PM_LARGE_FRAMES && did == 0) {
        /* They cannot be one. */
        progress->most = PM_CALL_FRAMES_MAX;
        goes_on = true;
    }
    progress->done += (uint32_t)did;
    progress->passed += result->error == PM_OK && passes ? piece : did;
    result->done = progress->done;
    return goes_on;
}

@UNTIL_DONE@
