/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The file protocol, version 4, for protection domains in C: files in containers that a client lends.
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

/** What fs_version() tells if this header is of its version. */
#define FS_PROTOCOL_VERSION 4
/** Bytes of the longest path. */
#define FS_PATH_BYTES_MAX 4096
/** Bytes of two paths in one call, together. */
#define FS_TWO_PATHS_BYTES_MAX 4095
/** Bytes of the longest path that fs_lookup_short() takes. */
#define FS_SHORT_PATH_BYTES_MAX 32
/** Bytes that one call reads or writes at most. */
#define FS_READ_BYTES_MAX 1048576
/** Bytes of the longest name in a directory. */
#define FS_NAME_BYTES_MAX 255
/** Bytes before the name of an entry (FS-40). */
#define FS_ENTRY_HEADER_BYTES 4
/** Requests of a client that can be pending at a time (FS-103). */
#define FS_REQUESTS_MAX 4
/** How often FS_UNTIL_DONE() waits at most. */
#define FS_WAITS_MAX 1000
/** For fs_set_times(): the time stays as it is. */
#define FS_LEAVE_TIME UINT64_MAX

/** A file that the caller has open, by the number that is valid for the caller only. */
typedef struct {
    seL4_Word raw;
} fs_file_t;

/** Why a call failed. */
enum fs_error {
    /** None. */
    FS_OK = 0,
    /** There is no file or directory of this name. */
    FS_NOT_FOUND = 1,
    /** It is a file, and the operation needs a directory. */
    FS_NOT_A_DIRECTORY = 2,
    /** It is a directory, and the operation needs a file. */
    FS_IS_A_DIRECTORY = 3,
    /** A component of the path is `..`. */
    FS_DOT_DOT = 4,
    /** The path is empty, not absolute, holds a NUL byte or a component above 255 bytes. */
    FS_BAD_PATH = 5,
    /** The path has more bytes or more components than fsserver accepts. */
    FS_PATH_TOO_LONG = 6,
    /** The range begins past the end of the file; the detail is the file's size. */
    FS_PAST_END = 7,
    /** The length or the number of frames is zero, or more than one call reads. */
    FS_BAD_RANGE = 8,
    /** The container lacks a frame that the operation needs, or the share does not cover it. */
    FS_CONTAINER_TOO_SMALL = 9,
    /** pmserver refused a call that the operation needs; the detail is pmserver's status. */
    FS_PM_REFUSED = 10,
    /** The handle names nothing that the caller has open. */
    FS_BAD_HANDLE = 11,
    /** The caller, or all callers together, have too many files open. */
    FS_TOO_MANY_OPEN_FILES = 12,
    /** The listing is not at this cookie: look the directory up again. */
    FS_STALE_COOKIE = 13,
    /** It exists, but fsserver does not support it; the detail is the `Feature` that it has. */
    FS_UNSUPPORTED = 15,
    /** The part of the image that the operation needs is damaged. */
    FS_IMAGE_DAMAGED = 16,
    /** fsserver was restarted during the call: handles from before name nothing. */
    FS_RESTARTED = 17,
    /** The lease that the share allows ends before fsserver is done. */
    FS_LEASE_TOO_SHORT = 18,
    /** There is no ext4 file system in the image. */
    FS_NOT_EXT4 = 19,
    /** The image makes the operation read more blocks than one call may. */
    FS_TOO_MANY_BLOCKS = 20,
    /**
     * The request was started, and waits for the disk. fsserver notifies the caller when it is
     * worth repeating the same request, with which the caller gets the result.
     */
    FS_PENDING = 21,
    /** The volume cannot be written to. */
    FS_READ_ONLY = 22,
    /** The system file does not let the client write, or go there. */
    FS_NOT_PERMITTED = 23,
    /** The volume, or the directory, is full. */
    FS_NO_SPACE = 24,
    /** The directory has entries. */
    FS_NOT_EMPTY = 25,
    /** There is something of this name already. */
    FS_EXISTS = 26,
    /** A name has more than 255 bytes, or where a symbolic link leads to more than a block. */
    FS_NAME_TOO_LONG = 27,
    /**
     * Too many requests of the client are under way, or too many files were removed and are open.
     */
    FS_BUSY = 28,
    /** The disk failed. */
    FS_DISK_FAILED = 29,
    /** The file or directory is larger, or would be in more pieces, than is supported. */
    FS_TOO_LARGE = 30,
    /** The file has as many names as one can have. */
    FS_TOO_MANY_LINKS = 31,
    /** The server has no operation with this number. */
    FS_UNKNOWN_OPERATION = 65280,
    /** The operation takes more or fewer registers. */
    FS_WRONG_LENGTH = 65281,
    /** This version of the protocol has no such reply. */
    FS_BAD_REPLY = 65282,
    /** The server was stopped, and nobody does its work any more (PM-370). */
    FS_STOPPED = 65283,
};

#define FS_ERROR_LAST 31

