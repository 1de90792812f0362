// SPDX-License-Identifier: BSD-2-Clause
//! What the names in the tables are in C: their types, and what a comment says of them.

/// The names of replies that count what was done: `struct pm_result` has them.
pub(crate) const DONE: &[&str] =
    &["done", "freed", "mapped", "unmapped", "renewed", "marked", "taken back", "tables made"];

/// Results that are told in a structure: operation, structure, and what it is.
pub(crate) const STRUCTURES: &[(&str, &str, &str)] = &[
    (
        "account_info",
        "pm_account_info",
        "An account: its limit and its use, in pages of PM_PAGE_BYTES.",
    ),
    ("create_with", "pm_created", "A container that was made, filled and lent."),
    ("create_from", "pm_created", ""),
    ("create_gather", "pm_created", ""),
    ("extra_request", "pm_extra_request", "Which extra frames are asked back."),
    ("pin", "pm_pinned", "A pin, and where a device finds its first frames."),
    (
        "next_fault",
        "pm_pending_fault",
        "A fault that its handler has to answer; `fault` is 0 if there is none.",
    ),
    ("stat", "fs_status", "What is known of a file."),
    ("space", "fs_space", "How much a volume has, and how much is free."),
];

/// Returns the type in C of a field of a request or a reply.
pub(crate) fn type_of(field: &str) -> &'static str {
    match field {
        "account" => "pm_account_t",
        "container" | "source" | "destination" | "weak handle" => "pm_container_t",
        "share" => "pm_share_t",
        "lease" => "pm_lease_t",
        "fault" => "pm_fault_t",
        "range" => "pm_range_t",
        "file" => "fs_file_t",
        "terms" => "struct pm_terms",
        "vaddr" | "entry" | "stack top" => "uintptr_t",
        _ => "seL4_Word",
    }
}

/// Returns the expression for the register of an argument.
pub(crate) fn to_word(field: &str, name: &str) -> String {
    match type_of(field) {
        "struct pm_terms" => format!("pm_terms_word({name})"),
        "seL4_Word" | "uintptr_t" => name.to_owned(),
        _ => format!("{name}.raw"),
    }
}

