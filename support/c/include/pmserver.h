/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The container protocol, version 7, for protection domains in C: memory that is made, lent and
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

/** What pm_version() tells if this header is of its version. */
#define PM_PROTOCOL_VERSION 7
/** Bytes of a page and of a frame. */
#define PM_PAGE_BYTES 4096
/** Frames that one call names at most, but for a large frame. */
#define PM_CALL_FRAMES_MAX 256
/** Frames of 2 MiB, which some calls can name as one (PM-445). */
#define PM_LARGE_FRAMES 512
/** Frames of which one call tells the states at most. */
#define PM_STATUS_FRAMES_MAX 24
/** The longest lease, in microseconds. */
#define PM_LEASE_US_MAX 1000000
/** The longest watch, in microseconds. */
#define PM_WATCH_US_MAX 10000000
/** Pairs that pm_copy_list() takes at most. */
#define PM_PAIRS_MAX 7
/** Frames that pm_create_gather() takes at most. */
#define PM_FRAMES_MAX 13

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
#define PM_ACCOUNT_OWN ((pm_account_t) { 0 })
/** The account of the pool: what pmserver uses itself, and the free memory. */
#define PM_ACCOUNT_POOL ((pm_account_t) { 1 })

/** Returns the own account of a peer. */
static inline pm_account_t pm_account_of_peer(seL4_Word peer)
{
    return (pm_account_t) { 256 + peer };
}

/**
 * Returns the peer that has made a container, if the handle is what it claims to be. A server compares
 * it with the client that has sent the number: otherwise a client could make it work on a container
 * that somebody else has lent (PM-5).
 */
static inline seL4_Word pm_container_owner(pm_container_t container)
{
    return container.raw >> 28 & 0x3f;
}

/** Returns the peer that owns the container of a range. */
static inline seL4_Word pm_range_owner(pm_range_t range)
{
    return range.raw >> 28 & 0x3f;
}

/** Why a call failed. */
enum pm_error {
    /** None. */
    PM_OK = 0,
    /** The handle names nothing of the caller's. */
    PM_INVALID_CAP = 1,
    /** The handle does not allow this operation. */
    PM_NO_RIGHT = 2,
    /** An argument is outside what the operation takes. */
    PM_INVALID = 3,
    /** A frame with the number `at` exists already. */
    PM_EXISTS = 4,
    /** There is no frame with the number `at`, or no mapping or region at the address `at`. */
    PM_NOT_FOUND = 5,
    /** The charge would exceed the limit of the paying account or of one above it. */
    PM_QUOTA_EXCEEDED = 6,
    /** The pool has no memory left. */
    PM_NO_MEMORY = 7,
    /** A lease forbids it until `at`, in microseconds. */
    PM_LOCKED = 8,
    /** The account that pays for page tables, slots and mapping records is at its limit. */
    PM_NO_TABLE_QUOTA = 9,
    /** Something is mapped at the virtual address `at` already. */
    PM_OCCUPIED = 10,
    /** The account may not have extra frames. */
    PM_NOT_ELIGIBLE = 11,
    /** The frame is one memory with another frame (the flag SHARED of pm_copy()). */
    PM_SHARED = 12,
    /**
     * Not finished: call again, at once if `at` is 0, otherwise at the time `at` in microseconds.
     */
    PM_PENDING = 13,
    /** There can be no more objects of this kind for a container, frame, peer or account. */
    PM_TOO_MANY = 14,
    /** The kernel refused. What was done before stays done, and nothing is lost. */
    PM_KERNEL = 15,
    /** The share is being revoked and allows no new lease. */
    PM_REVOKING = 16,
    /**
     * The handler has not supplied the frame with the number `at` yet. It was asked: call again.
     */
    PM_ABSENT = 17,
    /** The frame with the number `at` was an extra frame and was dropped when memory was needed. */
    PM_DISCARDED = 18,
    /** The owner has not armed the share since it was taken last. */
    PM_NOT_ARMED = 19,
    /** The server has no operation with this number. */
    PM_UNKNOWN_OPERATION = 65280,
    /** The operation takes more or fewer registers. */
    PM_WRONG_LENGTH = 65281,
    /** This version of the protocol has no such reply. */
    PM_BAD_REPLY = 65282,
    /** The server was stopped, and nobody does its work any more (PM-370). */
    PM_STOPPED = 65283,
};

#define PM_ERROR_FIRST 1
#define PM_ERROR_LAST 19

/** Returns what an error means, in words. */
static inline const char *pm_error_string(enum pm_error error)
{
    switch (error) {
    case PM_OK:
        return "done";
    case PM_INVALID_CAP:
        return "the handle names nothing that the caller holds";
    case PM_NO_RIGHT:
        return "the handle does not allow this";
    case PM_INVALID:
        return "an argument is outside what the operation takes";
    case PM_EXISTS:
        return "a frame of this number is there already";
    case PM_NOT_FOUND:
        return "there is no frame of this number";
    case PM_QUOTA_EXCEEDED:
        return "the account is at its limit";
    case PM_NO_MEMORY:
        return "the pool has no memory left";
    case PM_LOCKED:
        return "a lease is in the way";
    case PM_NO_TABLE_QUOTA:
        return "the account that pays for page tables is at its limit";
    case PM_OCCUPIED:
        return "something is mapped there already";
    case PM_NOT_ELIGIBLE:
        return "the account may not have extra frames";
    case PM_SHARED:
        return "the frame is shared into another container";
    case PM_PENDING:
        return "there is more to do";
    case PM_TOO_MANY:
        return "too many of this kind";
    case PM_KERNEL:
        return "the kernel refused";
    case PM_REVOKING:
        return "the share is being revoked";
    case PM_ABSENT:
        return "the frame's handler has not supplied it yet";
    case PM_DISCARDED:
        return "the extra frame was dropped under pressure";
    case PM_NOT_ARMED:
        return "the owner has not armed the share";
    case PM_UNKNOWN_OPERATION:
        return "unknown operation: is the server another one, or of another version?";
    case PM_WRONG_LENGTH:
        return "wrong number of registers";
    case PM_BAD_REPLY:
        return "unintelligible reply: is the channel that of the server?";
    case PM_STOPPED:
        return "the server was stopped";
    }
    return "no error of this protocol";
}

/** What a call came to. */
struct pm_result {
    /** PM_OK, or why it failed: then nothing was changed but what `done` says (PM-4). */
    enum pm_error error;
    /** How many frames, pages or grants were done and stay done, of a call that counts them. */
    uint32_t done;
    /** The frame number, address or deadline in microseconds that the error is about, or 0. */
    seL4_Word at;
};

/** Flags of pm_allocate(). */
enum pm_allocate_flags {
    /**
     * Keep the frames that were allocated before the first problem. Without it all frames are
     * allocated or none is.
     */
    PM_ALLOCATE_PARTIAL = 1,
    /** Replace a frame that exists already; its contents are lost. */
    PM_ALLOCATE_SQUASH = 2,
    /** Go above the limit of the account with extra frames, which may be asked back. */
    PM_ALLOCATE_EXTRA = 4,
    /** Give the frames physical memory at once, for a device; needs the privilege `dma`. */
    PM_ALLOCATE_DMA = 8,
};

/** Flags of pm_deallocate(). */
enum pm_deallocate_flags {
    /** Free nothing if a frame of the range is missing. */
    PM_DEALLOCATE_STRICT = 1,
};

/**
 * Flags of pm_copy() and pm_copy_list(). Without NEW the destination frames must exist, and their
 * contents are replaced. Without SHARED and MOVE both sides share memory copy-on-write.
 */
enum pm_copy_flags {
    /** The destination frames must not exist: they are allocated and charged. */
    PM_COPY_NEW = 1,
    /**
     * Source and destination have the same memory from now on, also when one is written to. Strong
     * handles only.
     */
    PM_COPY_SHARED = 2,
    /** Free the source frames. Strong handles only; not with SHARED. */
    PM_COPY_MOVE = 4,
    /** Copy all frames or none. */
    PM_COPY_ATOMIC = 8,
};

/**
 * Flags of pm_map(), pm_remap(), pm_attach() and pm_grant(), and the rights that they report back.
 */
enum pm_map_flags {
    /** Readable. */
    PM_MAP_READ = 1,
    /** Writable; implies READ. */
    PM_MAP_WRITE = 2,
    /**
     * With WRITE: give the frame memory of its own now and not at the first store. Without WRITE it
     * changes nothing (PM-86).
     */
    PM_MAP_FORCE_WRITE = 4,
    /** Executable; PM_INVALID together with WRITE. */
    PM_MAP_EXECUTE = 8,
    /**
     * Readable now and not at the first load: PM_ABSENT if a handler has yet to supply the frame
     * (PM-420). Implies READ.
     */
    PM_MAP_FORCE_READ = 16,
};

/** What a share allows. */
enum pm_rights {
    /** Map for reading, and copy from the frames. */
    PM_RIGHT_READ = 1,
    /** Map for writing, and copy to the frames. */
    PM_RIGHT_WRITE = 2,
    /** Lock for a limited time. */
    PM_RIGHT_LOCK = 4,
    /** No right: the peer can only take the range, once each time that it is armed (PM-430). */
    PM_RIGHT_ONCE = 8,
};

/** What an account handle allows. */
enum pm_account_rights {
    /** Charge it: for containers, tables, and accounts that are split off. */
    PM_ACCOUNT_ALLOCATE = 1,
    /** Read its limit and its use. */
    PM_ACCOUNT_READ = 2,
    /** Set its limit. */
    PM_ACCOUNT_SET = 4,
    /** Destroy it. */
    PM_ACCOUNT_DESTROY = 8,
    /** Remove it and transfer what it pays for to its parent. */
    PM_ACCOUNT_REMOVE = 16,
};

/** Flags of pm_account_split() and pm_account_set_limits(). */
enum pm_limit_flags {
    /** The account may have extra frames. */
    PM_LIMIT_EXTRA = 1,
    /**
     * pm_account_set_limits() only: the limit may be below what is used, and frames above it become
     * extra. Needs EXTRA and the privilege `set_policy`.
     */
    PM_LIMIT_EXCESS = 2,
};

/** Marks of a frame, set by pm_mark(). */
enum pm_marks {
    /** If this is an extra frame, it may be dropped without asking when memory is needed. */
    PM_MARK_DISCARDABLE = 1,
};

/** The state of one frame, as pm_status() returns it. */
enum pm_frame_state {
    /** The container has this frame. */
    PM_STATE_PRESENT = 1,
    /** It has physical memory. */
    PM_STATE_BOUND = 2,
    /** Other frames have the same memory until somebody writes. */
    PM_STATE_COW = 4,
    /** A share covers it, or it is one memory with another frame (SHARED). */
    PM_STATE_SHARED = 8,
    /** A lease covers it. */
    PM_STATE_LOCKED = 16,
    /** It is an extra frame. */
    PM_STATE_EXTRA = 32,
    /** It has the mark DISCARDABLE. */
    PM_STATE_DISCARDABLE = 64,
    /** It is mapped or granted somewhere. */
    PM_STATE_MAPPED = 128,
    /** A pin covers it: it keeps its physical memory. */
    PM_STATE_PINNED = 256,
    /** Its handler has not supplied it yet. */
    PM_STATE_ABSENT = 512,
    /** It was an extra frame and was dropped: it is not PRESENT and not charged. */
    PM_STATE_DISCARDED = 1024,
    /**
     * A pin on it ended while a device might still write. It has other memory since, with the
     * contents of that moment (PM-273).
     */
    PM_STATE_TAKEN_OVER = 2048,
};

/** What a lease keeps others from doing. */
enum pm_lock_mode {
    /** Only the holder writes: the mappings of others become read-only. */
    PM_LOCK_READ = 0,
    /** Only the holder has access: the mappings of others are taken away. */
    PM_LOCK_EXCLUSIVE = 1,
};

/** How a program accessed memory. */
enum pm_access {
    /** A load. */
    PM_ACCESS_READ = 0,
    /** A store. */
    PM_ACCESS_WRITE = 1,
    /** An instruction fetch. */
    PM_ACCESS_EXECUTE = 2,
};