/** Returns what an error means, in words. */
static inline const char *fs_error_string(enum fs_error error)
{
    switch (error) {
    case FS_OK:
        return "done";
    case FS_NOT_FOUND:
        return "no such file or directory";
    case FS_NOT_A_DIRECTORY:
        return "not a directory";
    case FS_IS_A_DIRECTORY:
        return "is a directory";
    case FS_DOT_DOT:
        return "the path holds `..`";
    case FS_BAD_PATH:
        return "not a valid absolute path";
    case FS_PATH_TOO_LONG:
        return "the path is too long";
    case FS_PAST_END:
        return "the range begins past the end of the file";
    case FS_BAD_RANGE:
        return "the length is zero or above what one call moves";
    case FS_CONTAINER_TOO_SMALL:
        return "the container is too small";
    case FS_PM_REFUSED:
        return "pmserver refused";
    case FS_BAD_HANDLE:
        return "the handle names nothing that the caller has open";
    case FS_TOO_MANY_OPEN_FILES:
        return "too many open files";
    case FS_STALE_COOKIE:
        return "the listing does not stand there";
    case FS_UNSUPPORTED:
        return "the server does not support this";
    case FS_IMAGE_DAMAGED:
        return "the image is damaged";
    case FS_RESTARTED:
        return "the server was restarted during the call";
    case FS_LEASE_TOO_SHORT:
        return "the share allows too short a lease";
    case FS_NOT_EXT4:
        return "the image is no ext4 file system";
    case FS_TOO_MANY_BLOCKS:
        return "the image needs more blocks than one call reads";
    case FS_PENDING:
        return "it has begun, and waits for the disk";
    case FS_READ_ONLY:
        return "the volume is read-only";
    case FS_NOT_PERMITTED:
        return "the client is not permitted to do this";
    case FS_NO_SPACE:
        return "no space is left";
    case FS_NOT_EMPTY:
        return "the directory is not empty";
    case FS_EXISTS:
        return "exists already";
    case FS_NAME_TOO_LONG:
        return "the name is too long";
    case FS_BUSY:
        return "too much is under way or open";
    case FS_DISK_FAILED:
        return "the disk failed";
    case FS_TOO_LARGE:
        return "too large, or in too many pieces";
    case FS_TOO_MANY_LINKS:
        return "the file has too many names";
    case FS_UNKNOWN_OPERATION:
        return "unknown operation: is the server another one, or of another version?";
    case FS_WRONG_LENGTH:
        return "wrong number of registers";
    case FS_BAD_REPLY:
        return "unintelligible reply: is the channel that of the server?";
    case FS_STOPPED:
        return "the server was stopped";
    }
    return "no error of this protocol";
}

/** What a call came to. */
struct fs_result {
    /** FS_OK, or why it failed. */
    enum fs_error error;
    /** What the error says that it is: a size, an enum fs_feature, or pmserver's error; or 0. */
    seL4_Word detail;
};

/** What a file is. */
enum fs_kind {
    /** A regular file. */
    FS_KIND_REGULAR = 1,
    /** A directory. */
    FS_KIND_DIRECTORY = 2,
    /** A symbolic link. fsserver reports its kind, and never follows it as the last component. */
    FS_KIND_SYMLINK = 3,
    /** A device, a pipe or a socket. */
    FS_KIND_SPECIAL = 4,
};

/** The detail of FS_UNSUPPORTED. */
enum fs_feature {
    /** A symbolic link. */
    FS_FEATURE_SYMLINK = 1,
    /** A device, a pipe or a socket. */
    FS_FEATURE_SPECIAL = 2,
    /** More than 40 symbolic links in a path. */
    FS_FEATURE_MANY_SYMLINKS = 3,
    /** A journal that has to be replayed (e2fsck does it). */
    FS_FEATURE_JOURNAL_REPLAY = 4,
    /** An image without metadata_csum. */
    FS_FEATURE_NO_CHECKSUMS = 5,
    /** Blocks above 4096 bytes. */
    FS_FEATURE_LARGE_BLOCKS = 6,
    /** Encryption. */
    FS_FEATURE_ENCRYPTION = 7,
    /** Inline_data. */
    FS_FEATURE_INLINE_DATA = 8,
    /** Compression. */
    FS_FEATURE_COMPRESSION = 9,
    /** A journal on another device. */
    FS_FEATURE_JOURNAL_DEVICE = 10,
    /** Meta_bg. */
    FS_FEATURE_META_BLOCK_GROUPS = 11,
    /** An image without filetype. */
    FS_FEATURE_NO_FILE_TYPES = 12,
    /** A directory with casefold. */
    FS_FEATURE_CASEFOLD = 13,
    /** An unknown feature of ext4. */
    FS_FEATURE_UNKNOWN = 14,
    /** Bigalloc. */
    FS_FEATURE_CLUSTERS = 15,
    /** Large_dir. */
    FS_FEATURE_LARGE_DIRECTORIES = 16,
    /** Ea_inode. */
    FS_FEATURE_ATTRIBUTE_INODES = 17,
    /** Mmp. */
    FS_FEATURE_MULTI_MOUNT = 18,
    /** Quota. */
    FS_FEATURE_QUOTA = 19,
    /** Verity. */
    FS_FEATURE_VERITY = 20,
    /** Orphan_file with orphans. */
    FS_FEATURE_ORPHAN_FILE = 21,
    /** Fast_commit. */
    FS_FEATURE_FAST_COMMIT = 22,
    /** An image without extent. */
    FS_FEATURE_NO_EXTENTS = 23,
    /** An image without has_journal. */
    FS_FEATURE_NO_JOURNAL = 24,
    /** A journal below 1024 blocks. */
    FS_FEATURE_SMALL_JOURNAL = 25,
    /** A journal above 65536 blocks. */
    FS_FEATURE_LARGE_JOURNAL = 26,
    /** Recorded errors (e2fsck mends them). */
    FS_FEATURE_ERRORS = 27,
    /** A block map. */
    FS_FEATURE_BLOCK_MAP = 28,
};