/// Returns what a comment says of an argument of an operation of pmserver.
pub(crate) fn argument(operation: &str, field: &str) -> &'static str {
    match (operation, field) {
        ("share" | "set_handler", "count") => "how many frame numbers: any, as no frame is touched",
        ("attach", "count") => "how many pages: 1 to 2^32 - 1",
        ("status", "count") => {
            "how many frames: at least 1; more than PM_STATUS_FRAMES_MAX are cut"
        }
        ("unmap" | "remap", "count") => {
            "how many pages: 1 to PM_CALL_FRAMES_MAX, or PM_LARGE_FRAMES (PM-445)"
        }
        ("ensure_tables", "count") => "how many pages: 1 to PM_CALL_FRAMES_MAX",
        ("ungrant", "count") => "how many grants: 1 to PM_CALL_FRAMES_MAX",
        ("allocate" | "deallocate" | "map" | "copy" | "lock" | "take", "count") => {
            "how many frames: 1 to PM_CALL_FRAMES_MAX, or PM_LARGE_FRAMES from a multiple of it on \
             (PM-445)"
        }
        ("pin", "count") => {
            "how many frames: 1 to PM_CALL_FRAMES_MAX, or PM_LARGE_FRAMES that are a large frame \
             (PM-460)"
        }
        (_, "count") => "how many frames: 1 to PM_CALL_FRAMES_MAX",
        ("allocate" | "allocate_anywhere", "flags") => "of enum pm_allocate_flags",
        ("deallocate", "flags") => "of enum pm_deallocate_flags",
        ("copy" | "copy_list", "flags") => "of enum pm_copy_flags",
        ("account_split" | "account_set_limits", "flags") => "of enum pm_limit_flags",
        (_, "flags") | ("grant", "rights") => "of enum pm_map_flags",
        (_, "rights") => "of enum pm_account_rights",
        (_, "marks") => "of enum pm_marks",
        (_, "mode") => "of enum pm_lock_mode",
        (_, "what") => "of enum pm_disturbance",
        (_, "book") => "of enum pm_book",
        (_, "part") => "which part of the row: 0 is the first (PM-471)",
        ("allocate_contiguous", "align") => "the address is a multiple of 2^align bytes: 0 to 63",
        ("allocate_contiguous", "limit") => "the end is at or below 2^limit bytes: 0 to 64",
        (_, "limit") => "how many pages it may use: at most 2^32 - 1",
        (_, "account") => "the account; PM_ACCOUNT_OWN is the caller's own",
        (_, "container") => "the container",
        (_, "source") => "the container to copy from",
        (_, "destination") => "the container to copy to",
        ("copy", "its start") => "the number of the first frame there",
        (_, "start") => "the number of the first frame",
        ("bus_address" | "supply", "frame") => "the number of the frame",
        (_, "share") => "the share, for the container's owner",
        (_, "terms") => "to whom it is lent, and on which terms",
        (_, "lease") => "the lease, for who took it",
        (_, "fault") => "the fault, as pm_next_fault() told it",
        (_, "vaddr") => "the address of the first page, a multiple of PM_PAGE_BYTES",
        ("watch", "ttl_us") => {
            "for how long, in microseconds: at most ten seconds; 0 ends the watch"
        }
        (_, "ttl_us") => "for how long, in microseconds: 1 to PM_LEASE_US_MAX",
        ("set_handler", "peer") => "the peer that supplies the frames; 0 ends the range",
        (_, "peer") => "the number of the peer: 1 to 31",
        (_, "cookie") => "32 bits by which the handler is told the range",
        (_, "entry") => "where the program goes on",
        (_, "stack top") => "the stack it has there",
        (_, "cursor") => "0 at first, then what the last call has told",
        (_, "address") => "the address of the first capability",
        _ => panic!("{operation}: {field} has no words"),
    }
}

/// Returns what a comment says of a result of an operation of pmserver.
pub(crate) fn result(operation: &str, field: &str) -> &'static str {
    match (operation, field) {
        (_, "version") => "PM_PROTOCOL_VERSION",
        ("whoami", "peer") => "the number by which others share to the caller",
        (_, "account") => "the account",
        (_, "microseconds") => "the time, in microseconds",
        (_, "container") => "the container",
        (_, "share") => "the share, with which the owner ends it",
        (_, "weak handle") => "what the owner tells the peer: the handle is the peer's",
        (_, "lease") => "the lease",
        ("rescue", "next deadline") => "when the next watch runs out; 2^64 - 1 if there is none",
        (_, "deadline") => "when it ends, in microseconds on pmserver's clock",
        (_, "rescued") => "how many servers were sent to their entry, or stopped",
        (_, "objects left") => "how many objects wait to be torn down",
        (_, "start") => "the number of the first frame",
        ("grant", "address") => "the address of the first capability; the others follow it",
        ("grant", "count") => "how many capabilities",
        (_, "rights") => "the rights of all of them, of enum pm_map_flags",
        ("extra_request", "count") => "how many; 0 if none are",
        ("disturb", "count") => "how many mappings or frames were disturbed",
        (_, "sequence") => "the number of the request; each has a higher one than the last",
        (_, "bus address") => "where a device finds the first frame",
        (_, "run") => "how many frames, with that one, are contiguous there",
        (_, "range") => "the range, as its handler is told it",
        (_, "fault") => "the fault: pm_supply() and pm_refuse() take it",
        (_, "cookie") => "the cookie that pm_set_handler() gave the range: anybody's word",
        (_, "access") => "how the frame was accessed, of enum pm_access",
        (_, "frame") => "the number of the frame",
        (_, "cursor") => "the cursor for the next call; 0 at the end",
        (_, "head") => "the head of the part (PM-471); 0 if no row was found",
        (_, "first word" | "second word") => "a word of the part",
        (_, "was armed") => "1 if the share was armed, 0 if it was free",
        ("account_info", "limit") => "the most that the account may use",
        ("account_info", "frames") => "frames, each charged in full",
        ("account_info", "tables") => "page tables",
        ("account_info", "slots") => "slots for the capabilities of mappings and grants",
        ("account_info", "records") => "pmserver's records",
        ("account_info", "extra") => "extra frames, which do not count against the limit",
        ("account_info", "promised") => "the limits of accounts that were split off",
        ("account_info", "free") => "free memory of the pool; 0 for other accounts",
        _ => panic!("{operation}: the result {field} has no words"),
    }
}

