// SPDX-License-Identifier: BSD-2-Clause
//! Every compile-time limit, with its reason and the relations between them.

/// Message registers that a request or a reply may use. Frequent operations use at most
/// [`FASTPATH_REGISTERS`]; lists and reports use more.
pub const MESSAGE_REGISTERS_MAX: usize = 16;

/// Message registers that the kernel's IPC fastpath carries (decision D5).
pub const FASTPATH_REGISTERS: usize = 4;

/// Frames that one call of pmserver may name: 1 MiB (decision D6). How many of them it does is
/// bounded by [`CALL_WORK_MAX`].
pub const CALL_FRAMES_MAX: u64 = 256;

/// Frames of 4 KiB in a large frame. A call may also name so many, as a whole: at a number, and if
/// it names an address, at an address, that is a multiple of their size.
pub const LARGE_FRAMES: u64 = 512;

/// The work of one call of pmserver, of one fault, and of one step of teardown, in instructions at
/// measured costs (decision 0019). A call that has done this much stops, and is called again.
pub const CALL_WORK_MAX: u64 = 1_000_000;

/// The part of [`CALL_WORK_MAX`] that is kept free for one more frame: it may be one memory with
/// [`SHARERS_MAX`] frames, with [`FRAME_MAPPINGS_MAX`] mappings of each, or each of its own
/// mappings may be the last one in three page tables.
pub const FRAME_WORK_MAX: u64 = 300_000;

/// The work of the cheapest kernel invocation, with what pmserver does around it.
pub const INVOCATION_WORK: u64 = 1_000;

/// Kernel invocations that one call of pmserver makes at most: [`CALL_WORK_MAX`] bounds them.
pub const CALL_INVOCATIONS_MAX: u64 = CALL_WORK_MAX / INVOCATION_WORK;

/// Shares that one container may have at a time: every operation on a container may walk them all.
pub const CONTAINER_SHARES_MAX: u16 = 16;

/// Leases that one container may have at a time, for the same reason.
pub const CONTAINER_LEASES_MAX: u16 = 16;

/// How many of these are reserved for the owner, so that borrowers cannot use them all up.
pub const CONTAINER_LEASES_OWNER: u16 = 2;

/// Leases that may be taken through one share at a time.
pub const SHARE_LEASES_MAX: u16 = 4;

/// Leases that one domain may hold at a time: all of them end when it is sent to its recovery
/// entry.
pub const PEER_LEASES_MAX: u16 = 64;

/// Mappings that one virtual frame may have at a time: unsharing and locking may remove them all.
pub const FRAME_MAPPINGS_MAX: u16 = 4;

/// How many of these are reserved for the owner, so that borrowers cannot use them all up.
pub const FRAME_MAPPINGS_OWNER: u16 = 1;

/// Pages that pmserver maps at most with one access in a region, which is one of them.
pub const MAP_AHEAD_MAX: u64 = 64;

/// Virtual frames that may use one physical frame at a time: a copy-on-write break, a lock or a
/// move looks at all of them.
pub const SHARERS_MAX: usize = 8;

/// Ranges of one container that may have a handler at a time: every first access may walk them
/// all.
pub const CONTAINER_HANDLERS_MAX: u16 = 4;

/// Regions that one VSpace may have at a time.
pub const VSPACE_REGIONS_MAX: u16 = 16;

/// Grants that one peer may hold at a time: the number of slots of a CNode of one page.
pub const PEER_GRANTS_MAX: u8 = 128;

/// Frames that one peer may have pinned at a time, which it pays for: two large frames for each of
/// two clients of a driver, and memory of its own.
pub const PEER_PINNED_FRAMES_MAX: u64 = 2 * BLOCK_FRAMES_PER_CLIENT_MAX + 64;

/// How long an access waits for the handler of its range, in microseconds (one second).
pub const HANDLER_MICROS_MAX: u64 = 1_000_000;

/// Pages of the pool that one call examines in its search for contiguous ones.
pub const CONTIGUOUS_LOOK_PAGES: u32 = 1024;

/// Records, or pages without any, that one call of `inspect` looks at in its search for a row.
pub const INSPECT_LOOKS_MAX: u32 = 1024;

