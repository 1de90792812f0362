// SPDX-License-Identifier: BSD-2-Clause
//! The container protocol as Rust values that release what they stand for.
//!
//! pmserver owns all memory that is handed out at run time. A program asks it for memory, lends
//! memory to others, and takes it back; `support/docs/pm-protocol.md` is the protocol, and PM-nn
//! are its sentences. This crate is the same protocol for programs that had rather not keep
//! numbers, count to 256 or write loops. It allocates nothing, keeps no state of its own, and knows
//! nothing of the platform: all it needs is a [`Transport`], the domain's channel to pmserver, and
//! for bytes an [`AddressSpace`].
//!
//! # The protocol in one page
//!
//! ```
//! # let testbed = sim::testbed::Testbed::new();
//! # let (channel, servers_channel) = (testbed.channel(1), testbed.channel(2));
//! # let (memory, mut servers_memory) = (testbed.memory(1), testbed.memory(2));
//! use pmserver_client::{
//!     LockMode, MapFlags, Micros, Pm, Rights, ShareTerms, VirtAddr, WeakContainer,
//! };
//!
//! // Where the program has room in its address space.
//! const WINDOW: VirtAddr = VirtAddr::new_page(0x1000_0000).unwrap();
//!
//! let pm = Pm::new(channel);
//! # let servers_pm = Pm::new(servers_channel);
//! # let server = servers_pm.whoami()?.peer;
//!
//! // A container is a sparse set of numbered frames. The account that it is made with pays for
//! // every frame from allocation to deallocation; who fills it later pays nothing.
//! let container = pm.account().create_container()?;
//! container.allocate(0..16)?;
//!
//! // It is lent to a server for one operation: which frames, to whom, with which rights, and for
//! // how long the server may lock them. The server is told a number, worth nothing to others.
//! let terms = ShareTerms {
//!     peer: server,
//!     rights: Rights::WRITE | Rights::LOCK,
//!     lease_max: Micros::new(100_000),
//! };
//! let share = container.share(0..16, terms)?;
//! let number = share.weak();
//!
//! // --- The server, which was called with the number and has a connection of its own. ---
//! {
//!     let weak = WeakContainer::from_raw(&servers_pm, number);
//!     // Nobody else sees it half done. The lock ends at its deadline, whatever the server does.
//!     let lease = weak.lock(0..16, LockMode::Exclusive, Micros::new(50_000))?;
//!     let mapping = weak.map(0..16, WINDOW, MapFlags::WRITE)?;
//!     mapping.copy_out(&mut servers_memory, b"data", 0)?;
//!     // A weak handle allows what was lent: it has no `allocate`, and more rights are refused.
//!     assert!(weak.map(0..17, WINDOW, MapFlags::READ).is_err());
//!     // Dropping the values unmaps and unlocks.
//! }
//!
//! // --- The client again. ---
//! // Success means that nothing of the server's access is left: from now on the bytes are the
//! // client's own, and only now does it look at them.
//! share.unshare()?;
//! let mapping = container.map(0..16, WINDOW, MapFlags::READ)?;
//! let mut bytes = [0; 4];
//! mapping.copy_in(&memory, 0, &mut bytes)?;
//! assert_eq!(&bytes, b"data");
//! // Frames that nobody wrote to read as zero.
//! mapping.copy_in(&memory, 4096, &mut bytes)?;
//! assert_eq!(bytes, [0; 4]);
//! # Ok::<(), pmserver_client::Error>(())
//! ```
//!
//! # What ends when
//!
//! | value | stands for | dropping it | says whether it did |
//! |---|---|---|---|
//! | [`Container`] | frames that an account pays for | destroys it | [`Container::destroy`] |
//! | [`Share`] | a range that is lent | unshares | [`Share::unshare`] |
//! | [`WeakContainer`] | a range that was lent to the caller | nothing | |
//! | [`Lease`], [`Pin`] | a lock, a device's | unlocks | [`Lease::unlock`], [`Pin::unlock`] |
//! | [`Mapping`] | mapped pages | unmaps | [`Mapping::unmap`] |
//! | [`Region`] | pages that are mapped as they are touched | detaches | [`Region::detach`] |
//! | [`Grants`] | capabilities to frames | gives them back | [`Grants::ungrant`] |
//! | [`SplitAccount`] | an account | destroys it | [`SplitAccount::destroy`] |
//! | [`LentAccount`] | a peer's use of an account | recalls it | [`LentAccount::recall`] |
//! | [`PendingFault`] | somebody who waits for a frame | refuses it | [`PendingFault::supply`] |
//! | [`Watch`] | how long a caller waits | ends it | [`Watch::end`] |
//!
//! A destructor can neither wait nor report, so it does what can be done now. What a lease keeps
//! for the moment is freed later, with the container or account that was destroyed
//! ([`Pm::reclaim`]); only a [`Share`] that a lease keeps is still there then, until it is unshared
//! or its container destroyed. The methods on the right take the value and give it back in
//! [`Refused`] where it is still there. The values do not borrow each other, as none of them keeps
//! another alive: when a container is destroyed, the shares, leases and mappings of it that are
//! still around stand for nothing, and dropping them does nothing, but that a [`Mapping`], a
//! [`Region`] and [`Grants`] go by their addresses, which may be another's by then. `into_raw` lets
//! go of a value without releasing anything, and `from_raw` takes it up again.
//!
//! A domain that faults and goes on at its recovery entry abandons its stack, and no value on it is
//! dropped: see [`Pm::register_recovery`].
//!
//! # Ranges
//!
//! Frames are numbered by the program, in `u64`, and operations take Rust's ranges: `0..16`,
//! `5..=5`, for [`Container::share`] also `..`. One call of pmserver touches at most 256 frames,
//! and `map` may stop earlier: the methods make as many calls as it takes. What is all or nothing
//! in one call is all or nothing in several where it can be undone, and `Invalid` where it cannot;
//! each method says which. An empty range is `Invalid`, as is one of more than
//! [`RANGE_FRAMES_MAX`].
//!
//! # Errors
//!
//! An [`Error`] says which operation was refused, why ([`PmError`]), how much of it stays done, and
//! which frame, page or deadline it speaks of ([`At`]). Nothing here panics, and a call that fails
//! changed nothing but what [`Error::done`] says. Where a lease of another is in the way,
//! [`Error::deadline`] is when it ends, and nobody has to do anything for that: [`Pm::retry`],
//! [`Share::unshare_waiting`] and [`Container::destroy_waiting`] wait for it, one second at most.
//!
//! # Operations
//!
//! | no | operation | here |
//! |---|---|---|
//! | 1 | version | [`Pm::version`] |
//! | 2 | whoami | [`Pm::whoami`] |
//! | 3 | clock | [`Pm::clock`], [`Pm::wait_until`] |
//! | 4 | container_create | [`Account::create_container`] |
//! | 5 | container_destroy | [`Container::destroy`], `drop` |
//! | 6 | allocate | [`Container::allocate`], [`Container::allocate_with`] |
//! | 7 | deallocate | [`Container::deallocate`], [`Container::deallocate_with`] |
//! | 8 | share | [`Container::share`] |
//! | 9 | unshare | [`Share::unshare`], `drop` |
//! | 10 | lock | [`ContainerRef::lock`] |
//! | 11 | unlock | [`Lease::unlock`], [`Pin::unlock`], `drop` |
//! | 12 | map | [`ContainerRef::map`], [`ContainerRef::map_partial`] |
//! | 13 | unmap | [`Mapping::unmap`], `drop`, [`Pm::unmap`] |
//! | 14 | status | [`Container::status`], [`Container::state`] |
//! | 15 | account_info | [`Account::info`] |
//! | 16 | register_recovery | [`Pm::register_recovery`] |
//! | 17 | watch | [`Pm::watch`], [`Watch::end`], `drop` |
//! | 18 | rescue | [`Pm::rescue`] |
//! | 19 | reclaim | [`Pm::reclaim`] |
//! | 20 | remap | [`Mapping::remap`] |
//! | 21 | renew | [`Container::renew`] |
//! | 22 | allocate_anywhere | [`Container::allocate_anywhere`] |
//! | 23 | allocate_contiguous | [`Container::allocate_contiguous`] |
//! | 24 | copy | [`ContainerRef::copy`], [`ContainerRef::copy_with`] |
//! | 25 | copy_list | [`ContainerRef::copy_list`] |
//! | 26 | create_with | [`Account::create_with`] |
//! | 27 | create_from | [`Account::create_from`] |
//! | 28 | create_gather | [`Account::create_gather`] |
//! | 29 | attach | [`ContainerRef::attach`] |
//! | 30 | detach | [`Region::detach`], `drop` |
//! | 31 | grant | [`ContainerRef::grant`] |
//! | 32 | ungrant | [`Grants::ungrant`], `drop` |
//! | 33 | ensure_tables | [`Pm::ensure_tables`] |
//! | 34 | account_split | [`Account::split`], [`Account::split_with`] |
//! | 35 | account_destroy | [`SplitAccount::destroy`], `drop`, [`Account::destroy`] |
//! | 36 | account_remove | [`SplitAccount::remove`], [`Account::remove`] |
//! | 37 | account_set_limits | [`Account::set_limits`] |
//! | 38 | account_lend | [`Account::lend`] |
//! | 39 | account_recall | [`LentAccount::recall`], `drop` |
//! | 40 | vspace_account | [`Account::pay_for_vspace`] |
//! | 41 | mark | [`Container::mark`] |
//! | 42 | extra_request | [`Pm::extra_request`] |
//! | 43 | pin | [`ContainerRef::pin`] |
//! | 44 | bus_address | [`Pin::bus_address`], [`Pin::bus_runs`] |
//! | 45 | device_reset | [`Pm::device_reset`] |
//! | 46 | set_handler | [`Container::set_handler`], [`Container::clear_handler`] |
//! | 47 | next_fault | [`Pm::next_fault`] |
//! | 48 | supply | [`PendingFault::supply`] |
//! | 49 | refuse | [`PendingFault::refuse`], `drop` |
//! | 50 | disturb | [`Pm::disturb`] |
//!
//! [`Pm::reserve_heap`] is several of them: memory for the program's own allocator.
//!
//! The raw calls, [`api::Calls`], have one method per operation and nothing else. They work over
//! the same connection: `api::Calls::new(&pm)`.
//!
//! # Folders
//!
//! Each uses those below it, never one above:
//!
//! | folder | what is in it |
//! |---|---|
//! | `values/` | the values in the table above, with their operations |
//! | `connection/` | [`Pm`]: how an operation becomes calls, waiting, release on drop |
//! | `terms/` | errors, names of operations, ranges, pages: nothing that makes a call |
#![no_std]
#![forbid(unsafe_code)]
// Tests may overflow: they fail by panicking.
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

mod connection;
mod terms;
mod values;

pub use connection::Pm;
pub use pmserver_api as api;
pub use pmserver_api::{
    AccessKind, AccountInfo, AccountRights, AllocateFlags, BusRun, ContainerHandle, CopyFlags,
    DeallocateFlags, Disturbance, ExtraRequest, FrameState, GrantMapper, Granted, Identity,
    KernelRefused, LimitFlags, LockMode, MapFlags, Marks, PROTOCOL_VERSION, PmError, RescueReport,
    Rights, ShareTerms,
};
pub use proto::{
    AddressSpace, ByteCount, Message, Micros, PAGE_BYTES, PeerId, ProtocolError, Transport,
    VirtAddr,
};
pub use terms::{At, Error, ErrorKind, Operation, Pages, RANGE_FRAMES_MAX, Refused, Run};
pub use values::{
    Account, Container, ContainerRef, Grants, Lease, LentAccount, Mapping, PendingFault, Pin,
    Region, Share, SplitAccount, Watch, WeakContainer,
};