/** What pm_disturb() does. */
enum pm_disturbance {
    /** Takes mappings away. They are restored at the next access, or by pm_remap(). */
    PM_DISTURB_UNMAP = 1,
    /** Moves the contents of frames to other physical memory, except for pinned frames. */
    PM_DISTURB_MOVE = 2,
};

/** One of pmserver's books, of which pm_inspect() returns the rows (PM-470). */
enum pm_book {
    /** The peers, with their names. */
    PM_BOOK_PEERS = 1,
    /** The accounts. */
    PM_BOOK_ACCOUNTS = 2,
    /** The containers. */
    PM_BOOK_CONTAINERS = 3,
    /** The shares. */
    PM_BOOK_SHARES = 4,
    /** The leases, pins among them. */
    PM_BOOK_LEASES = 5,
    /** What is mapped in the address spaces of peers, by peer and address. */
    PM_BOOK_MAPPINGS = 6,
    /** What is granted to peers, by peer and slot. */
    PM_BOOK_GRANTS = 7,
    /** The regions of the address spaces of peers, by peer and address. */
    PM_BOOK_REGIONS = 8,
    /** The pages of the pool, by what they are used as. */
    PM_BOOK_PAGES = 9,
};

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

/** An account: its limit and its use, in pages of PM_PAGE_BYTES. */
struct pm_account_info {
    /** The most that the account may use. */
    seL4_Word limit;
    /** Frames, each charged in full. */
    seL4_Word frames;
    /** Page tables. */
    seL4_Word tables;
    /** Slots for the capabilities of mappings and grants. */
    seL4_Word slots;
    /** Pmserver's records. */
    seL4_Word records;
    /** Extra frames, which do not count against the limit. */
    seL4_Word extra;
    /** The limits of accounts that were split off. */
    seL4_Word promised;
    /** Free memory of the pool; 0 for other accounts. */
    seL4_Word free;
};

/** A container that was made, filled and lent. */
struct pm_created {
    /** The container. */
    pm_container_t container;
    /** The share, with which the owner ends it. */
    pm_share_t share;
    /** What the owner tells the peer: the handle is the peer's. */
    pm_container_t weak_handle;
};

/** Which extra frames are asked back. */
struct pm_extra_request {
    /** How many; 0 if none are. */
    seL4_Word count;
    /** When it ends, in microseconds on pmserver's clock. */
    seL4_Word deadline;
    /** The number of the request; each has a higher one than the last. */
    seL4_Word sequence;
};

/** A pin, and where a device finds its first frames. */
struct pm_pinned {
    /** The lease. */
    pm_lease_t lease;
    /** When it ends, in microseconds on pmserver's clock. */
    seL4_Word deadline;
    /** Where a device finds the first frame. */
    seL4_Word bus_address;
    /** How many frames, with that one, are contiguous there. */
    seL4_Word run;
};

/** A fault that its handler has to answer; `fault` is 0 if there is none. */
struct pm_pending_fault {
    /** The fault: pm_supply() and pm_refuse() take it. */
    pm_fault_t fault;
    /** The range, as its handler is told it. */
    pm_range_t range;
    /** The cookie that pm_set_handler() gave the range: anybody's word. */
    seL4_Word cookie;
    /** How the frame was accessed, of enum pm_access. */
    seL4_Word access;
    /** The number of the frame. */
    seL4_Word frame;
};

/** The numbers of the operations. */
enum pm_operation {
    PM_OP_VERSION = 1,
    PM_OP_WHOAMI = 2,
    PM_OP_CLOCK = 3,
    PM_OP_CONTAINER_CREATE = 4,
    PM_OP_CONTAINER_DESTROY = 5,
    PM_OP_ALLOCATE = 6,
    PM_OP_DEALLOCATE = 7,
    PM_OP_SHARE = 8,
    PM_OP_UNSHARE = 9,
    PM_OP_LOCK = 10,
    PM_OP_UNLOCK = 11,
    PM_OP_MAP = 12,
    PM_OP_UNMAP = 13,
    PM_OP_STATUS = 14,
    PM_OP_ACCOUNT_INFO = 15,
    PM_OP_REGISTER_RECOVERY = 16,
    PM_OP_WATCH = 17,
    PM_OP_RESCUE = 18,
    PM_OP_RECLAIM = 19,
    PM_OP_REMAP = 20,
    PM_OP_RENEW = 21,
    PM_OP_ALLOCATE_ANYWHERE = 22,
    PM_OP_ALLOCATE_CONTIGUOUS = 23,
    PM_OP_COPY = 24,
    PM_OP_COPY_LIST = 25,
    PM_OP_CREATE_WITH = 26,
    PM_OP_CREATE_FROM = 27,
    PM_OP_CREATE_GATHER = 28,
    PM_OP_ATTACH = 29,
    PM_OP_DETACH = 30,
    PM_OP_GRANT = 31,
    PM_OP_UNGRANT = 32,
    PM_OP_ENSURE_TABLES = 33,
    PM_OP_ACCOUNT_SPLIT = 34,
    PM_OP_ACCOUNT_DESTROY = 35,
    PM_OP_ACCOUNT_REMOVE = 36,
    PM_OP_ACCOUNT_SET_LIMITS = 37,
    PM_OP_ACCOUNT_LEND = 38,
    PM_OP_ACCOUNT_RECALL = 39,
    PM_OP_VSPACE_ACCOUNT = 40,
    PM_OP_MARK = 41,
    PM_OP_EXTRA_REQUEST = 42,
    PM_OP_PIN = 43,
    PM_OP_BUS_ADDRESS = 44,
    PM_OP_DEVICE_RESET = 45,
    PM_OP_SET_HANDLER = 46,
    PM_OP_NEXT_FAULT = 47,
    PM_OP_SUPPLY = 48,
    PM_OP_REFUSE = 49,
    PM_OP_DISTURB = 50,
    PM_OP_ARM = 51,
    PM_OP_DISARM = 52,
    PM_OP_TAKE = 53,
    PM_OP_INSPECT = 54,
};

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

/**
 * Returns the version of the protocol.
 *
 * Anyone; constant time; idempotent.
 *
 * One call: constant; idempotent. Rules: PM-10 to PM-11.
 *
 * @param version PM_PROTOCOL_VERSION; may be NULL
 * @return errors: PM_INVALID, and PM_KERNEL, PM_NO_MEMORY or PM_PENDING where it needs memory
 *     (PM-14)
 */
static inline struct pm_result pm_version(seL4_Word *version)
{
    struct pm_result call = pm_call(PM_OP_VERSION, 0, 1);
    if (call.error == PM_OK && version) {
        *version = microkit_mr_get(0);
    }
    return call;
}

/**
 * Returns the caller's peer number and its own account.
 *
 * Anyone; constant time; idempotent.
 *
 * One call: constant; idempotent. Rules: PM-10 to PM-11.
 *
 * @param peer the number by which others share to the caller; may be NULL
 * @param account the account; may be NULL
 * @return errors: PM_INVALID, and PM_KERNEL, PM_NO_MEMORY or PM_PENDING where it needs memory
 *     (PM-14)
 */
static inline struct pm_result pm_whoami(seL4_Word *peer, pm_account_t *account)
{
    struct pm_result call = pm_call(PM_OP_WHOAMI, 0, 2);
    if (call.error == PM_OK && peer) {
        *peer = microkit_mr_get(0);
    }
    if (call.error == PM_OK && account) {
        account->raw = microkit_mr_get(1);
    }
    return call;
}

/**
 * Returns the time on pmserver's clock, in microseconds.
 *
 * Anyone; constant time; idempotent.
 *
 * One call: constant; idempotent. Rules: PM-10 to PM-11.
 *
 * @param microseconds the time, in microseconds; may be NULL
 * @return errors: PM_INVALID, and PM_KERNEL, PM_NO_MEMORY or PM_PENDING where it needs memory
 *     (PM-14)
 */
static inline struct pm_result pm_clock(seL4_Word *microseconds)
{
    struct pm_result call = pm_call(PM_OP_CLOCK, 0, 1);
    if (call.error == PM_OK && microseconds) {
        *microseconds = microkit_mr_get(0);
    }
    return call;
}

/**
 * Makes an empty container. The account pays for it and for all frames in it.
 *
 * Needs ALLOCATE on the account. Charged: a record. Constant time.
 *
 * One call: constant; not idempotent. Rules: PM-20.
 *
 * @param account the account; PM_ACCOUNT_OWN is the caller's own
 * @param container the container; may be NULL
 * @return errors: PM_QUOTA_EXCEEDED; besides PM_INVALID, and PM_KERNEL, PM_NO_MEMORY or PM_PENDING
 *     where it needs memory (PM-14)
 */
static inline struct pm_result pm_container_create(pm_account_t account, pm_container_t *container)
{
    microkit_mr_set(0, account.raw);
    struct pm_result call = pm_call(PM_OP_CONTAINER_CREATE, 1, 1);
    if (call.error == PM_OK && container) {
        container->raw = microkit_mr_get(0);
    }
    return call;
}

/**
 * Destroys a container with all its frames.
 *
 * The owner. At most 256 frames a call.
 *
 * One call: 256 frames, each with 4 mappings; in steps; idempotent. Rules: PM-21 to PM-24.
 *
 * @param container the container
 * @return errors: PM_PENDING; besides PM_INVALID, and PM_KERNEL, PM_NO_MEMORY or PM_PENDING where
 *     it needs memory (PM-14)
 */
static inline struct pm_result pm_container_destroy(pm_container_t container)
{
    microkit_mr_set(0, container.raw);
    return pm_call(PM_OP_CONTAINER_DESTROY, 1, 0);
}

/**
 * Allocates frames with the numbers of a range.
 *
 * The owner. Charged: frames, and the records for them. Flags: 1 PARTIAL, 2 SQUASH, 4 EXTRA, 8 DMA.
 *
 * One call: 256 or 512 frames; goes on with SQUASH, prepares with DMA; idempotent. Rules: PM-30 to
 * PM-34, PM-36, PM-382.
 *
 * @param container the container
 * @param start the number of the first frame
 * @param count how many frames: 1 to PM_CALL_FRAMES_MAX, or PM_LARGE_FRAMES from a multiple of it
 *     on (PM-445)
 * @param flags of enum pm_allocate_flags
 * @return in `done` how many were done; errors: PM_EXISTS, PM_QUOTA_EXCEEDED, PM_LOCKED,
 *     PM_NOT_ELIGIBLE, PM_NO_RIGHT (DMA), PM_TOO_MANY (512); besides PM_INVALID, and PM_KERNEL,
 *     PM_NO_MEMORY or PM_PENDING where it needs memory (PM-14)
 */
static inline struct pm_result pm_allocate(pm_container_t container, seL4_Word start,
        seL4_Word count, seL4_Word flags)
{
    microkit_mr_set(0, container.raw);
    microkit_mr_set(1, start);
    microkit_mr_set(2, count);
    microkit_mr_set(3, flags);
    struct pm_result call = pm_call(PM_OP_ALLOCATE, 4, 1);
    if (call.error == PM_OK) {
        call.done = (uint32_t)microkit_mr_get(0);
    }
    return call;
}

/**
 * Frees the frames of a range.
 *
 * The owner. Flags: 1 STRICT.
 *
 * One call: 256 or 512 frames, each with 4 mappings; goes on; idempotent. Rules: PM-40 to PM-42.
 *
 * @param container the container
 * @param start the number of the first frame
 * @param count how many frames: 1 to PM_CALL_FRAMES_MAX, or PM_LARGE_FRAMES from a multiple of it
 *     on (PM-445)
 * @param flags of enum pm_deallocate_flags
 * @return in `done` how many were freed; errors: PM_NOT_FOUND (STRICT), PM_LOCKED; besides
 *     PM_INVALID, and PM_KERNEL, PM_NO_MEMORY or PM_PENDING where it needs memory (PM-14)
 */