/// Records of mappings, or pages of the pool, that one call of `inspect` looks at: each takes
/// longer.
pub const INSPECT_PAGES_MAX: u32 = 256;

/// pmserver moves a page only if never more virtual frames used it at a time: each must be bound to
/// the new page. Frames that are really shared count as one.
pub const MOVE_HOLDERS_MAX: u32 = 4;

/// Depth of the tree of accounts, from the pool's account to a leaf, both included: a charge walks
/// the whole path.
pub const ACCOUNT_DEPTH_MAX: usize = 16;

/// Peers that one account may be lent to at a time: a request to the account notifies them all.
pub const ACCOUNT_LOANS_MAX: usize = 16;

/// Accounts above removed ones that one peer may have something charged to: kept outside the pool,
/// and every charge walks them.
pub const PEER_ALLOWANCES_MAX: usize = 4;

/// Accounts that one demand for extra frames is sent to, bounded because the demand is stored
/// outside the pool. If these accounts do not have enough, others are asked afterwards.
pub const ASKED_ACCOUNTS_MAX: usize = 8;

/// How long the owners of extra frames have to give them back, in microseconds (a tenth of a
/// second): long enough for them to be scheduled and to choose, short for the domain that waits.
pub const EXTRA_MICROS: u64 = 100_000;

/// How long a claim to promised memory stays open after the time at which its peer was told to try
/// again, in microseconds: as long as the owners of extra frames have.
pub const CLAIM_MICROS: u64 = EXTRA_MICROS;

/// When a claim takes the extra frames of anybody, asked or not, under leases of their owners or
/// not, in microseconds: after two requests, of which the first may have been another's.
pub const FORCE_MICROS: u64 = 2 * EXTRA_MICROS;

/// How long whoever was promised memory waits for it at most, in microseconds, whatever others do:
/// until the leases on extra frames have ended that began before.
pub const PROMISE_MICROS_MAX: u64 = LEASE_MICROS_MAX;

/// Extra frames that one call examines for reclaim in each of its three searches.
pub const PRESSURE_FRAMES_MAX: u64 = CALL_FRAMES_MAX;

/// The longest lease that a share may allow, in microseconds (one second): a borrower can keep an
/// owner from its own memory for that long.
pub const LEASE_MICROS_MAX: u64 = 1_000_000;

/// The longest timeout that a caller may set for a call to a server, in microseconds (ten seconds).
pub const WATCH_MICROS_MAX: u64 = 10_000_000;

/// How long a server that was sent to its recovery entry may take until whoever waited for it is
/// answered, in microseconds (one second); after that it is stopped.
pub const RECOVERY_MICROS_MAX: u64 = 1_000_000;

/// How much shorter than its period the budget of a supervisor may be, in microseconds (ten
/// milliseconds): everybody waits that long if it ends while pmserver works for the supervisor. All
/// others that call a server that others call may not have a shorter budget at all.
pub const SUPERVISOR_GAP_MICROS_MAX: u64 = 10_000;

/// One past the highest peer number: the VSpace of peer n is in slot 32 + n of pmserver's root
/// CNode, which has 64 slots. There is no peer 0: that slot is for pmserver itself.
pub const PEERS_MAX: usize = 32;

/// Frame states in one `status` reply: 16 bits each, in six registers.
pub const STATUS_FRAMES_MAX: u64 = 24;

/// Frames that teardown frees in one step (decision D6).
pub const RECLAIM_STEP_FRAMES: u64 = 64;

/// Bytes of the longest path that fsserver accepts, including the first `/`: one page, which also
/// is the longest relative path that Linux accepts (4095 bytes) after that `/`.
pub const PATH_BYTES_MAX: usize = 4096;

/// Bytes of two paths together in one request to fsserver: it copies them from one page.
pub const FS_TWO_PATHS_BYTES_MAX: usize = 4095;

/// Requests of one client that fsserver works on at a time while it waits for the disk, or of which
/// it keeps the results until the client asks for them.
pub const FS_REQUESTS_PER_CLIENT_MAX: usize = 4;

/// How often a client waits in one call of fsserver. It is notified once for each part of the disk
/// that the call waits for, and for whatever else somebody signals.
pub const FS_WAITS_MAX: u32 = 1000;