/** What is known of a file. */
struct fs_status {
    /** What it is, of enum fs_kind. */
    seL4_Word kind;
    /** How many names it has. */
    seL4_Word links;
    /** Its size, in bytes. */
    seL4_Word size;
    /** When its contents last changed, in seconds since 1970. */
    seL4_Word modified;
    /** When anything of it last changed, in seconds since 1970. */
    seL4_Word changed;
};

/** How much a volume has, and how much is free. */
struct fs_space {
    /** Bytes of a block. */
    seL4_Word block_bytes;
    /** All blocks. */
    seL4_Word blocks;
    /** Blocks that are free. */
    seL4_Word free_blocks;
    /** All inodes. */
    seL4_Word inodes;
    /** Inodes that are free. */
    seL4_Word free_inodes;
};

/** The numbers of the operations. */
enum fs_operation {
    FS_OP_VERSION = 1,
    FS_OP_LOOKUP = 2,
    FS_OP_STAT = 3,
    FS_OP_READ_DIR = 4,
    FS_OP_READ = 5,
    FS_OP_CLOSE = 6,
    FS_OP_READ_STANDING = 7,
    FS_OP_RELEASE = 8,
    FS_OP_LOOKUP_SHORT = 9,
    FS_OP_READ_TAKEN = 10,
    FS_OP_READ_LENT = 11,
    FS_OP_WRITE = 12,
    FS_OP_TRUNCATE = 13,
    FS_OP_CREATE = 14,
    FS_OP_MAKE_DIR = 15,
    FS_OP_UNLINK = 16,
    FS_OP_REMOVE_DIR = 17,
    FS_OP_RENAME = 18,
    FS_OP_LINK = 19,
    FS_OP_SYMLINK = 20,
    FS_OP_SET_TIMES = 21,
    FS_OP_SYNC_FILE = 22,
    FS_OP_SYNC = 23,
    FS_OP_SPACE = 24,
    FS_OP_READ_LINK = 25,
    FS_OP_TRIM = 26,
};

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

/**
 * Asks for the protocol version, and for the peer to share containers with. Constant time.
 *
 * Anyone; constant time; idempotent.
 *
 * Rules: FS-10; FS-100 to FS-108.
 *
 * @param version FS_PROTOCOL_VERSION; may be NULL
 * @param fsserver_peer the peer at pmserver to share containers with; may be NULL
 * @return an error of enum fs_error; FS_PENDING if it waits for the disk
 */
static inline struct fs_result fs_version(seL4_Word *version, seL4_Word *fsserver_peer)
{
    struct fs_result call = fs_call(FS_OP_VERSION, 0, 2);
    if (call.error == FS_OK && version) {
        *version = microkit_mr_get(0);
    }
    if (call.error == FS_OK && fsserver_peer) {
        *fsserver_peer = microkit_mr_get(1);
    }
    return call;
}

/**
 * Opens a file or directory by its absolute path, which is at the start of frame 0 of the
 * container. The container must be shared with the READ right. Walks one directory per component. A
 * symlink is followed, inside the image, except as the last component: then the symlink itself is
 * opened.
 *
 * Reads one directory for each component. The container needs READ; the path is in frame 0.
 *
 * Rules: FS-20 to FS-23; FS-100 to FS-108.
 *
 * @param container the weak handle of a container with the path at the start of frame 0
 * @param path_bytes how many bytes the path has: 1 to FS_PATH_BYTES_MAX
 * @param file the file, which is open until fs_close(); may be NULL
 * @return an error of enum fs_error; FS_PENDING if it waits for the disk
 */
static inline struct fs_result fs_lookup(pm_container_t container, seL4_Word path_bytes,
        fs_file_t *file)
{
    microkit_mr_set(0, container.raw);
    microkit_mr_set(1, path_bytes);
    struct fs_result call = fs_call(FS_OP_LOOKUP, 2, 1);
    if (call.error == FS_OK && file) {
        file->raw = microkit_mr_get(0);
    }
    return call;
}