static inline struct pm_result pm_deallocate(pm_container_t container, seL4_Word start,
        seL4_Word count, seL4_Word flags)
{
    microkit_mr_set(0, container.raw);
    microkit_mr_set(1, start);
    microkit_mr_set(2, count);
    microkit_mr_set(3, flags);
    struct pm_result call = pm_call(PM_OP_DEALLOCATE, 4, 1);
    if (call.error == PM_OK) {
        call.done = (uint32_t)microkit_mr_get(0);
    }
    return call;
}

/**
 * Shares a range of frame numbers with a peer. The range may be of any length, as no frame is
 * touched, and includes frames that are allocated in it later.
 *
 * The owner. Charged to the container's account: a record. Constant time. Rights: 1 READ, 2 WRITE
 * (which implies READ), 4 LOCK; and 8 ONCE, which is no right: the peer can only take the range
 * (PM-430).
 *
 * One call: constant; not idempotent. Rules: PM-50 to PM-52.
 *
 * @param container the container
 * @param start the number of the first frame
 * @param count how many frame numbers: any, as no frame is touched
 * @param terms to whom it is lent, and on which terms
 * @param share the share, with which the owner ends it; may be NULL
 * @param weak_handle what the owner tells the peer: the handle is the peer's; may be NULL
 * @return errors: PM_QUOTA_EXCEEDED, PM_TOO_MANY; besides PM_INVALID, and PM_KERNEL, PM_NO_MEMORY
 *     or PM_PENDING where it needs memory (PM-14)
 */
static inline struct pm_result pm_share(pm_container_t container, seL4_Word start, seL4_Word count,
        struct pm_terms terms, pm_share_t *share, pm_container_t *weak_handle)
{
    microkit_mr_set(0, container.raw);
    microkit_mr_set(1, start);
    microkit_mr_set(2, count);
    microkit_mr_set(3, pm_terms_word(terms));
    struct pm_result call = pm_call(PM_OP_SHARE, 4, 2);
    if (call.error == PM_OK && share) {
        share->raw = microkit_mr_get(0);
    }
    if (call.error == PM_OK && weak_handle) {
        weak_handle->raw = microkit_mr_get(1);
    }
    return call;
}

/**
 * Ends a share. It succeeds only when the peer has no access through it left.
 *
 * The owner. At most 256 mappings and grants a call.
 *
 * One call: 256 mappings; in steps; idempotent. Rules: PM-60 to PM-63.
 *
 * @param share the share, for the container's owner
 * @return errors: PM_LOCKED, PM_PENDING; besides PM_INVALID, and PM_KERNEL, PM_NO_MEMORY or
 *     PM_PENDING where it needs memory (PM-14)
 */
static inline struct pm_result pm_unshare(pm_share_t share)
{
    microkit_mr_set(0, share.raw);
    return pm_call(PM_OP_UNSHARE, 1, 0);
}

/**
 * Locks a range for `ttl` microseconds, at most one second.
 *
 * The owner, or a holder of a weak handle with LOCK. Charged to the caller's own account: a record.
 * Mode: 0 read, 1 exclusive. The range may have holes; frames allocated into it later are locked,
 * too.
 *
 * One call: 256 or 512 frames, each in a ring of 8 with 4 mappings each; prepares; not idempotent.
 * Rules: PM-70 to PM-78, PM-344.
 *
 * @param container the container
 * @param start the number of the first frame
 * @param count how many frames: 1 to PM_CALL_FRAMES_MAX, or PM_LARGE_FRAMES from a multiple of it
 *     on (PM-445)
 * @param mode of enum pm_lock_mode
 * @param ttl_us for how long, in microseconds: 1 to PM_LEASE_US_MAX
 * @param lease the lease; may be NULL
 * @param deadline when it ends, in microseconds on pmserver's clock; may be NULL
 * @return errors: PM_LOCKED, PM_SHARED, PM_REVOKING, PM_TOO_MANY, PM_QUOTA_EXCEEDED; besides
 *     PM_INVALID, and PM_KERNEL, PM_NO_MEMORY or PM_PENDING where it needs memory (PM-14)
 */
static inline struct pm_result pm_lock(pm_container_t container, seL4_Word start, seL4_Word count,
        seL4_Word mode, seL4_Word ttl_us, pm_lease_t *lease, seL4_Word *deadline)
{
    microkit_mr_set(0, container.raw);
    microkit_mr_set(1, start);
    microkit_mr_set(2, pm_field(count, 0, 16) | pm_field(mode, 16, 16));
    microkit_mr_set(3, ttl_us);
    struct pm_result call = pm_call(PM_OP_LOCK, 4, 2);
    if (call.error == PM_OK && lease) {
        lease->raw = microkit_mr_get(0);
    }
    if (call.error == PM_OK && deadline) {
        *deadline = microkit_mr_get(1);
    }
    return call;
}

/**
 * Ends a lease before its deadline; the lease of a pin also after it. Gives back what was taken.
 *
 * The owner, or a holder of a weak handle with LOCK. Charged to the caller's own account: a record.
 * Mode: 0 read, 1 exclusive. The range may have holes; frames allocated into it later are locked,
 * too.
 *
 * One call: constant; of a pin 256 frames, of a take 256 mappings; in steps; idempotent. Rules:
 * PM-70 to PM-78, PM-344.
 *
 * @param lease the lease, for who took it
 * @return errors: PM_INVALID_CAP, PM_PENDING; besides PM_INVALID, and PM_KERNEL, PM_NO_MEMORY or
 *     PM_PENDING where it needs memory (PM-14)
 */
static inline struct pm_result pm_unlock(pm_lease_t lease)
{
    microkit_mr_set(0, lease.raw);
    return pm_call(PM_OP_UNLOCK, 1, 0);
}

/**
 * Maps frames from the page `vaddr` on in the caller's address space.
 *
 * The owner, or a holder of a weak handle. Charged to the account of the caller's VSpace (PM-250):
 * page tables, capability slots, records. Flags: 1 READ, 2 WRITE (which implies READ), 4
 * FORCE_WRITE, 8 EXECUTE, 16 FORCE_READ.
 *
 * One call: 256 or 512 frames, a copy of each with FORCE_WRITE; goes on; idempotent. Rules: PM-80
 * to PM-87, PM-340, PM-383, PM-420.
 *
 * @param container the container
 * @param start the number of the first frame
 * @param vaddr the address of the first page, a multiple of PM_PAGE_BYTES
 * @param count how many frames: 1 to PM_CALL_FRAMES_MAX, or PM_LARGE_FRAMES from a multiple of it
 *     on (PM-445)
 * @param flags of enum pm_map_flags
 * @param runs how many were mapped with which rights; may be NULL
 * @return in `done` how many were mapped; errors: PM_NOT_FOUND, PM_LOCKED, PM_OCCUPIED,
 *     PM_NO_TABLE_QUOTA, PM_TOO_MANY, PM_REVOKING, PM_ABSENT, PM_DISCARDED; besides PM_INVALID, and
 *     PM_KERNEL, PM_NO_MEMORY or PM_PENDING where it needs memory (PM-14)
 */
static inline struct pm_result pm_map(pm_container_t container, seL4_Word start, uintptr_t vaddr,
        seL4_Word count, seL4_Word flags, struct pm_runs *runs)
{
    microkit_mr_set(0, container.raw);
    microkit_mr_set(1, start);
    microkit_mr_set(2, vaddr);
    microkit_mr_set(3, pm_field(count, 0, 16) | pm_field(flags, 16, 16));
    struct pm_result call = pm_call(PM_OP_MAP, 4, 4);
    if (call.error == PM_OK) {
        call.done = (uint32_t)microkit_mr_get(0);
    }
    if (call.error == PM_OK && runs) {
        pm_take_runs(runs);
    }
    return call;
}

/**
 * Unmaps `count` pages from `vaddr` on in the caller's address space.
 *
 * The VSpace's own peer.
 *
 * One call: 256 or 512 pages; goes on; idempotent. Rules: PM-90.
 *
 * @param vaddr the address of the first page, a multiple of PM_PAGE_BYTES
 * @param count how many pages: 1 to PM_CALL_FRAMES_MAX, or PM_LARGE_FRAMES (PM-445)
 * @return in `done` how many were unmapped; errors: PM_INVALID, and PM_KERNEL, PM_NO_MEMORY or
 *     PM_PENDING where it needs memory (PM-14)
 */
static inline struct pm_result pm_unmap(uintptr_t vaddr, seL4_Word count)
{
    microkit_mr_set(0, vaddr);
    microkit_mr_set(1, count);
    struct pm_result call = pm_call(PM_OP_UNMAP, 2, 1);
    if (call.error == PM_OK) {
        call.done = (uint32_t)microkit_mr_get(0);
    }
    return call;
}

/**
 * Returns the state of frames, of at most 24 in one call.
 *
 * The owner. At most 24 frames: a larger count is cut to that, and the reply says so. 16 bits a
 * frame, in order, from the lowest bits of r1: 1 PRESENT, 2 BOUND, 4 COW, 8 SHARED, 16 LOCKED, 32
 * EXTRA, 64 DISCARDABLE, 128 MAPPED, 256 PINNED, 512 ABSENT, 1024 DISCARDED, 2048 TAKEN_OVER.
 *
 * One call: 24 frames; idempotent. Rules: PM-100.
 *
 * @param container the container
 * @param start the number of the first frame
 * @param count how many frames: at least 1; more than PM_STATUS_FRAMES_MAX are cut
 * @param states the states of the frames, in order; may be NULL
 * @return errors: PM_INVALID, and PM_KERNEL, PM_NO_MEMORY or PM_PENDING where it needs memory
 *     (PM-14)
 */
static inline struct pm_result pm_status(pm_container_t container, seL4_Word start, seL4_Word count,
        struct pm_states *states)
{
    microkit_mr_set(0, container.raw);
    microkit_mr_set(1, start);
    microkit_mr_set(2, count);
    struct pm_result call = pm_call(PM_OP_STATUS, 3, 7);
    if (call.error == PM_OK && states) {
        pm_take_states(states);
    }
    return call;
}

/**
 * Returns the limit and the use of an account.
 *
 * Needs READ. Constant time.
 *
 * One call: constant; idempotent. Rules: PM-110 to PM-112.
 *
 * @param account the account; PM_ACCOUNT_OWN is the caller's own
 * @param result the result; may be NULL
 * @return errors: PM_INVALID, and PM_KERNEL, PM_NO_MEMORY or PM_PENDING where it needs memory
 *     (PM-14)
 */
static inline struct pm_result pm_account_info(pm_account_t account, struct pm_account_info *result)
{
    microkit_mr_set(0, account.raw);
    struct pm_result call = pm_call(PM_OP_ACCOUNT_INFO, 1, 4);
    if (call.error == PM_OK && result) {
        result->limit = microkit_mr_get(0) & 0xffffffff;
        result->frames = microkit_mr_get(0) >> 32;
        result->tables = microkit_mr_get(1) & 0xffffffff;
        result->slots = microkit_mr_get(1) >> 32;
        result->records = microkit_mr_get(2) & 0xffffffff;
        result->extra = microkit_mr_get(2) >> 32;
        result->promised = microkit_mr_get(3) & 0xffffffff;
        result->free = microkit_mr_get(3) >> 32;
    }
    return call;
}

/**
 * Registers where the caller continues, and with which stack, after it has faulted (PM-120).
 *
 * How a caller gets its answer when its server faults or hangs, and what becomes of a fault.
 *
 * One call: constant; idempotent. Rules: PM-120 to PM-124, PM-354, PM-370 to PM-374.
 *
 * @param entry where the program goes on
 * @param stack_top the stack it has there
 * @return errors: PM_INVALID, and PM_KERNEL, PM_NO_MEMORY or PM_PENDING where it needs memory
 *     (PM-14)
 */
static inline struct pm_result pm_register_recovery(uintptr_t entry, uintptr_t stack_top)
{
    microkit_mr_set(0, entry);
    microkit_mr_set(1, stack_top);
    return pm_call(PM_OP_REGISTER_RECOVERY, 2, 0);
}