/// Returns what a comment says of an argument of an operation of fsserver.
pub(crate) fn file_argument(operation: &str, field: &str) -> &'static str {
    match (operation, field) {
        (_, "file") => "the file, as fs_lookup() or fs_create() has opened it",
        ("lookup" | "create" | "make_dir" | "unlink" | "remove_dir", "container") => {
            "the weak handle of a container with the path at the start of frame 0"
        }
        ("rename" | "link" | "symlink", "container") => {
            "the weak handle of a container with both at the start of frame 0, one after the other"
        }
        (_, "container") => "the weak handle of a container that is lent to fsserver",
        ("symlink", "path bytes") => "how many bytes the path of the symbolic link has",
        (_, "path bytes") => "how many bytes the path has: 1 to FS_PATH_BYTES_MAX",
        (_, "from bytes" | "existing bytes") => "how many bytes the first path has",
        (_, "to bytes" | "new bytes") => {
            "how many bytes the second path has; both together at most FS_TWO_PATHS_BYTES_MAX"
        }
        (_, "target bytes") => "how many bytes there are of where it leads to",
        ("read_taken", "frames") => {
            "how many frames are taken: 1 to PM_CALL_FRAMES_MAX, or PM_LARGE_FRAMES"
        }
        (_, "frames") => "how many frames may be filled: 1 to PM_CALL_FRAMES_MAX",
        (_, "cookie") => "0 at first, then what the last call has told",
        (_, "offset") => "the first byte of the file",
        (_, "start frame" | "start") => "the number of the first frame of the container",
        (_, "length") => "how many bytes: 1 to FS_READ_BYTES_MAX",
        (_, "size") => "the new size, in bytes",
        (_, "accessed") => "when it was last read, in seconds since 1970, or FS_LEAVE_TIME",
        (_, "modified") => "when it last changed, in seconds since 1970, or FS_LEAVE_TIME",
        _ => panic!("{operation}: {field} has no words"),
    }
}

/// Returns what a comment says of a result of an operation of fsserver.
pub(crate) fn file_result(operation: &str, field: &str) -> &'static str {
    match (operation, field) {
        (_, "version") => "FS_PROTOCOL_VERSION",
        (_, "fsserver's peer") => "the peer at pmserver to share containers with",
        (_, "file") => "the file, which is open until fs_close()",
        ("read_dir", "bytes") => "how many bytes of whole entries were written",
        ("write", "bytes") => "how many bytes are in the file now",
        (_, "bytes") => "how many bytes are in the container now; 0 at the end of the file",
        (_, "next cookie") => "where to go on; 0 at the end of the directory",
        (_, "kind") => "what it is, of enum fs_kind",
        (_, "links") => "how many names it has",
        (_, "size") => "its size, in bytes",
        (_, "modified") => "when its contents last changed, in seconds since 1970",
        (_, "changed") => "when anything of it last changed, in seconds since 1970",
        (_, "block bytes") => "bytes of a block",
        (_, "blocks") => "all blocks",
        (_, "free blocks") => "blocks that are free",
        (_, "inodes") => "all inodes",
        (_, "free inodes") => "inodes that are free",
        _ => panic!("{operation}: the result {field} has no words"),
    }
}