/**
 * Returns kind, names, size and times. Constant time.
 *
 * Constant time; idempotent. Kinds: 1 regular, 2 directory, 3 symlink, 4 special.
 *
 * Rules: FS-30; FS-100 to FS-108.
 *
 * @param file the file, as fs_lookup() or fs_create() has opened it
 * @param result the result; may be NULL
 * @return an error of enum fs_error; FS_PENDING if it waits for the disk
 */
static inline struct fs_result fs_stat(fs_file_t file, struct fs_status *result)
{
    microkit_mr_set(0, file.raw);
    struct fs_result call = fs_call(FS_OP_STAT, 1, 3);
    if (call.error == FS_OK && result) {
        result->kind = microkit_mr_get(0) & 0xffffffff;
        result->links = microkit_mr_get(0) >> 32;
        result->size = microkit_mr_get(1);
        result->modified = microkit_mr_get(2) & 0xffffffff;
        result->changed = microkit_mr_get(2) >> 32;
    }
    return call;
}

/**
 * Writes the next entries of a directory into frames `0..frames` of the container, which must be
 * shared with READ, WRITE and LOCK. A listing only goes forward: the cookie must be the one that
 * the last call on this handle returned.
 *
 * The container needs READ, WRITE and LOCK: fsserver locks it during the call, for at most half a
 * second. Frames 0 to `frames` - 1 are used.
 *
 * Rules: FS-40 to FS-44; FS-100 to FS-108.
 *
 * @param file the file, as fs_lookup() or fs_create() has opened it
 * @param container the weak handle of a container that is lent to fsserver
 * @param frames how many frames may be filled: 1 to PM_CALL_FRAMES_MAX
 * @param cookie 0 at first, then what the last call has told
 * @param bytes how many bytes of whole entries were written; may be NULL
 * @param next_cookie where to go on; 0 at the end of the directory; may be NULL
 * @return an error of enum fs_error; FS_PENDING if it waits for the disk
 */
static inline struct fs_result fs_read_dir(fs_file_t file, pm_container_t container,
        seL4_Word frames, seL4_Word cookie, seL4_Word *bytes, seL4_Word *next_cookie)
{
    microkit_mr_set(0, file.raw);
    microkit_mr_set(1, container.raw);
    microkit_mr_set(2, frames);
    microkit_mr_set(3, cookie);
    struct fs_result call = fs_call(FS_OP_READ_DIR, 4, 2);
    if (call.error == FS_OK && bytes) {
        *bytes = microkit_mr_get(0);
    }
    if (call.error == FS_OK && next_cookie) {
        *next_cookie = microkit_mr_get(1);
    }
    return call;
}

/**
 * Reads bytes `offset..offset+length` of a file, or as many as there are, to the start of frame
 * `start` of the container, which must be shared with READ, WRITE and LOCK: the range is locked
 * meanwhile. Reads at most 1 MiB (256 frames).
 *
 * The container needs READ, WRITE and LOCK, as for fs_read_dir(). At most 1 MiB a call.
 *
 * Rules: FS-50 to FS-53; FS-100 to FS-108.
 *
 * @param file the file, as fs_lookup() or fs_create() has opened it
 * @param container the weak handle of a container that is lent to fsserver
 * @param offset the first byte of the file
 * @param start_frame the number of the first frame of the container
 * @param length how many bytes: 1 to FS_READ_BYTES_MAX
 * @param bytes how many bytes are in the container now; 0 at the end of the file; may be NULL
 * @return an error of enum fs_error; FS_PENDING if it waits for the disk
 */
static inline struct fs_result fs_read(fs_file_t file, pm_container_t container, seL4_Word offset,
        seL4_Word start_frame, seL4_Word length, seL4_Word *bytes)
{
    microkit_mr_set(0, file.raw);
    microkit_mr_set(1, container.raw);
    microkit_mr_set(2, offset);
    microkit_mr_set(3, pm_field(start_frame, 0, 32) | pm_field(length, 32, 32));
    struct fs_result call = fs_call(FS_OP_READ, 4, 1);
    if (call.error == FS_OK && bytes) {
        *bytes = microkit_mr_get(0);
    }
    return call;
}

/**
 * Closes a file. Constant time.
 *
 * Constant time.
 *
 * Rules: FS-60; FS-100 to FS-108.
 *
 * @param file the file, as fs_lookup() or fs_create() has opened it
 * @return an error of enum fs_error; FS_PENDING if it waits for the disk
 */
static inline struct fs_result fs_close(fs_file_t file)
{
    microkit_mr_set(0, file.raw);
    return fs_call(FS_OP_CLOSE, 1, 0);
}