/// Containers of one client that fsserver keeps locked and mapped between its calls
/// (`read_standing`). Times [`PEERS_MAX`], this is how many windows fsserver has for that.
pub const FS_STANDING_PER_CLIENT_MAX: usize = 2;

/// The lease that fsserver asks for while it fills a container, in microseconds.
pub const FS_LEASE_MICROS: u64 = 500_000;

/// Pages that fsserver copies into a container before it looks at its lease again.
pub const FS_LEASE_PAGES: u64 = 16;

/// How much of the lease has to be left then, in microseconds: more than it takes to read
/// [`FS_LEASE_PAGES`] pages of the slowest file, on the slowest machine.
pub const FS_LEASE_LEFT_MICROS: u64 = 50_000;

/// Pages that fsserver copies into what it has taken before it looks at its lease again: more than
/// [`FS_LEASE_PAGES`], as a look is a call.
pub const FS_TAKEN_PAGES: u64 = 64;

/// Windows of 2 MiB, or of what a file has there, in which fsserver caches parts of files. How much
/// memory they have at most is the limit of its account, and what is free if it may have that.
pub const FS_CACHE_WINDOWS: u64 = 64;

/// How long fsserver goes by what it last learned of pmserver's clock, in microseconds of its own.
pub const FS_CLOCK_MICROS: u64 = 10_000_000;

/// Bytes of a block of a disk.
pub const BLOCK_BYTES: u64 = 512;

/// Blocks in a frame.
pub const FRAME_BLOCKS: u64 = 4096 / BLOCK_BYTES;

/// Blocks that one request to a block server moves at most: those of one pin, of a large frame.
pub const BLOCK_REQUEST_BLOCKS_MAX: u64 = LARGE_FRAMES * FRAME_BLOCKS;

/// Requests that one client of a block server may have under way at a time, or not yet asked about:
/// no more than half of [`BLOCK_REQUESTS_MAX`], so that no client can use them all up.
pub const BLOCK_REQUESTS_PER_CLIENT_MAX: usize = 16;

/// Requests that all clients of a block server together may have.
pub const BLOCK_REQUESTS_MAX: usize = 32;

/// Frames in the requests of one client, for the same reason: two large frames.
pub const BLOCK_FRAMES_PER_CLIENT_MAX: u64 = 2 * LARGE_FRAMES;

/// How long a disk may take for a request to read, write or discard, in microseconds, from the time
/// at which that is queued. Then it is reset.
pub const BLOCK_MICROS_MAX: u64 = 800_000;

/// How long it may take for a flush: a disk may have a large cache.
pub const BLOCK_FLUSH_MICROS_MAX: u64 = 10_000_000;

/// How much of the lease on the frames has to be left after that, in microseconds: more than it
/// takes to reset a disk and to unlock all frames.
pub const BLOCK_LEASE_LEFT_MICROS: u64 = 100_000;

const _: () = {
    assert!(2 * BLOCK_REQUESTS_PER_CLIENT_MAX <= BLOCK_REQUESTS_MAX);
    assert!(BLOCK_MICROS_MAX + BLOCK_LEASE_LEFT_MICROS < LEASE_MICROS_MAX);
    assert!(FS_LEASE_PAGES <= CALL_FRAMES_MAX);
    assert!(FS_LEASE_LEFT_MICROS < FS_LEASE_MICROS && FS_LEASE_MICROS <= LEASE_MICROS_MAX);
    assert!(FORCE_MICROS <= PROMISE_MICROS_MAX);
    assert!(LEASE_MICROS_MAX <= WATCH_MICROS_MAX);
    assert!(FRAME_MAPPINGS_OWNER < FRAME_MAPPINGS_MAX);
    assert!(CONTAINER_LEASES_OWNER + SHARE_LEASES_MAX <= CONTAINER_LEASES_MAX);
    assert!(RECLAIM_STEP_FRAMES <= CALL_FRAMES_MAX);
    assert!(2 * FRAME_WORK_MAX <= CALL_WORK_MAX);
    assert!(STATUS_FRAMES_MAX == 6 * 4 && FASTPATH_REGISTERS <= MESSAGE_REGISTERS_MAX);
    assert!(PATH_BYTES_MAX <= 4096 && FS_TWO_PATHS_BYTES_MAX <= 4096);
};