/**
 * Announces that the caller is about to call a server. A supervisor may rescue the server after
 * `ttl` microseconds, at most ten seconds. A `ttl` of 0 ends the watch. The system file says whom a
 * peer calls: another is PM_NO_RIGHT (PM-371).
 *
 * How a caller gets its answer when its server faults or hangs, and what becomes of a fault.
 *
 * One call: 31 peers; not idempotent. Rules: PM-120 to PM-124, PM-354, PM-370 to PM-374.
 *
 * @param peer the number of the peer: 1 to 31
 * @param ttl_us for how long, in microseconds: at most ten seconds; 0 ends the watch
 * @param deadline when it ends, in microseconds on pmserver's clock; may be NULL
 * @return errors: PM_NO_RIGHT; besides PM_INVALID, and PM_KERNEL, PM_NO_MEMORY or PM_PENDING where
 *     it needs memory (PM-14)
 */
static inline struct pm_result pm_watch(seL4_Word peer, seL4_Word ttl_us, seL4_Word *deadline)
{
    microkit_mr_set(0, peer);
    microkit_mr_set(1, ttl_us);
    struct pm_result call = pm_call(PM_OP_WATCH, 2, 1);
    if (call.error == PM_OK && deadline) {
        *deadline = microkit_mr_get(0);
    }
    return call;
}

/**
 * Sends every server whose watch has run out to the entry that it registered, or stops it if it has
 * none (PM-123).
 *
 * How a caller gets its answer when its server faults or hangs, and what becomes of a fault.
 *
 * One call: 31 peers; in steps; idempotent. Rules: PM-120 to PM-124, PM-354, PM-370 to PM-374.
 *
 * @param rescued how many servers were sent to their entry, or stopped; may be NULL
 * @param next_deadline when the next watch runs out; 2^64 - 1 if there is none; may be NULL
 * @return errors: PM_NO_RIGHT; besides PM_INVALID, and PM_KERNEL, PM_NO_MEMORY or PM_PENDING where
 *     it needs memory (PM-14)
 */
static inline struct pm_result pm_rescue(seL4_Word *rescued, seL4_Word *next_deadline)
{
    struct pm_result call = pm_call(PM_OP_RESCUE, 0, 2);
    if (call.error == PM_OK && rescued) {
        *rescued = microkit_mr_get(0);
    }
    if (call.error == PM_OK && next_deadline) {
        *next_deadline = microkit_mr_get(1);
    }
    return call;
}

/**
 * Frees a bounded part of what is waiting to be torn down, in the caller's time.
 *
 * Anyone. At most 64 frames a call.
 *
 * One call: 64 frames or records; in steps; not idempotent. Rules: PM-130.
 *
 * @param objects_left how many objects wait to be torn down; may be NULL
 * @return errors: PM_INVALID, and PM_KERNEL, PM_NO_MEMORY or PM_PENDING where it needs memory
 *     (PM-14)
 */
static inline struct pm_result pm_reclaim(seL4_Word *objects_left)
{
    struct pm_result call = pm_call(PM_OP_RECLAIM, 0, 1);
    if (call.error == PM_OK && objects_left) {
        *objects_left = microkit_mr_get(0);
    }
    return call;
}

/**
 * Restores mappings of the caller that pmserver has taken away, with new rights.
 *
 * The VSpace's own peer. Flags as for pm_map().
 *
 * One call: 256 or 512 frames, a copy of each with FORCE_WRITE; goes on; idempotent. Rules: PM-140.
 *
 * @param vaddr the address of the first page, a multiple of PM_PAGE_BYTES
 * @param count how many pages: 1 to PM_CALL_FRAMES_MAX, or PM_LARGE_FRAMES (PM-445)
 * @param flags of enum pm_map_flags
 * @param runs how many were mapped with which rights; may be NULL
 * @return in `done` how many were mapped; errors: PM_NOT_FOUND, PM_LOCKED, PM_NO_TABLE_QUOTA,
 *     PM_TOO_MANY, PM_REVOKING, PM_ABSENT, PM_DISCARDED; besides PM_INVALID, and PM_KERNEL,
 *     PM_NO_MEMORY or PM_PENDING where it needs memory (PM-14)
 */
static inline struct pm_result pm_remap(uintptr_t vaddr, seL4_Word count, seL4_Word flags,
        struct pm_runs *runs)
{
    microkit_mr_set(0, vaddr);
    microkit_mr_set(1, count);
    microkit_mr_set(2, flags);
    struct pm_result call = pm_call(PM_OP_REMAP, 3, 4);
    if (call.error == PM_OK) {
        call.done = (uint32_t)microkit_mr_get(0);
    }
    if (call.error == PM_OK && runs) {
        pm_take_runs(runs);
    }
    return call;
}

/**
 * Drops the contents of frames, which then read as zero and stay charged.
 *
 * The owner.
 *
 * One call: 256 frames, each with 4 mappings; goes on; idempotent. Rules: PM-145.
 *
 * @param container the container
 * @param start the number of the first frame
 * @param count how many frames: 1 to PM_CALL_FRAMES_MAX
 * @return in `done` how many were renewed; errors: PM_LOCKED; besides PM_INVALID, and PM_KERNEL,
 *     PM_NO_MEMORY or PM_PENDING where it needs memory (PM-14)
 */
static inline struct pm_result pm_renew(pm_container_t container, seL4_Word start, seL4_Word count)
{
    microkit_mr_set(0, container.raw);
    microkit_mr_set(1, start);
    microkit_mr_set(2, count);
    struct pm_result call = pm_call(PM_OP_RENEW, 3, 1);
    if (call.error == PM_OK) {
        call.done = (uint32_t)microkit_mr_get(0);
    }
    return call;
}

/**
 * Allocates frames with consecutive numbers that pmserver chooses (PM-150).
 *
 * The owner. Flags as for pm_allocate(), without SQUASH, which is PM_INVALID.
 *
 * One call: 256 frames; prepares with DMA; not idempotent. Rules: PM-150.
 *
 * @param container the container
 * @param count how many frames: 1 to PM_CALL_FRAMES_MAX
 * @param flags of enum pm_allocate_flags
 * @param start the number of the first frame; may be NULL
 * @return in `done` how many were done; errors: PM_QUOTA_EXCEEDED, PM_LOCKED, PM_NOT_ELIGIBLE,
 *     PM_NO_RIGHT (DMA), PM_TOO_MANY; besides PM_INVALID, and PM_KERNEL, PM_NO_MEMORY or PM_PENDING
 *     where it needs memory (PM-14)
 */
static inline struct pm_result pm_allocate_anywhere(pm_container_t container, seL4_Word count,
        seL4_Word flags, seL4_Word *start)
{
    microkit_mr_set(0, container.raw);
    microkit_mr_set(1, count);
    microkit_mr_set(2, flags);
    struct pm_result call = pm_call(PM_OP_ALLOCATE_ANYWHERE, 3, 2);
    if (call.error == PM_OK) {
        call.done = (uint32_t)microkit_mr_get(1);
    }
    if (call.error == PM_OK && start) {
        *start = microkit_mr_get(0);
    }
    return call;
}

/**
 * Allocates physically contiguous frames for a device. The first byte has an address that is a
 * multiple of `2^align_bits` (0 to 63), the last one an address below `2^limit_bits` (0 to 64).
 *
 * The owner, with the privilege `dma`: else PM_NO_RIGHT. At most 256 frames; the search looks at a
 * bounded number of pages a call and is PM_PENDING with `at` 0 where it has not seen all.
 *
 * One call: 256 frames, 1024 pages looked at; prepares; idempotent. Rules: PM-155.
 *
 * @param container the container
 * @param start the number of the first frame
 * @param count how many frames: 1 to PM_CALL_FRAMES_MAX
 * @param align the address is a multiple of 2^align bytes: 0 to 63
 * @param limit the end is at or below 2^limit bytes: 0 to 64
 * @return in `done` how many were done; errors: PM_EXISTS, PM_QUOTA_EXCEEDED, PM_LOCKED,
 *     PM_NO_RIGHT, PM_NO_MEMORY, PM_PENDING; besides PM_INVALID, and PM_KERNEL, PM_NO_MEMORY or
 *     PM_PENDING where it needs memory (PM-14)
 */
static inline struct pm_result pm_allocate_contiguous(pm_container_t container, seL4_Word start,
        seL4_Word count, seL4_Word align, seL4_Word limit)
{
    microkit_mr_set(0, container.raw);
    microkit_mr_set(1, start);
    microkit_mr_set(2, count);
    microkit_mr_set(3, pm_field(align, 0, 16) | pm_field(limit, 16, 16));
    struct pm_result call = pm_call(PM_OP_ALLOCATE_CONTIGUOUS, 4, 1);
    if (call.error == PM_OK) {
        call.done = (uint32_t)microkit_mr_get(0);
    }
    return call;
}

/**
 * Copies a range of frames to a range of the same length.
 *
 * Source: the owner, or a weak handle with READ. Destination: the owner, or a weak handle with
 * WRITE and without NEW. Flags: 1 NEW, 2 SHARED, 4 MOVE, 8 ATOMIC. pm_copy_list() copies one to
 * seven pairs of frames.
 *
 * One call: 256 frames, each in a ring of 8 with 4 mappings each, or 512; goes on, or prepares; not
 * idempotent. Rules: PM-160 to PM-166, PM-330.
 *
 * @param source the container to copy from
 * @param source_start the number of the first frame there
 * @param destination the container to copy to
 * @param destination_start the number of the first frame there
 * @param count how many frames: 1 to PM_CALL_FRAMES_MAX, or PM_LARGE_FRAMES from a multiple of it
 *     on (PM-445)
 * @param flags of enum pm_copy_flags
 * @return in `done` how many were done; errors: PM_NOT_FOUND, PM_EXISTS (NEW), PM_LOCKED,
 *     PM_TOO_MANY (SHARED, ATOMIC, 512), PM_ABSENT, PM_DISCARDED, PM_QUOTA_EXCEEDED; besides
 *     PM_INVALID, and PM_KERNEL, PM_NO_MEMORY or PM_PENDING where it needs memory (PM-14)
 */
static inline struct pm_result pm_copy(pm_container_t source, seL4_Word source_start,
        pm_container_t destination, seL4_Word destination_start, seL4_Word count, seL4_Word flags)
{
    microkit_mr_set(0, source.raw);
    microkit_mr_set(1, source_start);
    microkit_mr_set(2, destination.raw);
    microkit_mr_set(3, destination_start);
    struct pm_result call = pm_call(PM_OP_COPY | pm_field(count, 16, 16) | pm_field(flags, 32, 16), 4, 1);
    if (call.error == PM_OK) {
        call.done = (uint32_t)microkit_mr_get(0);
    }
    return call;
}

/**
 * Copies 1 to 7 single frames, each pair from its first number to its second.
 *
 * Source: the owner, or a weak handle with READ. Destination: the owner, or a weak handle with
 * WRITE and without NEW. Flags: 1 NEW, 2 SHARED, 4 MOVE, 8 ATOMIC. pm_copy_list() copies one to
 * seven pairs of frames.
 *
 * One call: 7 frames, each in a ring of 8 with 4 mappings each; goes on, or prepares; not
 * idempotent. Rules: PM-160 to PM-166, PM-330.
 *
 * @param source the container to copy from
 * @param destination the container to copy to
 * @param pairs the numbers of 1 to PM_PAIRS_MAX frames, and where to
 * @param count how many of them
 * @param flags of enum pm_copy_flags
 * @return in `done` how many were done; errors: PM_NOT_FOUND, PM_EXISTS (NEW), PM_LOCKED,
 *     PM_TOO_MANY (SHARED, ATOMIC), PM_ABSENT, PM_DISCARDED, PM_QUOTA_EXCEEDED (NEW); besides
 *     PM_INVALID, and PM_KERNEL, PM_NO_MEMORY or PM_PENDING where it needs memory (PM-14)
 */