/**
 * Reads as fs_read() does, and lets fsserver keep its lease and its mapping for the next such call.
 *
 * fs_read_standing() as fs_read() (FS-50 to FS-53), for a client that accepts that fsserver could
 * still write: the next call neither locks nor maps. fs_release(): the client that owns the
 * container; idempotent.
 *
 * Rules: FS-70 to FS-74; FS-100 to FS-108.
 *
 * @param file the file, as fs_lookup() or fs_create() has opened it
 * @param container the weak handle of a container that is lent to fsserver
 * @param offset the first byte of the file
 * @param start_frame the number of the first frame of the container
 * @param length how many bytes: 1 to FS_READ_BYTES_MAX
 * @param bytes how many bytes are in the container now; 0 at the end of the file; may be NULL
 * @return an error of enum fs_error; FS_PENDING if it waits for the disk
 */
static inline struct fs_result fs_read_standing(fs_file_t file, pm_container_t container,
        seL4_Word offset, seL4_Word start_frame, seL4_Word length, seL4_Word *bytes)
{
    microkit_mr_set(0, file.raw);
    microkit_mr_set(1, container.raw);
    microkit_mr_set(2, offset);
    microkit_mr_set(3, pm_field(start_frame, 0, 32) | pm_field(length, 32, 32));
    struct fs_result call = fs_call(FS_OP_READ_STANDING, 4, 1);
    if (call.error == FS_OK && bytes) {
        *bytes = microkit_mr_get(0);
    }
    return call;
}

/**
 * Ends what stands of the container; succeeds if nothing does.
 *
 * fs_read_standing() as fs_read() (FS-50 to FS-53), for a client that accepts that fsserver could
 * still write: the next call neither locks nor maps. fs_release(): the client that owns the
 * container; idempotent.
 *
 * Rules: FS-70 to FS-74; FS-100 to FS-108.
 *
 * @param container the weak handle of a container that is lent to fsserver
 * @return an error of enum fs_error; FS_PENDING if it waits for the disk
 */
static inline struct fs_result fs_release(pm_container_t container)
{
    microkit_mr_set(0, container.raw);
    return fs_call(FS_OP_RELEASE, 1, 0);
}

/**
 * Opens a file or directory by a path of at most 32 bytes, without a container.
 *
 * As fs_lookup() (FS-20 to FS-23), for a path of at most 32 bytes. It needs no container.
 *
 * Rules: FS-80; FS-100 to FS-108.
 *
 * @param path the path, of 1 to FS_SHORT_PATH_BYTES_MAX bytes before its NUL
 * @param file the file, which is open until fs_close(); may be NULL
 * @return an error of enum fs_error; FS_PENDING if it waits for the disk
 */
static inline struct fs_result fs_lookup_short(const char *path, fs_file_t *file)
{
    if (!fs_set_path(path)) {
        return fs_outcome(FS_PATH_TOO_LONG);
    }
    struct fs_result call = fs_call(FS_OP_LOOKUP_SHORT, 4, 1);
    if (call.error == FS_OK && file) {
        file->raw = microkit_mr_get(0);
    }
    return call;
}

/**
 * Reads as fs_read() does, to the start of frame 0 of a container whose share is used once at a
 * time (ONCE), with WRITE. fsserver takes frames `0..frames`, and has given them back when it
 * answers. The client arms the share before the call and disarms it after it.
 *
 * As fs_read() (FS-50 to FS-53), into a share that is used once at a time (PM-430) and gives WRITE.
 * At most 256 frames, or 512; at most 1 MiB is read.
 *
 * Rules: FS-81 to FS-84; FS-100 to FS-108.
 *
 * @param file the file, as fs_lookup() or fs_create() has opened it
 * @param container the weak handle of a container that is lent to fsserver
 * @param offset the first byte of the file
 * @param frames how many frames are taken: 1 to PM_CALL_FRAMES_MAX, or PM_LARGE_FRAMES
 * @param length how many bytes: 1 to FS_READ_BYTES_MAX
 * @param bytes how many bytes are in the container now; 0 at the end of the file; may be NULL
 * @return an error of enum fs_error; FS_PENDING if it waits for the disk
 */
static inline struct fs_result fs_read_taken(fs_file_t file, pm_container_t container,
        seL4_Word offset, seL4_Word frames, seL4_Word length, seL4_Word *bytes)
{
    microkit_mr_set(0, file.raw);
    microkit_mr_set(1, container.raw);
    microkit_mr_set(2, offset);
    microkit_mr_set(3, pm_field(frames, 0, 32) | pm_field(length, 32, 32));
    struct fs_result call = fs_call(FS_OP_READ_TAKEN, 4, 1);
    if (call.error == FS_OK && bytes) {
        *bytes = microkit_mr_get(0);
    }
    return call;
}

/**
 * Replaces 512 frames of a container by a logical copy of 2 MiB of a file, or of what is left of it
 * with zeros behind. No byte is moved, unless fsserver has that part of the file not cached.
 *
 * Copies logically (PM-160) what fsserver keeps of the file in memory of its own. The container
 * needs WRITE. No lease is taken.
 *
 * Rules: FS-90 to FS-96; FS-100 to FS-108.
 *
 * @param file the file, as fs_lookup() or fs_create() has opened it
 * @param container the weak handle of a container that is lent to fsserver
 * @param offset the first byte of the file
 * @param start the number of the first frame of the container
 * @param bytes how many bytes are in the container now; 0 at the end of the file; may be NULL
 * @return an error of enum fs_error; FS_PENDING if it waits for the disk
 */
