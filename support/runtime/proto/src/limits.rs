// SPDX-License-Identifier: BSD-2-Clause
//! Every compile-time limit, with its reason and the relations between them.

/// Message registers that a request or a reply may use. What is called often uses
/// [`FASTPATH_REGISTERS`] at most; lists and reports of many numbers use more.
pub const MESSAGE_REGISTERS_MAX: usize = 16;

/// Message registers that the kernel's IPC fastpath carries (decision D5).
pub const FASTPATH_REGISTERS: usize = 4;

/// Frames that one call of pmserver touches at most, 1 MiB (decision D6). What a call does with a
/// frame is bounded by [`FRAME_MAPPINGS_MAX`]: to take one mapping away is one kernel invocation,
/// and three more where three page tables go with it; so no call makes more than 256 × 4 × 4 of
/// those.
pub const CALL_FRAMES_MAX: u64 = 256;

/// Shares of one container at a time: every operation on a container may walk them all.
pub const CONTAINER_SHARES_MAX: u16 = 16;

/// Leases on one container at a time, for the same reason.
pub const CONTAINER_LEASES_MAX: u16 = 16;

/// Those of them that only the owner can take, so that borrowers cannot use all up.
pub const CONTAINER_LEASES_OWNER: u16 = 2;

/// Leases through one share at a time.
pub const SHARE_LEASES_MAX: u16 = 4;

/// Leases that one domain holds at a time: what ends with it when it is sent to its recovery entry.
pub const PEER_LEASES_MAX: u16 = 64;

/// Mappings of one virtual frame at a time: what unsharing or locking must take away per frame.
pub const FRAME_MAPPINGS_MAX: u16 = 4;

/// Those of them that only the owner can make, so that borrowers cannot use all up.
pub const FRAME_MAPPINGS_OWNER: u16 = 1;

/// Virtual frames that are really shared with each other at a time: what a copy-on-write break, a
/// lock or a move has to look at for one frame.
pub const SHARERS_MAX: usize = 8;

/// Ranges of one container that others supply, at a time: every first access may walk them all.
pub const CONTAINER_HANDLERS_MAX: u16 = 4;

/// Regions of one VSpace at a time.
pub const VSPACE_REGIONS_MAX: u16 = 16;

/// Grants of one peer at a time: the slots of a CNode that is one page large.
pub const PEER_GRANTS_MAX: u8 = 128;

/// Frames under one pin: what is copied when it runs out.
pub const PIN_FRAMES_MAX: u64 = 64;

/// Frames that one peer pins at a time: what is copied when it is stopped.
pub const PEER_PINNED_FRAMES_MAX: u64 = 256;

/// How long an access waits for the handler of its range, in microseconds (one second).
pub const HANDLER_MICROS_MAX: u64 = 1_000_000;

/// Pages of the pool that a search for contiguous ones looks at in one call.
pub const CONTIGUOUS_LOOK_PAGES: u32 = 1024;

/// Virtual frames on one page at most for pmserver to move it: each is bound anew.
pub const MOVE_HOLDERS_MAX: u32 = 32;

/// Accounts from one that was split off up to the pool's, both counted: a charge walks them all.
pub const ACCOUNT_DEPTH_MAX: usize = 16;

/// Peers that one account is lent to at a time: all of them hear of what it is asked for.
pub const ACCOUNT_LOANS_MAX: usize = 16;

/// Accounts that one request for extra frames goes to: it is kept outside the pool. What these do
/// not have is asked of others afterwards.
pub const ASKED_ACCOUNTS_MAX: usize = 8;

/// How long the owners of extra frames have to give them back, in microseconds (a tenth of a
/// second): long enough to be run and to choose, short for whoever waits for what was promised.
pub const EXTRA_MICROS: u64 = 100_000;

/// Extra frames that one call looks at to drop them; those that are leased or pinned are passed
/// over.
pub const PRESSURE_FRAMES_MAX: u64 = 2 * CALL_FRAMES_MAX;

/// The longest lease that a share may allow, in microseconds (one second): how long an owner can
/// be kept from its own memory.
pub const LEASE_MICROS_MAX: u64 = 1_000_000;

/// The longest time that a caller may ask to be guarded for, in microseconds (ten seconds).
pub const WATCH_MICROS_MAX: u64 = 10_000_000;

/// One past the highest peer number: the VSpace of peer n is in root slot 32 + n of pmserver's
/// CSpace, which has 64. There is no peer 0: that slot is pmserver's own.
pub const PEERS_MAX: usize = 32;

/// Frame states that one `status` reply carries: 16 bits each in six registers.
pub const STATUS_FRAMES_MAX: u64 = 24;

/// Frames that teardown frees in one step (decision D6).
pub const RECLAIM_STEP_FRAMES: u64 = 64;

/// Bytes of the longest path that fsserver accepts, the first `/` counted: a page, and as long as
/// the longest relative path that Linux takes (4095 bytes) with that `/`.
pub const PATH_BYTES_MAX: usize = 4096;

/// Files that one client may hold open at fsserver: times [`FS_CLIENTS_MAX`] this bounds fsserver's
/// heap, which an open file takes up to 32 KiB of.
pub const OPEN_FILES_PER_CLIENT_MAX: usize = 4;

/// Clients that fsserver promises [`OPEN_FILES_PER_CLIENT_MAX`] open files.
pub const FS_CLIENTS_MAX: usize = 4;

/// Longest lease that fsserver asks for while it fills a container, in microseconds.
pub const FS_LEASE_MICROS: u64 = 500_000;

const _: () = {
    assert!(FS_LEASE_MICROS <= LEASE_MICROS_MAX);
    assert!(LEASE_MICROS_MAX <= WATCH_MICROS_MAX);
    assert!(FRAME_MAPPINGS_OWNER < FRAME_MAPPINGS_MAX);
    assert!(CONTAINER_LEASES_OWNER + SHARE_LEASES_MAX <= CONTAINER_LEASES_MAX);
    assert!(RECLAIM_STEP_FRAMES <= CALL_FRAMES_MAX);
    assert!(STATUS_FRAMES_MAX == 6 * 4 && FASTPATH_REGISTERS <= MESSAGE_REGISTERS_MAX);
    assert!(PATH_BYTES_MAX <= 4096);
};