static inline struct pm_result pm_copy_list(pm_container_t source, pm_container_t destination,
        const struct pm_pair *pairs, seL4_Word count, seL4_Word flags)
{
    if (count > PM_PAIRS_MAX) {
        return pm_outcome(PM_INVALID);
    }
    microkit_mr_set(0, source.raw);
    microkit_mr_set(1, destination.raw);
    for (seL4_Word i = 0; i < count; i++) {
        microkit_mr_set((seL4_Uint8)(2 + 2 * i), pairs[i].from);
        microkit_mr_set((seL4_Uint8)(3 + 2 * i), pairs[i].to);
    }
    struct pm_result call = pm_call(PM_OP_COPY_LIST | pm_field(flags, 32, 16), (seL4_Uint16)(2 + 2 * count), 1);
    if (call.error == PM_OK) {
        call.done = (uint32_t)microkit_mr_get(0);
    }
    return call;
}

/**
 * Makes a container with new frames `0..count` and shares them: all or nothing.
 *
 * Need ALLOCATE on the account. pm_create_gather() takes one to 13 frame numbers.
 *
 * One call: 256 frames; not idempotent. Rules: PM-170.
 *
 * @param account the account; PM_ACCOUNT_OWN is the caller's own
 * @param count how many frames: 1 to PM_CALL_FRAMES_MAX
 * @param terms to whom it is lent, and on which terms
 * @param result the result; may be NULL
 * @return errors: as allocate and share; besides PM_INVALID, and PM_KERNEL, PM_NO_MEMORY or
 *     PM_PENDING where it needs memory (PM-14)
 */
static inline struct pm_result pm_create_with(pm_account_t account, seL4_Word count,
        struct pm_terms terms, struct pm_created *result)
{
    microkit_mr_set(0, account.raw);
    microkit_mr_set(1, count);
    microkit_mr_set(2, pm_terms_word(terms));
    struct pm_result call = pm_call(PM_OP_CREATE_WITH, 3, 3);
    if (call.error == PM_OK && result) {
        result->container.raw = microkit_mr_get(0);
        result->share.raw = microkit_mr_get(1);
        result->weak_handle.raw = microkit_mr_get(2);
    }
    return call;
}

/**
 * As pm_create_with(), but with copies of a range of frames.
 *
 * Need ALLOCATE on the account. pm_create_gather() takes one to 13 frame numbers.
 *
 * One call: 256 frames; prepares; not idempotent. Rules: PM-170.
 *
 * @param account the account; PM_ACCOUNT_OWN is the caller's own
 * @param source the container to copy from
 * @param start the number of the first frame
 * @param count how many frames: 1 to PM_CALL_FRAMES_MAX
 * @param terms to whom it is lent, and on which terms
 * @param result the result; may be NULL
 * @return errors: as copy and share; besides PM_INVALID, and PM_KERNEL, PM_NO_MEMORY or PM_PENDING
 *     where it needs memory (PM-14)
 */
static inline struct pm_result pm_create_from(pm_account_t account, pm_container_t source,
        seL4_Word start, seL4_Word count, struct pm_terms terms, struct pm_created *result)
{
    microkit_mr_set(0, account.raw);
    microkit_mr_set(1, source.raw);
    microkit_mr_set(2, start);
    microkit_mr_set(3, pm_terms_word(terms));
    struct pm_result call = pm_call(PM_OP_CREATE_FROM | pm_field(count, 16, 16), 4, 3);
    if (call.error == PM_OK && result) {
        result->container.raw = microkit_mr_get(0);
        result->share.raw = microkit_mr_get(1);
        result->weak_handle.raw = microkit_mr_get(2);
    }
    return call;
}

/**
 * As pm_create_with(), but with copies of 1 to 13 listed frames.
 *
 * Need ALLOCATE on the account. pm_create_gather() takes one to 13 frame numbers.
 *
 * One call: 13 frames; prepares; not idempotent. Rules: PM-170.
 *
 * @param account the account; PM_ACCOUNT_OWN is the caller's own
 * @param source the container to copy from
 * @param terms to whom it is lent, and on which terms
 * @param frames the numbers of 1 to PM_FRAMES_MAX frames
 * @param count how many of them
 * @param result the result; may be NULL
 * @return errors: as copy_list and share; besides PM_INVALID, and PM_KERNEL, PM_NO_MEMORY or
 *     PM_PENDING where it needs memory (PM-14)
 */
static inline struct pm_result pm_create_gather(pm_account_t account, pm_container_t source,
        struct pm_terms terms, const seL4_Word *frames, seL4_Word count, struct pm_created *result)
{
    if (count > PM_FRAMES_MAX) {
        return pm_outcome(PM_INVALID);
    }
    microkit_mr_set(0, account.raw);
    microkit_mr_set(1, source.raw);
    microkit_mr_set(2, pm_terms_word(terms));
    for (seL4_Word i = 0; i < count; i++) {
        microkit_mr_set((seL4_Uint8)(3 + i), frames[i]);
    }
    struct pm_result call = pm_call(PM_OP_CREATE_GATHER, (seL4_Uint16)(3 + count), 3);
    if (call.error == PM_OK && result) {
        result->container.raw = microkit_mr_get(0);
        result->share.raw = microkit_mr_get(1);
        result->weak_handle.raw = microkit_mr_get(2);
    }
    return call;
}

/**
 * Makes a region of `count` pages in the caller's address space. pmserver maps a frame of the
 * container when its page is first touched.
 *
 * The owner, or a holder of a weak handle. Charged to the account of the VSpace: a record. Flags as
 * for pm_map().
 *
 * One call: constant; idempotent. Rules: PM-200 to PM-203, PM-384.
 *
 * @param container the container
 * @param start the number of the first frame
 * @param vaddr the address of the first page, a multiple of PM_PAGE_BYTES
 * @param count how many pages: 1 to 2^32 - 1
 * @param flags of enum pm_map_flags
 * @return errors: PM_OCCUPIED, PM_NO_TABLE_QUOTA, PM_TOO_MANY, PM_REVOKING; besides PM_INVALID, and
 *     PM_KERNEL, PM_NO_MEMORY or PM_PENDING where it needs memory (PM-14)
 */
static inline struct pm_result pm_attach(pm_container_t container, seL4_Word start, uintptr_t vaddr,
        seL4_Word count, seL4_Word flags)
{
    microkit_mr_set(0, container.raw);
    microkit_mr_set(1, start);
    microkit_mr_set(2, vaddr);
    microkit_mr_set(3, pm_field(count, 0, 32) | pm_field(flags, 32, 16));
    return pm_call(PM_OP_ATTACH, 4, 0);
}

/**
 * Ends the region that begins at `vaddr` and unmaps all that is mapped in it.
 *
 * The owner, or a holder of a weak handle. Charged to the account of the VSpace: a record. Flags as
 * for pm_map().
 *
 * One call: 256 pages; in steps; idempotent. Rules: PM-200 to PM-203, PM-384.
 *
 * @param vaddr the address of the first page, a multiple of PM_PAGE_BYTES
 * @return errors: PM_NOT_FOUND, PM_PENDING; besides PM_INVALID, and PM_KERNEL, PM_NO_MEMORY or
 *     PM_PENDING where it needs memory (PM-14)
 */
static inline struct pm_result pm_detach(uintptr_t vaddr)
{
    microkit_mr_set(0, vaddr);
    return pm_call(PM_OP_DETACH, 1, 0);
}

/**
 * Puts capabilities to frames into the caller's CSpace.
 *
 * The owner, or a holder of a weak handle. Charged to the account of the caller's VSpace: the CNode
 * that the capabilities are in, and records. Rights: 1 READ, 2 WRITE, 4 FORCE_WRITE, 16 FORCE_READ,
 * which is READ here.
 *
 * One call: 128 frames, a copy of each with FORCE_WRITE; goes on; not idempotent. Rules: PM-210 to
 * PM-212.
 *
 * @param container the container
 * @param start the number of the first frame
 * @param count how many frames: 1 to PM_CALL_FRAMES_MAX
 * @param rights of enum pm_map_flags
 * @param address the address of the first capability; the others follow it; may be NULL
 * @param new_count how many capabilities; may be NULL
 * @param new_rights the rights of all of them, of enum pm_map_flags; may be NULL
 * @return errors: PM_NOT_FOUND, PM_LOCKED, PM_NO_TABLE_QUOTA, PM_TOO_MANY, PM_REVOKING, PM_ABSENT,
 *     PM_DISCARDED; besides PM_INVALID, and PM_KERNEL, PM_NO_MEMORY or PM_PENDING where it needs
 *     memory (PM-14)
 */
static inline struct pm_result pm_grant(pm_container_t container, seL4_Word start, seL4_Word count,
        seL4_Word rights, seL4_Word *address, seL4_Word *new_count, seL4_Word *new_rights)
{
    microkit_mr_set(0, container.raw);
    microkit_mr_set(1, start);
    microkit_mr_set(2, count);
    microkit_mr_set(3, rights);
    struct pm_result call = pm_call(PM_OP_GRANT, 4, 3);
    if (call.error == PM_OK && address) {
        *address = microkit_mr_get(0);
    }
    if (call.error == PM_OK && new_count) {
        *new_count = microkit_mr_get(1);
    }
    if (call.error == PM_OK && new_rights) {
        *new_rights = microkit_mr_get(2);
    }
    return call;
}

/**
 * Takes back `count` granted capabilities, from the slot `address` on.
 *
 * The owner, or a holder of a weak handle. Charged to the account of the caller's VSpace: the CNode
 * that the capabilities are in, and records. Rights: 1 READ, 2 WRITE, 4 FORCE_WRITE, 16 FORCE_READ,
 * which is READ here.
 *
 * One call: 128 grants; goes on; idempotent. Rules: PM-210 to PM-212.
 *
 * @param address the address of the first capability
 * @param count how many grants: 1 to PM_CALL_FRAMES_MAX
 * @return in `done` how many were taken back; errors: PM_INVALID, and PM_KERNEL, PM_NO_MEMORY or
 *     PM_PENDING where it needs memory (PM-14)
 */
static inline struct pm_result pm_ungrant(seL4_Word address, seL4_Word count)
{
    microkit_mr_set(0, address);
    microkit_mr_set(1, count);
    struct pm_result call = pm_call(PM_OP_UNGRANT, 2, 1);
    if (call.error == PM_OK) {
        call.done = (uint32_t)microkit_mr_get(0);
    }
    return call;
}

/**
 * Makes the page tables that `count` pages from `vaddr` on need.
 *
 * The VSpace's own peer. Charged to the account of the VSpace: tables, records.
 *
 * One call: 256 pages; idempotent. Rules: PM-220.
 *
 * @param vaddr the address of the first page, a multiple of PM_PAGE_BYTES
 * @param count how many pages: 1 to PM_CALL_FRAMES_MAX
 * @return in `done` how many tables were made; errors: PM_NO_TABLE_QUOTA; besides PM_INVALID, and
 *     PM_KERNEL, PM_NO_MEMORY or PM_PENDING where it needs memory (PM-14)
 */
static inline struct pm_result pm_ensure_tables(uintptr_t vaddr, seL4_Word count)
{
    microkit_mr_set(0, vaddr);
    microkit_mr_set(1, count);
    struct pm_result call = pm_call(PM_OP_ENSURE_TABLES, 2, 1);
    if (call.error == PM_OK) {
        call.done = (uint32_t)microkit_mr_get(0);
    }
    return call;
}

/**
 * Makes an account below another one, which promises it `limit_pages` pages.
 *
 * Needs ALLOCATE on the account. Charged to it: a record. Flags: 1 EXTRA.
 *
 * One call: the depth of the tree: 16; not idempotent. Rules: PM-230 to PM-231.
 *
 * @param account the account; PM_ACCOUNT_OWN is the caller's own
 * @param limit how many pages it may use: at most 2^32 - 1
 * @param flags of enum pm_limit_flags
 * @param new_account the account; may be NULL
 * @return errors: PM_QUOTA_EXCEEDED, PM_NOT_ELIGIBLE, PM_TOO_MANY; besides PM_INVALID, and
 *     PM_KERNEL, PM_NO_MEMORY or PM_PENDING where it needs memory (PM-14)
 */