static inline struct fs_result fs_read_lent(fs_file_t file, pm_container_t container,
        seL4_Word offset, seL4_Word start, seL4_Word *bytes)
{
    microkit_mr_set(0, file.raw);
    microkit_mr_set(1, container.raw);
    microkit_mr_set(2, offset);
    microkit_mr_set(3, start);
    struct fs_result call = fs_call(FS_OP_READ_LENT, 4, 1);
    if (call.error == FS_OK && bytes) {
        *bytes = microkit_mr_get(0);
    }
    return call;
}

/**
 * Writes `length` bytes to a file, at most 1 MiB, from the start of frame `start` of the container
 * on, which needs READ. No byte is moved: the frames are copied logically. The file grows if the
 * range ends past its end; what lies between is a hole.
 *
 * Not while the client may only read (FS-121). At most 1 MiB a fs_write(); the container needs
 * READ.
 *
 * Rules: FS-140 to FS-144; FS-100 to FS-108.
 *
 * @param file the file, as fs_lookup() or fs_create() has opened it
 * @param container the weak handle of a container that is lent to fsserver
 * @param offset the first byte of the file
 * @param start_frame the number of the first frame of the container
 * @param length how many bytes: 1 to FS_READ_BYTES_MAX
 * @param bytes how many bytes are in the file now; may be NULL
 * @return an error of enum fs_error; FS_PENDING if it waits for the disk
 */
static inline struct fs_result fs_write(fs_file_t file, pm_container_t container, seL4_Word offset,
        seL4_Word start_frame, seL4_Word length, seL4_Word *bytes)
{
    microkit_mr_set(0, file.raw);
    microkit_mr_set(1, container.raw);
    microkit_mr_set(2, offset);
    microkit_mr_set(3, pm_field(start_frame, 0, 32) | pm_field(length, 32, 32));
    struct fs_result call = fs_call(FS_OP_WRITE, 4, 1);
    if (call.error == FS_OK && bytes) {
        *bytes = microkit_mr_get(0);
    }
    return call;
}

/**
 * Makes a file smaller, or larger by zeros.
 *
 * Not while the client may only read (FS-121). At most 1 MiB a fs_write(); the container needs
 * READ.
 *
 * Rules: FS-140 to FS-144; FS-100 to FS-108.
 *
 * @param file the file, as fs_lookup() or fs_create() has opened it
 * @param size the new size, in bytes
 * @return an error of enum fs_error; FS_PENDING if it waits for the disk
 */
static inline struct fs_result fs_truncate(fs_file_t file, seL4_Word size)
{
    microkit_mr_set(0, file.raw);
    microkit_mr_set(1, size);
    return fs_call(FS_OP_TRUNCATE, 2, 0);
}

/**
 * Makes an empty regular file and opens it.
 *
 * The container needs READ; the path is in frame 0, and is followed as by fs_lookup() (FS-20,
 * FS-21) but for its last component, the name that is made or removed. A symlink of that name is
 * not followed. The root can be opened, but not made (FS_EXISTS), removed or renamed
 * (FS_IS_A_DIRECTORY for fs_unlink(), else FS_BUSY). A slash at the end of a path says that it is
 * one of a directory: fs_create(), fs_symlink() and fs_link() make none there (FS_IS_A_DIRECTORY),
 * and what is none is not removed or renamed by such a path, nor renamed to one
 * (FS_NOT_A_DIRECTORY).
 *
 * Rules: FS-150 to FS-153; FS-100 to FS-108.
 *
 * @param container the weak handle of a container with the path at the start of frame 0
 * @param path_bytes how many bytes the path has: 1 to FS_PATH_BYTES_MAX
 * @param file the file, which is open until fs_close(); may be NULL
 * @return an error of enum fs_error; FS_PENDING if it waits for the disk
 */
static inline struct fs_result fs_create(pm_container_t container, seL4_Word path_bytes,
        fs_file_t *file)
{
    microkit_mr_set(0, container.raw);
    microkit_mr_set(1, path_bytes);
    struct fs_result call = fs_call(FS_OP_CREATE, 2, 1);
    if (call.error == FS_OK && file) {
        file->raw = microkit_mr_get(0);
    }
    return call;
}

/**
 * Makes an empty directory.
 *
 * The container needs READ; the path is in frame 0, and is followed as by fs_lookup() (FS-20,
 * FS-21) but for its last component, the name that is made or removed. A symlink of that name is
 * not followed. The root can be opened, but not made (FS_EXISTS), removed or renamed
 * (FS_IS_A_DIRECTORY for fs_unlink(), else FS_BUSY). A slash at the end of a path says that it is
 * one of a directory: fs_create(), fs_symlink() and fs_link() make none there (FS_IS_A_DIRECTORY),
 * and what is none is not removed or renamed by such a path, nor renamed to one
 * (FS_NOT_A_DIRECTORY).
 *
 * Rules: FS-150 to FS-153; FS-100 to FS-108.
 *
 * @param container the weak handle of a container with the path at the start of frame 0
 * @param path_bytes how many bytes the path has: 1 to FS_PATH_BYTES_MAX
 * @return an error of enum fs_error; FS_PENDING if it waits for the disk
 */
