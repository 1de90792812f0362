// SPDX-License-Identifier: BSD-2-Clause
//! The contract: every operation with its number, its registers, and what it may cost.
//!
//! | no | operation | r0 | r1 | r2 | r3 | reply |
//! |---|---|---|---|---|---|---|
//! | 1 | version | | | | | version |
//! | 2 | whoami | | | | | peer, account |
//! | 3 | clock | | | | | microseconds |
//! | 4 | container_create | account | | | | container |
//! | 5 | container_destroy | container | | | | |
//! | 6 | allocate | container | start | count | flags | done |
//! | 7 | deallocate | container | start | count | flags | freed |
//! | 8 | share | container | start | count | peer:16 rights:16 lease_us:32 | share, weak handle |
//! | 9 | unshare | share | flags | | | |
//! | 10 | lock | container | start | count:16 mode:16 | ttl_us | lease, deadline |
//! | 11 | unlock | lease | | | | |
//! | 12 | map | container | start | vaddr | count:16 flags:16 vspace:32 | mapped, rights |
//! | 13 | unmap | vspace | vaddr | count | | unmapped |
//! | 14 | status | container | start | count | | count, 3 × 8 states |
//! | 15 | account_info | account | | | | four registers of two 32-bit page counts |
//! | 16 | register_recovery | entry | stack top | | | |
//! | 17 | watch | peer | ttl_us | | | deadline |
//! | 18 | rescue | | | | | rescued, next deadline |
//! | 19 | reclaim | | | | | objects left |
//!
//! A failed reply carries `done` and `at` (see [`Failure`](crate::Failure)). Numbers are never
//! reused. How requests stand on the wire is in `codec.rs`, replies are in `reply.rs`.

use proto::{FrameCount, FrameNumber, Micros, PeerId, VirtAddr};

use crate::flags::{AllocateFlags, DeallocateFlags, LockMode, MapFlags, Rights, UnshareFlags};
use crate::handles::{AccountHandle, ContainerHandle, LeaseHandle, ShareHandle};

/// The version of this protocol; a wire change raises it.
pub const PROTOCOL_VERSION: u64 = 1;

/// A request, decoded: every argument is in the range that its type promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Asks for the protocol version. Anyone; idempotent; constant time (O26).
    Version,
    /// Asks who the caller is. Anyone; idempotent; constant time (O26).
    WhoAmI,
    /// Reads pmserver's clock. Anyone; constant time.
    Clock,
    /// Makes an empty container (O1). Charged: its record. Constant time.
    ContainerCreate {
        /// The account that pays for the container and all that is allocated into it.
        account: AccountHandle,
    },
    /// Destroys a container (O12). Strong only. At most 256 frames a call: `Pending` asks to call
    /// again.
    ContainerDestroy {
        /// The container.
        container: ContainerHandle,
    },
    /// Puts virtual frames into a container (O4). Strong only. Charged: frames and records.
    Allocate {
        /// The container.
        container: ContainerHandle,
        /// The first frame number.
        start: FrameNumber,
        /// How many.
        count: FrameCount,
        /// How.
        flags: AllocateFlags,
    },
    /// Takes virtual frames out of a container (O5). Strong only.
    Deallocate {
        /// The container.
        container: ContainerHandle,
        /// The first frame number.
        start: FrameNumber,
        /// How many.
        count: FrameCount,
        /// How.
        flags: DeallocateFlags,
    },
    /// Lends a range of a container to a peer (O2). Strong only. Charged: one record. Constant
    /// time.
    Share {
        /// The container.
        container: ContainerHandle,
        /// The first frame number; frames allocated there later are lent too.
        start: FrameNumber,
        /// Frame numbers in the range, at least 1; not limited, as no frame is touched.
        count: u64,
        /// To whom.
        peer: PeerId,
        /// What the peer may do.
        rights: Rights,
        /// The longest lease that the peer may take.
        lease_max: Micros,
    },
    /// Ends a share (O3): returns success only when no access through it is left (R9). Owner only.
    Unshare {
        /// The share.
        share: ShareHandle,
        /// None are defined.
        flags: UnshareFlags,
    },
    /// Locks a range for a limited time (O13). Strong or weak with the LOCK right.
    Lock {
        /// The container.
        container: ContainerHandle,
        /// The first frame number.
        start: FrameNumber,
        /// How many.
        count: FrameCount,
        /// Whom it excludes from what.
        mode: LockMode,
        /// For how long at most.
        ttl: Micros,
    },
    /// Gives a lease back before its deadline. Its holder only; constant time.
    Unlock {
        /// The lease.
        lease: LeaseHandle,
    },
    /// Maps frames (O6). Strong or weak. Charged to the VSpace's account: tables, slots, records.
    Map {
        /// The container.
        container: ContainerHandle,
        /// The first frame number.
        start: FrameNumber,
        /// The address of the first page.
        vaddr: VirtAddr,
        /// How many.
        count: FrameCount,
        /// With which rights.
        flags: MapFlags,
        /// Into which VSpace: 0 is the caller's own, and nothing else is accepted yet.
        vspace: u32,
    },
    /// Unmaps pages (O7). The VSpace's own domain only; pages that are not mapped are passed over.
    Unmap {
        /// Of which VSpace: 0 is the caller's own.
        vspace: u32,
        /// The address of the first page.
        vaddr: VirtAddr,
        /// How many.
        count: FrameCount,
    },
    /// Tells the state of frames (O24). Strong only; at most 24 a call.
    Status {
        /// The container.
        container: ContainerHandle,
        /// The first frame number.
        start: FrameNumber,
        /// How many.
        count: FrameCount,
    },
    /// Tells limit and use of an account (O21). Needs the right to read it. Constant time.
    AccountInfo {
        /// The account.
        account: AccountHandle,
    },
    /// Names the place where the caller goes on when it has faulted (design D11).
    RegisterRecovery {
        /// The address of the first instruction.
        entry: VirtAddr,
        /// The stack pointer to start with.
        stack_top: VirtAddr,
    },
    /// Announces a call to a server: after `ttl` a supervisor may rescue the server. 0 ends the
    /// watch.
    Watch {
        /// The server.
        peer: PeerId,
        /// For how long the caller is willing to wait.
        ttl: Micros,
    },
    /// Sends every server whose watch ran out to its recovery entry. Supervisors only.
    Rescue,
    /// Does a bounded step of pending teardown on the caller's time. Anyone.
    Reclaim,
}