static inline struct pm_result pm_account_split(pm_account_t account, seL4_Word limit,
        seL4_Word flags, pm_account_t *new_account)
{
    microkit_mr_set(0, account.raw);
    microkit_mr_set(1, limit);
    microkit_mr_set(2, flags);
    struct pm_result call = pm_call(PM_OP_ACCOUNT_SPLIT, 3, 1);
    if (call.error == PM_OK && new_account) {
        new_account->raw = microkit_mr_get(0);
    }
    return call;
}

/**
 * Destroys an account with all that it pays for and all accounts below it.
 *
 * Need DESTROY, or REMOVE. At most 256 frames a call.
 *
 * One call: 256 frames or records; in steps; idempotent. Rules: PM-235 to PM-238, PM-341.
 *
 * @param account the account; PM_ACCOUNT_OWN is the caller's own
 * @return errors: PM_PENDING; besides PM_INVALID, and PM_KERNEL, PM_NO_MEMORY or PM_PENDING where
 *     it needs memory (PM-14)
 */
static inline struct pm_result pm_account_destroy(pm_account_t account)
{
    microkit_mr_set(0, account.raw);
    return pm_call(PM_OP_ACCOUNT_DESTROY, 1, 0);
}

/**
 * Removes an account and transfers what it pays for to its parent.
 *
 * Need DESTROY, or REMOVE. At most 256 frames a call.
 *
 * One call: 256 frames or records; in steps; idempotent. Rules: PM-235 to PM-238, PM-341.
 *
 * @param account the account; PM_ACCOUNT_OWN is the caller's own
 * @return errors: PM_PENDING; besides PM_INVALID, and PM_KERNEL, PM_NO_MEMORY or PM_PENDING where
 *     it needs memory (PM-14)
 */
static inline struct pm_result pm_account_remove(pm_account_t account)
{
    microkit_mr_set(0, account.raw);
    return pm_call(PM_OP_ACCOUNT_REMOVE, 1, 0);
}

/**
 * Sets the limit of an account and whether it may have extra frames.
 *
 * Needs SET. Flags: 1 EXTRA, 2 EXCESS. At most 256 frames a call.
 *
 * One call: 256 frames; in steps; idempotent. Rules: PM-240 to PM-241.
 *
 * @param account the account; PM_ACCOUNT_OWN is the caller's own
 * @param limit how many pages it may use: at most 2^32 - 1
 * @param flags of enum pm_limit_flags
 * @return errors: PM_QUOTA_EXCEEDED, PM_NOT_ELIGIBLE, PM_PENDING; besides PM_INVALID, and
 *     PM_KERNEL, PM_NO_MEMORY or PM_PENDING where it needs memory (PM-14)
 */
static inline struct pm_result pm_account_set_limits(pm_account_t account, seL4_Word limit,
        seL4_Word flags)
{
    microkit_mr_set(0, account.raw);
    microkit_mr_set(1, limit);
    microkit_mr_set(2, flags);
    return pm_call(PM_OP_ACCOUNT_SET_LIMITS, 3, 0);
}

/**
 * Lets a peer use an account with these rights.
 *
 * The peer that split the account off.
 *
 * One call: 16 loans; not idempotent. Rules: PM-245 to PM-246.
 *
 * @param account the account; PM_ACCOUNT_OWN is the caller's own
 * @param peer the number of the peer: 1 to 31
 * @param rights of enum pm_account_rights
 * @param new_account the account; may be NULL
 * @return errors: PM_QUOTA_EXCEEDED, PM_TOO_MANY; besides PM_INVALID, and PM_KERNEL, PM_NO_MEMORY
 *     or PM_PENDING where it needs memory (PM-14)
 */
static inline struct pm_result pm_account_lend(pm_account_t account, seL4_Word peer,
        seL4_Word rights, pm_account_t *new_account)
{
    microkit_mr_set(0, account.raw);
    microkit_mr_set(1, peer);
    microkit_mr_set(2, rights);
    struct pm_result call = pm_call(PM_OP_ACCOUNT_LEND, 3, 1);
    if (call.error == PM_OK && new_account) {
        new_account->raw = microkit_mr_get(0);
    }
    return call;
}

/**
 * Takes an account back from a peer. `lent` is the handle that pm_account_lend() returned.
 *
 * The peer that split the account off.
 *
 * One call: 16 loans; idempotent. Rules: PM-245 to PM-246.
 *
 * @param account the account; PM_ACCOUNT_OWN is the caller's own
 * @return errors: PM_INVALID, and PM_KERNEL, PM_NO_MEMORY or PM_PENDING where it needs memory
 *     (PM-14)
 */
static inline struct pm_result pm_account_recall(pm_account_t account)
{
    microkit_mr_set(0, account.raw);
    return pm_call(PM_OP_ACCOUNT_RECALL, 1, 0);
}

/**
 * Sets the account that pays for the page tables, capability slots and mapping records of the
 * caller's address space.
 *
 * Needs ALLOCATE on the account.
 *
 * One call: constant; idempotent. Rules: PM-250 to PM-251.
 *
 * @param account the account; PM_ACCOUNT_OWN is the caller's own
 * @return errors: PM_OCCUPIED; besides PM_INVALID, and PM_KERNEL, PM_NO_MEMORY or PM_PENDING where
 *     it needs memory (PM-14)
 */
static inline struct pm_result pm_vspace_account(pm_account_t account)
{
    microkit_mr_set(0, account.raw);
    return pm_call(PM_OP_VSPACE_ACCOUNT, 1, 0);
}

/**
 * Gives the frames of a range exactly these marks.
 *
 * The owner, or anyone. Marks: 1 DISCARDABLE.
 *
 * One call: 256 frames; idempotent. Rules: PM-260 to PM-264, PM-342 to PM-343.
 *
 * @param container the container
 * @param start the number of the first frame
 * @param count how many frames: 1 to PM_CALL_FRAMES_MAX
 * @param marks of enum pm_marks
 * @return in `done` how many were marked; errors: PM_QUOTA_EXCEEDED; besides PM_INVALID, and
 *     PM_KERNEL, PM_NO_MEMORY or PM_PENDING where it needs memory (PM-14)
 */
static inline struct pm_result pm_mark(pm_container_t container, seL4_Word start, seL4_Word count,
        seL4_Word marks)
{
    microkit_mr_set(0, container.raw);
    microkit_mr_set(1, start);
    microkit_mr_set(2, count);
    microkit_mr_set(3, marks);
    struct pm_result call = pm_call(PM_OP_MARK, 4, 1);
    if (call.error == PM_OK) {
        call.done = (uint32_t)microkit_mr_get(0);
    }
    return call;
}

/**
 * Returns how many of the caller's extra frames are asked back, and until when.
 *
 * The owner, or anyone. Marks: 1 DISCARDABLE.
 *
 * One call: 31 peers; idempotent. Rules: PM-260 to PM-264, PM-342 to PM-343.
 *
 * @param result the result; may be NULL
 * @return errors: PM_INVALID, and PM_KERNEL, PM_NO_MEMORY or PM_PENDING where it needs memory
 *     (PM-14)
 */
static inline struct pm_result pm_extra_request(struct pm_extra_request *result)
{
    struct pm_result call = pm_call(PM_OP_EXTRA_REQUEST, 0, 3);
    if (call.error == PM_OK && result) {
        result->count = microkit_mr_get(0);
        result->deadline = microkit_mr_get(1);
        result->sequence = microkit_mr_get(2);
    }
    return call;
}

/**
 * Locks frames for `ttl` microseconds so that they also keep their physical memory, and returns the
 * bus address of the first.
 *
 * pm_pin(): as pm_lock(), with the privilege `dma`: else PM_NO_RIGHT. pm_device_reset(): with the
 * privilege `supervise`. At most 2112 frames are in all pins of a peer: PM_TOO_MANY. So are more
 * than 64 if one call cannot pin them, for rings or with an IOMMU.
 *
 * One call: 256 frames, a copy of each, or 512; prepares; not idempotent. Rules: PM-270 to PM-275,
 * PM-400, PM-460 to PM-461.
 *
 * @param container the container
 * @param start the number of the first frame
 * @param count how many frames: 1 to PM_CALL_FRAMES_MAX, or PM_LARGE_FRAMES that are a large frame
 *     (PM-460)
 * @param mode of enum pm_lock_mode
 * @param ttl_us for how long, in microseconds: 1 to PM_LEASE_US_MAX
 * @param result the result; may be NULL
 * @return errors: as lock; PM_NOT_FOUND, PM_NOT_ELIGIBLE, PM_ABSENT, PM_DISCARDED; besides
 *     PM_INVALID, and PM_KERNEL, PM_NO_MEMORY or PM_PENDING where it needs memory (PM-14)
 */
static inline struct pm_result pm_pin(pm_container_t container, seL4_Word start, seL4_Word count,
        seL4_Word mode, seL4_Word ttl_us, struct pm_pinned *result)
{
    microkit_mr_set(0, container.raw);
    microkit_mr_set(1, start);
    microkit_mr_set(2, pm_field(count, 0, 16) | pm_field(mode, 16, 16));
    microkit_mr_set(3, ttl_us);
    struct pm_result call = pm_call(PM_OP_PIN, 4, 4);
    if (call.error == PM_OK && result) {
        result->lease.raw = microkit_mr_get(0);
        result->deadline = microkit_mr_get(1);
        result->bus_address = microkit_mr_get(2);
        result->run = microkit_mr_get(3);
    }
    return call;
}

/**
 * Returns the bus address of a pinned frame and how many frames follow it contiguously.
 *
 * pm_pin(): as pm_lock(), with the privilege `dma`: else PM_NO_RIGHT. pm_device_reset(): with the
 * privilege `supervise`. At most 2112 frames are in all pins of a peer: PM_TOO_MANY. So are more
 * than 64 if one call cannot pin them, for rings or with an IOMMU.
 *
 * One call: 256 frames; idempotent. Rules: PM-270 to PM-275, PM-400, PM-460 to PM-461.
 *
 * @param lease the lease, for who took it
 * @param frame the number of the frame
 * @param bus_address where a device finds the first frame; may be NULL
 * @param run how many frames, with that one, are contiguous there; may be NULL
 * @return errors: PM_INVALID_CAP; besides PM_INVALID, and PM_KERNEL, PM_NO_MEMORY or PM_PENDING
 *     where it needs memory (PM-14)
 */
static inline struct pm_result pm_bus_address(pm_lease_t lease, seL4_Word frame,
        seL4_Word *bus_address, seL4_Word *run)
{
    microkit_mr_set(0, lease.raw);
    microkit_mr_set(1, frame);
    struct pm_result call = pm_call(PM_OP_BUS_ADDRESS, 2, 2);
    if (call.error == PM_OK && bus_address) {
        *bus_address = microkit_mr_get(0);
    }
    if (call.error == PM_OK && run) {
        *run = microkit_mr_get(1);
    }
    return call;
}

/**
 * Reports that a peer's device was reset. Memory that the device could still write to is freed.
 *
 * pm_pin(): as pm_lock(), with the privilege `dma`: else PM_NO_RIGHT. pm_device_reset(): with the
 * privilege `supervise`. At most 2112 frames are in all pins of a peer: PM_TOO_MANY. So are more
 * than 64 if one call cannot pin them, for rings or with an IOMMU.
 *
 * One call: 64 pins; in steps; idempotent. Rules: PM-270 to PM-275, PM-400, PM-460 to PM-461.
 *
 * @param peer the number of the peer: 1 to 31
 * @return errors: PM_NO_RIGHT, PM_PENDING; besides PM_INVALID, and PM_KERNEL, PM_NO_MEMORY or
 *     PM_PENDING where it needs memory (PM-14)
 */
static inline struct pm_result pm_device_reset(seL4_Word peer)
{
    microkit_mr_set(0, peer);
    return pm_call(PM_OP_DEVICE_RESET, 1, 0);
}