static inline struct fs_result fs_make_dir(pm_container_t container, seL4_Word path_bytes)
{
    microkit_mr_set(0, container.raw);
    microkit_mr_set(1, path_bytes);
    return fs_call(FS_OP_MAKE_DIR, 2, 0);
}

/**
 * Removes a name of what is no directory. A file is gone with its last name, or when it is closed.
 *
 * The container needs READ; the path is in frame 0, and is followed as by fs_lookup() (FS-20,
 * FS-21) but for its last component, the name that is made or removed. A symlink of that name is
 * not followed. The root can be opened, but not made (FS_EXISTS), removed or renamed
 * (FS_IS_A_DIRECTORY for fs_unlink(), else FS_BUSY). A slash at the end of a path says that it is
 * one of a directory: fs_create(), fs_symlink() and fs_link() make none there (FS_IS_A_DIRECTORY),
 * and what is none is not removed or renamed by such a path, nor renamed to one
 * (FS_NOT_A_DIRECTORY).
 *
 * Rules: FS-150 to FS-153; FS-100 to FS-108.
 *
 * @param container the weak handle of a container with the path at the start of frame 0
 * @param path_bytes how many bytes the path has: 1 to FS_PATH_BYTES_MAX
 * @return an error of enum fs_error; FS_PENDING if it waits for the disk
 */
static inline struct fs_result fs_unlink(pm_container_t container, seL4_Word path_bytes)
{
    microkit_mr_set(0, container.raw);
    microkit_mr_set(1, path_bytes);
    return fs_call(FS_OP_UNLINK, 2, 0);
}

/**
 * Removes an empty directory.
 *
 * The container needs READ; the path is in frame 0, and is followed as by fs_lookup() (FS-20,
 * FS-21) but for its last component, the name that is made or removed. A symlink of that name is
 * not followed. The root can be opened, but not made (FS_EXISTS), removed or renamed
 * (FS_IS_A_DIRECTORY for fs_unlink(), else FS_BUSY). A slash at the end of a path says that it is
 * one of a directory: fs_create(), fs_symlink() and fs_link() make none there (FS_IS_A_DIRECTORY),
 * and what is none is not removed or renamed by such a path, nor renamed to one
 * (FS_NOT_A_DIRECTORY).
 *
 * Rules: FS-150 to FS-153; FS-100 to FS-108.
 *
 * @param container the weak handle of a container with the path at the start of frame 0
 * @param path_bytes how many bytes the path has: 1 to FS_PATH_BYTES_MAX
 * @return an error of enum fs_error; FS_PENDING if it waits for the disk
 */
static inline struct fs_result fs_remove_dir(pm_container_t container, seL4_Word path_bytes)
{
    microkit_mr_set(0, container.raw);
    microkit_mr_set(1, path_bytes);
    return fs_call(FS_OP_REMOVE_DIR, 2, 0);
}

/**
 * Gives a file or directory another name, in one step: what that stood for is replaced.
 *
 * The container needs READ. Two paths of at most 4095 bytes together are in frame 0, the second at
 * once after the first.
 *
 * Rules: FS-160 to FS-164; FS-100 to FS-108.
 *
 * @param container the weak handle of a container with both at the start of frame 0, one after the
 *     other
 * @param from_bytes how many bytes the first path has
 * @param to_bytes how many bytes the second path has; both together at most FS_TWO_PATHS_BYTES_MAX
 * @return an error of enum fs_error; FS_PENDING if it waits for the disk
 */
static inline struct fs_result fs_rename(pm_container_t container, seL4_Word from_bytes,
        seL4_Word to_bytes)
{
    microkit_mr_set(0, container.raw);
    microkit_mr_set(1, pm_field(from_bytes, 0, 32) | pm_field(to_bytes, 32, 32));
    return fs_call(FS_OP_RENAME, 2, 0);
}

/**
 * Gives a file one more name.
 *
 * The container needs READ. Two paths of at most 4095 bytes together are in frame 0, the second at
 * once after the first.
 *
 * Rules: FS-160 to FS-164; FS-100 to FS-108.
 *
 * @param container the weak handle of a container with both at the start of frame 0, one after the
 *     other
 * @param existing_bytes how many bytes the first path has
 * @param new_bytes how many bytes the second path has; both together at most FS_TWO_PATHS_BYTES_MAX
 * @return an error of enum fs_error; FS_PENDING if it waits for the disk
 */