/**
 * Sets the peer that supplies the frames of a range when they are first touched, or ends that if
 * `handler` is `None`. `cookie` is how the handler is told which range it is.
 *
 * pm_set_handler(): the owner; charged to the container's account: a record. The others: the
 * handler.
 *
 * One call: 4 handlers; in steps; idempotent. Rules: PM-280 to PM-285, PM-350 to PM-353.
 *
 * @param container the container
 * @param start the number of the first frame
 * @param count how many frame numbers: any, as no frame is touched
 * @param peer the peer that supplies the frames; 0 ends the range
 * @param cookie 32 bits by which the handler is told the range
 * @param range the range, as its handler is told it; may be NULL
 * @return errors: PM_EXISTS, PM_NOT_FOUND, PM_TOO_MANY, PM_QUOTA_EXCEEDED, PM_PENDING; besides
 *     PM_INVALID, and PM_KERNEL, PM_NO_MEMORY or PM_PENDING where it needs memory (PM-14)
 */
static inline struct pm_result pm_set_handler(pm_container_t container, seL4_Word start,
        seL4_Word count, seL4_Word peer, seL4_Word cookie, pm_range_t *range)
{
    microkit_mr_set(0, container.raw);
    microkit_mr_set(1, start);
    microkit_mr_set(2, count);
    microkit_mr_set(3, pm_field(peer, 0, 16) | pm_field(cookie, 32, 32));
    struct pm_result call = pm_call(PM_OP_SET_HANDLER, 4, 1);
    if (call.error == PM_OK && range) {
        range->raw = microkit_mr_get(0);
    }
    return call;
}

/**
 * Returns the next fault that the caller, a handler, has to answer.
 *
 * pm_set_handler(): the owner; charged to the container's account: a record. The others: the
 * handler.
 *
 * One call: 31 peers; not idempotent. Rules: PM-280 to PM-285, PM-350 to PM-353.
 *
 * @param result the result; may be NULL
 * @return errors: PM_INVALID, and PM_KERNEL, PM_NO_MEMORY or PM_PENDING where it needs memory
 *     (PM-14)
 */
static inline struct pm_result pm_next_fault(struct pm_pending_fault *result)
{
    struct pm_result call = pm_call(PM_OP_NEXT_FAULT, 0, 4);
    if (call.error == PM_OK && result) {
        result->fault.raw = microkit_mr_get(0);
        result->range.raw = microkit_mr_get(1);
        result->cookie = microkit_mr_get(2) & 0xffffffff;
        result->access = microkit_mr_get(2) >> 32;
        result->frame = microkit_mr_get(3);
    }
    return call;
}

/**
 * Answers a fault with the contents of a frame that the caller may read.
 *
 * pm_set_handler(): the owner; charged to the container's account: a record. The others: the
 * handler.
 *
 * One call: one frame; idempotent. Rules: PM-280 to PM-285, PM-350 to PM-353.
 *
 * @param fault the fault, as pm_next_fault() told it
 * @param container the container
 * @param frame the number of the frame
 * @return errors: PM_INVALID_CAP, PM_NO_RIGHT, PM_NOT_FOUND, PM_LOCKED, PM_ABSENT, PM_DISCARDED;
 *     besides PM_INVALID, and PM_KERNEL, PM_NO_MEMORY or PM_PENDING where it needs memory (PM-14)
 */
static inline struct pm_result pm_supply(pm_fault_t fault, pm_container_t container,
        seL4_Word frame)
{
    microkit_mr_set(0, fault.raw);
    microkit_mr_set(1, container.raw);
    microkit_mr_set(2, frame);
    return pm_call(PM_OP_SUPPLY, 3, 0);
}

/**
 * Answers a fault by letting the program that waits fault.
 *
 * pm_set_handler(): the owner; charged to the container's account: a record. The others: the
 * handler.
 *
 * One call: 31 peers; idempotent. Rules: PM-280 to PM-285, PM-350 to PM-353.
 *
 * @param fault the fault, as pm_next_fault() told it
 * @return errors: PM_INVALID_CAP; besides PM_INVALID, and PM_KERNEL, PM_NO_MEMORY or PM_PENDING
 *     where it needs memory (PM-14)
 */
static inline struct pm_result pm_refuse(pm_fault_t fault)
{
    microkit_mr_set(0, fault.raw);
    return pm_call(PM_OP_REFUSE, 1, 0);
}

/**
 * For tests: does what pmserver may do at any time, a bounded number of times from `cursor` on. The
 * cursor is 0 at first, and then what the last call returned.
 *
 * Peers that the configuration allows it. For tests of what R2 permits. What: 1 unmap, 2 move. At
 * most 256 mappings or frames a call; goes on at the cursor, 0 at first and at the end.
 *
 * One call: 256 mappings or frames; goes on; not idempotent. Rules: PM-290.
 *
 * @param what of enum pm_disturbance
 * @param cursor 0 at first, then what the last call has told
 * @param count how many mappings or frames were disturbed; may be NULL
 * @param new_cursor the cursor for the next call; 0 at the end; may be NULL
 * @return errors: PM_NO_RIGHT; besides PM_INVALID, and PM_KERNEL, PM_NO_MEMORY or PM_PENDING where
 *     it needs memory (PM-14)
 */
static inline struct pm_result pm_disturb(seL4_Word what, seL4_Word cursor, seL4_Word *count,
        seL4_Word *new_cursor)
{
    microkit_mr_set(0, what);
    microkit_mr_set(1, cursor);
    struct pm_result call = pm_call(PM_OP_DISTURB, 2, 2);
    if (call.error == PM_OK && count) {
        *count = microkit_mr_get(0);
    }
    if (call.error == PM_OK && new_cursor) {
        *new_cursor = microkit_mr_get(1);
    }
    return call;
}

/**
 * Lets the borrower take the range of a share once (PM-432).
 *
 * For reading what a server writes, without a call and a mapping for each change of hands: the
 * owner's mapping stays, the borrower has the frames for one use at a time, and one call tells the
 * owner that it has them no more. pm_arm() and pm_disarm(): the owner. pm_take(): the borrower;
 * charged to its own account: a record, as by pm_lock(); and to the account of its VSpace, as by
 * pm_map(). Flags: 1 READ, 2 WRITE.
 *
 * One call: 256 mappings; idempotent. Rules: PM-430 to PM-437.
 *
 * @param share the share, for the container's owner
 * @return errors: PM_INVALID, PM_LOCKED, PM_REVOKING; besides PM_INVALID, and PM_KERNEL,
 *     PM_NO_MEMORY or PM_PENDING where it needs memory (PM-14)
 */
static inline struct pm_result pm_arm(pm_share_t share)
{
    microkit_mr_set(0, share.raw);
    return pm_call(PM_OP_ARM, 1, 0);
}

/**
 * Ends that, and confirms that the borrower has no access (PM-433). Returns whether it was armed.
 *
 * For reading what a server writes, without a call and a mapping for each change of hands: the
 * owner's mapping stays, the borrower has the frames for one use at a time, and one call tells the
 * owner that it has them no more. pm_arm() and pm_disarm(): the owner. pm_take(): the borrower;
 * charged to its own account: a record, as by pm_lock(); and to the account of its VSpace, as by
 * pm_map(). Flags: 1 READ, 2 WRITE.
 *
 * One call: 256 mappings; idempotent. Rules: PM-430 to PM-437.
 *
 * @param share the share, for the container's owner
 * @param was_armed 1 if the share was armed, 0 if it was free; may be NULL
 * @return errors: PM_INVALID, PM_LOCKED; besides PM_INVALID, and PM_KERNEL, PM_NO_MEMORY or
 *     PM_PENDING where it needs memory (PM-14)
 */
static inline struct pm_result pm_disarm(pm_share_t share, seL4_Word *was_armed)
{
    microkit_mr_set(0, share.raw);
    struct pm_result call = pm_call(PM_OP_DISARM, 1, 1);
    if (call.error == PM_OK && was_armed) {
        *was_armed = microkit_mr_get(0);
    }
    return call;
}

/**
 * Takes frames of an armed share: locks them for the time of the share and maps them from the page
 * `vaddr` on, in one (PM-434). pm_unlock() gives them back.
 *
 * For reading what a server writes, without a call and a mapping for each change of hands: the
 * owner's mapping stays, the borrower has the frames for one use at a time, and one call tells the
 * owner that it has them no more. pm_arm() and pm_disarm(): the owner. pm_take(): the borrower;
 * charged to its own account: a record, as by pm_lock(); and to the account of its VSpace, as by
 * pm_map(). Flags: 1 READ, 2 WRITE.
 *
 * One call: 256 or 512 frames, a copy of each; in steps; idempotent. Rules: PM-430 to PM-437.
 *
 * @param container the container
 * @param start the number of the first frame
 * @param vaddr the address of the first page, a multiple of PM_PAGE_BYTES
 * @param count how many frames: 1 to PM_CALL_FRAMES_MAX, or PM_LARGE_FRAMES from a multiple of it
 *     on (PM-445)
 * @param flags of enum pm_map_flags
 * @param lease the lease; may be NULL
 * @param deadline when it ends, in microseconds on pmserver's clock; may be NULL
 * @return errors: PM_NOT_ARMED; as lock; as map but for PM_REVOKING; PM_PENDING; besides
 *     PM_INVALID, and PM_KERNEL, PM_NO_MEMORY or PM_PENDING where it needs memory (PM-14)
 */
static inline struct pm_result pm_take(pm_container_t container, seL4_Word start, uintptr_t vaddr,
        seL4_Word count, seL4_Word flags, pm_lease_t *lease, seL4_Word *deadline)
{
    microkit_mr_set(0, container.raw);
    microkit_mr_set(1, start);
    microkit_mr_set(2, vaddr);
    microkit_mr_set(3, pm_field(count, 0, 16) | pm_field(flags, 16, 16));
    struct pm_result call = pm_call(PM_OP_TAKE, 4, 2);
    if (call.error == PM_OK && lease) {
        lease->raw = microkit_mr_get(0);
    }
    if (call.error == PM_OK && deadline) {
        *deadline = microkit_mr_get(1);
    }
    return call;
}

/**
 * Returns a part of the first row behind `cursor` of one of pmserver's books. The cursor is 0 at
 * first, and then what the last call returned.
 *
 * Peers that the configuration allows it, with the privilege pm_inspect(): else PM_NO_RIGHT. For an
 * operator's program: a shell, a map of the memory. pmserver keeps books: 1 peers, 2 accounts, 3
 * containers, 4 shares, 5 leases, 6 mappings, 7 grants, 8 regions, 9 pages of the pool. A call
 * returns a part of the first row behind the cursor, in three registers, and the cursor behind that
 * row. Part 0 is the first one. Goes on at the cursor, 0 at first and at the end.
 *
 * One call: 1024 records or 256 pages looked at; goes on; idempotent. Rules: PM-470 to PM-475.
 *
 * @param book of enum pm_book
 * @param cursor 0 at first, then what the last call has told
 * @param part which part of the row: 0 is the first (PM-471)
 * @param new_cursor the cursor for the next call; 0 at the end; may be NULL
 * @param head the head of the part (PM-471); 0 if no row was found; may be NULL
 * @param first_word a word of the part; may be NULL
 * @param second_word a word of the part; may be NULL
 * @return errors: PM_NO_RIGHT; besides PM_INVALID, and PM_KERNEL, PM_NO_MEMORY or PM_PENDING where
 *     it needs memory (PM-14)
 */
static inline struct pm_result pm_inspect(seL4_Word book, seL4_Word cursor, seL4_Word part,
        seL4_Word *new_cursor, seL4_Word *head, seL4_Word *first_word, seL4_Word *second_word)
{
    microkit_mr_set(0, book);
    microkit_mr_set(1, cursor);
    microkit_mr_set(2, part);
    struct pm_result call = pm_call(PM_OP_INSPECT, 3, 4);
    if (call.error == PM_OK && new_cursor) {
        *new_cursor = microkit_mr_get(0);
    }
    if (call.error == PM_OK && head) {
        *head = microkit_mr_get(1);
    }
    if (call.error == PM_OK && first_word) {
        *first_word = microkit_mr_get(2);
    }
    if (call.error == PM_OK && second_word) {
        *second_word = microkit_mr_get(3);
    }
    return call;
}

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

/** pm_container_destroy(), called again until it is done. */
static inline struct pm_result pm_container_destroy_until_done(pm_container_t container)
{
    struct pm_result call = pm_container_destroy(container);
    while (pm_is_to_go_on(call)) {
        call = pm_container_destroy(container);
        if (call.error == PM_INVALID_CAP) {
            /* Somebody else has done the rest (PM-130). */
            return pm_outcome(PM_OK);
        }
    }
    return call;
}

/**
 * pm_allocate() for a range of any length, piece by piece. After an error `done` says how many were
 * done, and they stay so.
 */
static inline struct pm_result pm_allocate_until_done(pm_container_t container, seL4_Word start,
        seL4_Word count, seL4_Word flags)
{
    struct pm_progress progress = { 0, 0, PM_LARGE_FRAMES };
    struct pm_result call = { PM_OK, 0, 0 };
    while (progress.passed < count) {
        seL4_Word piece = pm_piece(progress, start + progress.passed, count);
        call = pm_allocate(container, start + progress.passed, piece, flags);
        if (!pm_goes_on(&progress, &call, piece, false)) {
            break;
        }
    }
    call.done = progress.done;
    return call;
}

/**
 * pm_deallocate() for a range of any length, piece by piece. After an error `done` says how many
 * were done, and they stay so.
 */
static inline struct pm_result pm_deallocate_until_done(pm_container_t container, seL4_Word start,
        seL4_Word count, seL4_Word flags)
{
    struct pm_progress progress = { 0, 0, PM_LARGE_FRAMES };
    struct pm_result call = { PM_OK, 0, 0 };
    while (progress.passed < count) {
        seL4_Word piece = pm_piece(progress, start + progress.passed, count);
        call = pm_deallocate(container, start + progress.passed, piece, flags);
        if (!pm_goes_on(&progress, &call, piece, true)) {
            break;
        }
    }
    call.done = progress.done;
    return call;
}

/** pm_unshare(), called again until it is done. */
static inline struct pm_result pm_unshare_until_done(pm_share_t share)
{
    struct pm_result call = pm_unshare(share);
    while (pm_is_to_go_on(call)) {
        call = pm_unshare(share);
        if (call.error == PM_INVALID_CAP) {
            /* Somebody else has done the rest (PM-130). */
            return pm_outcome(PM_OK);
        }
    }
    return call;
}

/** pm_lock(), called again until it is done. */
static inline struct pm_result pm_lock_until_done(pm_container_t container, seL4_Word start,
        seL4_Word count, seL4_Word mode, seL4_Word ttl_us, pm_lease_t *lease, seL4_Word *deadline)
{
    struct pm_result call = pm_lock(container, start, count, mode, ttl_us, lease, deadline);
    while (pm_is_to_go_on(call)) {
        call = pm_lock(container, start, count, mode, ttl_us, lease, deadline);
    }
    return call;
}

/** pm_unlock(), called again until it is done. */
static inline struct pm_result pm_unlock_until_done(pm_lease_t lease)
{
    struct pm_result call = pm_unlock(lease);
    while (pm_is_to_go_on(call)) {
        call = pm_unlock(lease);
        if (call.error == PM_INVALID_CAP) {
            /* Somebody else has done the rest (PM-130). */
            return pm_outcome(PM_OK);
        }
    }
    return call;
}

/**
 * pm_map() for a range of any length, piece by piece. After an error `done` says how many were
 * done, and they stay so.
 */
static inline struct pm_result pm_map_until_done(pm_container_t container, seL4_Word start,
        uintptr_t vaddr, seL4_Word count, seL4_Word flags)
{
    struct pm_progress progress = { 0, 0, PM_LARGE_FRAMES };
    struct pm_result call = { PM_OK, 0, 0 };
    while (progress.passed < count) {
        seL4_Word piece = pm_piece(progress, start + progress.passed, count);
        call = pm_map(container, start + progress.passed, vaddr + PM_PAGE_BYTES * progress.passed, piece, flags, 0);
        if (!pm_goes_on(&progress, &call, piece, false)) {
            break;
        }
    }
    call.done = progress.done;
    return call;
}

/**
 * pm_unmap() for a range of any length, piece by piece. After an error `done` says how many were
 * done, and they stay so.
 */
static inline struct pm_result pm_unmap_until_done(uintptr_t vaddr, seL4_Word count)
{
    struct pm_progress progress = { 0, 0, PM_LARGE_FRAMES };
    struct pm_result call = { PM_OK, 0, 0 };
    while (progress.passed < count) {
        seL4_Word piece = pm_piece(progress, progress.passed, count);
        call = pm_unmap(vaddr + PM_PAGE_BYTES * progress.passed, piece);
        if (!pm_goes_on(&progress, &call, piece, true)) {
            break;
        }
    }
    call.done = progress.done;
    return call;
}

/**
 * pm_remap() for a range of any length, piece by piece. After an error `done` says how many were
 * done, and they stay so.
 */
static inline struct pm_result pm_remap_until_done(uintptr_t vaddr, seL4_Word count,
        seL4_Word flags)
{
    struct pm_progress progress = { 0, 0, PM_LARGE_FRAMES };
    struct pm_result call = { PM_OK, 0, 0 };
    while (progress.passed < count) {
        seL4_Word piece = pm_piece(progress, progress.passed, count);
        call = pm_remap(vaddr + PM_PAGE_BYTES * progress.passed, piece, flags, 0);
        if (!pm_goes_on(&progress, &call, piece, false)) {
            break;
        }
    }
    call.done = progress.done;
    return call;
}

/**
 * pm_renew() for a range of any length, piece by piece. After an error `done` says how many were
 * done, and they stay so.
 */
static inline struct pm_result pm_renew_until_done(pm_container_t container, seL4_Word start,
        seL4_Word count)
{
    struct pm_progress progress = { 0, 0, PM_CALL_FRAMES_MAX };
    struct pm_result call = { PM_OK, 0, 0 };
    while (progress.passed < count) {
        seL4_Word piece = pm_piece(progress, start + progress.passed, count);
        call = pm_renew(container, start + progress.passed, piece);
        if (!pm_goes_on(&progress, &call, piece, true)) {
            break;
        }
    }
    call.done = progress.done;
    return call;
}

/** pm_allocate_contiguous(), called again until it is done. */
static inline struct pm_result pm_allocate_contiguous_until_done(pm_container_t container,
        seL4_Word start, seL4_Word count, seL4_Word align, seL4_Word limit)
{
    struct pm_result call = pm_allocate_contiguous(container, start, count, align, limit);
    while (pm_is_to_go_on(call)) {
        call = pm_allocate_contiguous(container, start, count, align, limit);
    }
    return call;
}

/**
 * pm_copy() for a range of any length, piece by piece. After an error `done` says how many were
 * done, and they stay so.
 */
static inline struct pm_result pm_copy_until_done(pm_container_t source, seL4_Word source_start,
        pm_container_t destination, seL4_Word destination_start, seL4_Word count, seL4_Word flags)
{
    struct pm_progress progress = { 0, 0, PM_LARGE_FRAMES };
    struct pm_result call = { PM_OK, 0, 0 };
    while (progress.passed < count) {
        seL4_Word piece = pm_piece(progress, (source_start + progress.passed) | (destination_start + progress.passed), count);
        call = pm_copy(source, source_start + progress.passed, destination, destination_start + progress.passed, piece, flags);
        if (!pm_goes_on(&progress, &call, piece, false)) {
            break;
        }
    }
    call.done = progress.done;
    return call;
}

/** pm_create_from(), called again until it is done. */
static inline struct pm_result pm_create_from_until_done(pm_account_t account,
        pm_container_t source, seL4_Word start, seL4_Word count, struct pm_terms terms,
        struct pm_created *result)
{
    struct pm_result call = pm_create_from(account, source, start, count, terms, result);
    while (pm_is_to_go_on(call)) {
        call = pm_create_from(account, source, start, count, terms, result);
    }
    return call;
}

/** pm_create_gather(), called again until it is done. */
static inline struct pm_result pm_create_gather_until_done(pm_account_t account,
        pm_container_t source, struct pm_terms terms, const seL4_Word *frames, seL4_Word count,
        struct pm_created *result)
{
    struct pm_result call = pm_create_gather(account, source, terms, frames, count, result);
    while (pm_is_to_go_on(call)) {
        call = pm_create_gather(account, source, terms, frames, count, result);
    }
    return call;
}

/** pm_detach(), called again until it is done. */
static inline struct pm_result pm_detach_until_done(uintptr_t vaddr)
{
    struct pm_result call = pm_detach(vaddr);
    while (pm_is_to_go_on(call)) {
        call = pm_detach(vaddr);
        if (call.error == PM_INVALID_CAP) {
            /* Somebody else has done the rest (PM-130). */
            return pm_outcome(PM_OK);
        }
    }
    return call;
}

/**
 * pm_ungrant() for a range of any length, piece by piece. After an error `done` says how many were
 * done, and they stay so.
 */
static inline struct pm_result pm_ungrant_until_done(seL4_Word address, seL4_Word count)
{
    struct pm_progress progress = { 0, 0, PM_CALL_FRAMES_MAX };
    struct pm_result call = { PM_OK, 0, 0 };
    while (progress.passed < count) {
        seL4_Word piece = pm_piece(progress, progress.passed, count);
        call = pm_ungrant(address + progress.passed, piece);
        if (!pm_goes_on(&progress, &call, piece, true)) {
            break;
        }
    }
    call.done = progress.done;
    return call;
}

/** pm_account_destroy(), called again until it is done. */
static inline struct pm_result pm_account_destroy_until_done(pm_account_t account)
{
    struct pm_result call = pm_account_destroy(account);
    while (pm_is_to_go_on(call)) {
        call = pm_account_destroy(account);
        if (call.error == PM_INVALID_CAP) {
            /* Somebody else has done the rest (PM-130). */
            return pm_outcome(PM_OK);
        }
    }
    return call;
}

/** pm_account_remove(), called again until it is done. */
static inline struct pm_result pm_account_remove_until_done(pm_account_t account)
{
    struct pm_result call = pm_account_remove(account);
    while (pm_is_to_go_on(call)) {
        call = pm_account_remove(account);
        if (call.error == PM_INVALID_CAP) {
            /* Somebody else has done the rest (PM-130). */
            return pm_outcome(PM_OK);
        }
    }
    return call;
}

/** pm_account_set_limits(), called again until it is done. */
static inline struct pm_result pm_account_set_limits_until_done(pm_account_t account,
        seL4_Word limit, seL4_Word flags)
{
    struct pm_result call = pm_account_set_limits(account, limit, flags);
    while (pm_is_to_go_on(call)) {
        call = pm_account_set_limits(account, limit, flags);
    }
    return call;
}

/** pm_pin(), called again until it is done. */
static inline struct pm_result pm_pin_until_done(pm_container_t container, seL4_Word start,
        seL4_Word count, seL4_Word mode, seL4_Word ttl_us, struct pm_pinned *result)
{
    struct pm_result call = pm_pin(container, start, count, mode, ttl_us, result);
    while (pm_is_to_go_on(call)) {
        call = pm_pin(container, start, count, mode, ttl_us, result);
    }
    return call;
}

/** pm_set_handler(), called again until it is done. */
static inline struct pm_result pm_set_handler_until_done(pm_container_t container, seL4_Word start,
        seL4_Word count, seL4_Word peer, seL4_Word cookie, pm_range_t *range)
{
    struct pm_result call = pm_set_handler(container, start, count, peer, cookie, range);
    while (pm_is_to_go_on(call)) {
        call = pm_set_handler(container, start, count, peer, cookie, range);
    }
    return call;
}

/** pm_take(), called again until it is done. */
static inline struct pm_result pm_take_until_done(pm_container_t container, seL4_Word start,
        uintptr_t vaddr, seL4_Word count, seL4_Word flags, pm_lease_t *lease, seL4_Word *deadline)
{
    struct pm_result call = pm_take(container, start, vaddr, count, flags, lease, deadline);
    while (pm_is_to_go_on(call)) {
        call = pm_take(container, start, vaddr, count, flags, lease, deadline);
    }
    return call;
}