static inline struct fs_result fs_link(pm_container_t container, seL4_Word existing_bytes,
        seL4_Word new_bytes)
{
    microkit_mr_set(0, container.raw);
    microkit_mr_set(1, pm_field(existing_bytes, 0, 32) | pm_field(new_bytes, 32, 32));
    return fs_call(FS_OP_LINK, 2, 0);
}

/**
 * Makes a symbolic link.
 *
 * The container needs READ. Two paths of at most 4095 bytes together are in frame 0, the second at
 * once after the first.
 *
 * Rules: FS-160 to FS-164; FS-100 to FS-108.
 *
 * @param container the weak handle of a container with both at the start of frame 0, one after the
 *     other
 * @param target_bytes how many bytes there are of where it leads to
 * @param path_bytes how many bytes the path of the symbolic link has
 * @return an error of enum fs_error; FS_PENDING if it waits for the disk
 */
static inline struct fs_result fs_symlink(pm_container_t container, seL4_Word target_bytes,
        seL4_Word path_bytes)
{
    microkit_mr_set(0, container.raw);
    microkit_mr_set(1, pm_field(target_bytes, 0, 32) | pm_field(path_bytes, 32, 32));
    return fs_call(FS_OP_SYMLINK, 2, 0);
}

/**
 * Sets when a file was last read and changed, in seconds since 1970; `None` leaves it.
 *
 * Constant time.
 *
 * Rules: FS-170; FS-100 to FS-108.
 *
 * @param file the file, as fs_lookup() or fs_create() has opened it
 * @param accessed when it was last read, in seconds since 1970, or FS_LEAVE_TIME
 * @param modified when it last changed, in seconds since 1970, or FS_LEAVE_TIME
 * @return an error of enum fs_error; FS_PENDING if it waits for the disk
 */
static inline struct fs_result fs_set_times(fs_file_t file, seL4_Word accessed, seL4_Word modified)
{
    microkit_mr_set(0, file.raw);
    microkit_mr_set(1, accessed);
    microkit_mr_set(2, modified);
    return fs_call(FS_OP_SET_TIMES, 3, 0);
}

/**
 * Makes what was done to a file last: it is on the disk when this succeeds.
 *
 * Rules: FS-175 to FS-176; FS-100 to FS-108.
 *
 * @param file the file, as fs_lookup() or fs_create() has opened it
 * @return an error of enum fs_error; FS_PENDING if it waits for the disk
 */
static inline struct fs_result fs_sync_file(fs_file_t file)
{
    microkit_mr_set(0, file.raw);
    return fs_call(FS_OP_SYNC_FILE, 1, 0);
}

/**
 * Makes all that was done last.
 *
 * Rules: FS-175 to FS-176; FS-100 to FS-108.
 *
 * @return an error of enum fs_error; FS_PENDING if it waits for the disk
 */
static inline struct fs_result fs_sync(void)
{
    return fs_call(FS_OP_SYNC, 0, 0);
}

/**
 * Returns how much space the volume has.
 *
 * Constant time; idempotent.
 *
 * Rules: FS-180; FS-100 to FS-108.
 *
 * @param result the result; may be NULL
 * @return an error of enum fs_error; FS_PENDING if it waits for the disk
 */
static inline struct fs_result fs_space(struct fs_space *result)
{
    struct fs_result call = fs_call(FS_OP_SPACE, 0, 4);
    if (call.error == FS_OK && result) {
        result->block_bytes = microkit_mr_get(0);
        result->blocks = microkit_mr_get(1);
        result->free_blocks = microkit_mr_get(2);
        result->inodes = microkit_mr_get(3) & 0xffffffff;
        result->free_inodes = microkit_mr_get(3) >> 32;
    }
    return call;
}

/**
 * Writes where a symbolic link leads to the start of frame 0 of the container, which must be shared
 * with READ, WRITE and LOCK.
 *
 * The container needs READ, WRITE and LOCK, as for fs_read().
 *
 * Rules: FS-185; FS-100 to FS-108.
 *
 * @param file the file, as fs_lookup() or fs_create() has opened it
 * @param container the weak handle of a container that is lent to fsserver
 * @param bytes how many bytes are in the container now; 0 at the end of the file; may be NULL
 * @return an error of enum fs_error; FS_PENDING if it waits for the disk
 */
static inline struct fs_result fs_read_link(fs_file_t file, pm_container_t container,
        seL4_Word *bytes)
{
    microkit_mr_set(0, file.raw);
    microkit_mr_set(1, container.raw);
    struct fs_result call = fs_call(FS_OP_READ_LINK, 2, 1);
    if (call.error == FS_OK && bytes) {
        *bytes = microkit_mr_get(0);
    }
    return call;
}

/**
 * Gives up the memory of what is cached. What is read next comes from the disk.
 *
 * Anyone; idempotent. For measurements, and for who wants fsserver's account to be as it was.
 *
 * Rules: FS-190; FS-100 to FS-108.
 *
 * @return an error of enum fs_error; FS_PENDING if it waits for the disk
 */
static inline struct fs_result fs_trim(void)
{
    return fs_call(FS_OP_TRIM, 0, 0);
}
