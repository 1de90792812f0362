// SPDX-License-Identifier: BSD-2-Clause
//! The container protocol as Rust values that release what they stand for.
//!
//! pmserver owns all memory that is handed out at run time. A program asks it for memory, lends
//! memory to others, and takes it back; `support/docs/pm-protocol.md` is the protocol, and PM-nn
//! are its sentences. This crate is the same protocol without numbers to keep, limits of a single
//! call to count to, and loops to write. It allocates nothing, keeps no state of its own, and does
//! not depend on the platform: it needs a [`Transport`], which is the domain's channel to pmserver,
//! and for bytes an [`AddressSpace`].
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
//! // how long the server may lock them. The server gets a number, worth nothing to others.
//! let terms = ShareTerms {
//!     peer: server,
//!     rights: Rights::WRITE | Rights::LOCK,
//!     lease_max: Micros::new(100_000),
//!     once: false,
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
//! // Success means that the server has no access any more: nobody else can change the bytes from
//! // now on, and only now does the client look at them.
//! share.unshare()?;
//! let mapping = container.map(0..16, WINDOW, MapFlags::READ)?;
//! let mut bytes = [0; 4];
//! mapping.copy_in(&memory, 0, &mut bytes)?;
//! assert_eq!(&bytes, b"data");
//! // Frames that nobody has written to read as zero.
//! mapping.copy_in(&memory, 4096, &mut bytes)?;
//! assert_eq!(bytes, [0; 4]);
//! # Ok::<(), pmserver_client::Error>(())
//! ```
//!
//! # What ends when
//!
//! | value | stands for | dropping it | the same, and reports errors |
//! |---|---|---|---|
//! | [`Container`] | frames that an account pays for | destroys it | [`Container::destroy`] |
//! | [`Share`] | a range that is lent | unshares | [`Share::unshare`] |
//! | [`OnceShare`], [`ArmedShare`] | a range lent for one use at a time | unshares, unmaps | |
//! | [`Taken`] | frames that were taken for one use | gives them back | [`Taken::give_back`] |
//! | [`WeakContainer`] | a range that was lent to the caller | nothing | |
//! | [`Lease`], [`Pin`] | a lock, a device's | unlocks | [`Lease::unlock`], [`Pin::unlock`] |
//! | [`Mapping`] | mapped pages | unmaps | [`Mapping::unmap`] |
//! | [`Region`] | pages that are mapped as they are touched | detaches | [`Region::detach`] |
//! | [`Grants`] | capabilities to frames | gives them back | [`Grants::ungrant`] |
//! | [`SplitAccount`] | an account | destroys it | [`SplitAccount::destroy`] |
//! | [`LentAccount`] | a peer's use of an account | recalls it | [`LentAccount::recall`] |
//! | [`PendingFault`] | a program that waits for a frame | refuses it | [`PendingFault::supply`] |
//! | [`Watch`] | how long a caller waits | ends it | [`Watch::end`] |
//!
//! A destructor can neither wait nor report, so it does what can be done now. If a lease of
//! somebody else's is in the way:
//! - A container or an account that was destroyed keeps the leased frames until the lease ends;
//!   pmserver frees them later ([`Pm::reclaim`]).
//! - A [`Share`] stays until it is unshared or its container is destroyed.
//!
//! The methods on the right take the value. If they fail they return it in [`Refused`], as it is
//! still there.
//!
//! The values do not borrow each other, because none of them keeps another alive. When a container
//! is destroyed, its shares, leases and mappings end. The values for them may still exist; dropping
//! those does nothing, with one exception: a [`Mapping`], a [`Region`] and [`Grants`] release
//! whatever is at their addresses, also if something else has been mapped or granted there since.
//!
//! `into_raw` forgets a value without releasing anything, and `from_raw` makes it again.
//!
//! When a domain faults and continues at its recovery entry, it abandons its stack, and no value on
//! it is dropped: see [`Pm::register_recovery`].
//!
//! # Ranges
//!
//! Frames are numbered by the program, in `u64`, and operations take Rust's ranges: `0..16`,
//! `5..=5`, for [`Container::share`] also `..`. One call of pmserver touches at most 256 frames,
//! and `map` may stop earlier: the methods make as many calls as it takes. If an operation is all
//! or nothing in one call, it is so in several calls too if it can be undone, and `Invalid` if it
//! cannot; each method says which. An empty range is `Invalid`, and so is one of more than
//! [`RANGE_FRAMES_MAX`] frames.
//!
//! # Errors
//!
//! An [`Error`] says which operation was refused, why ([`PmError`]), how much of it stays done, and
//! which frame, page or deadline it concerns ([`At`]). Nothing here panics, and a call that fails
//! has changed nothing but what [`Error::done`] counts. If a lease of somebody else's is in the
//! way, [`Error::deadline`] is when it ends, without any action of its holder: [`Pm::retry`],
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
//! | 8 | share | [`Container::share`], [`Container::share_once`] |
//! | 9 | unshare | [`Share::unshare`], `drop` |
//! | 10 | lock | [`ContainerRef::lock`] |
//! | 11 | unlock | [`Lease::unlock`], [`Pin::unlock`], [`Taken::give_back`], `drop` |
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
//! | 51 | arm | [`OnceShare::arm`] |
//! | 52 | disarm | [`ArmedShare::confirm`] |
//! | 53 | take | [`WeakContainer::take`] |
//! | 54 | inspect | [`Pm::rows`], [`Pm::rows_from`] |
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
    AccessKind, AccountInfo, AccountMarks, AccountRights, AccountRow, AllocateFlags, Book, BookRow,
    BusRun, CURSOR_PEER_SHIFT, ContainerHandle, ContainerRow, CopyFlags, DeallocateFlags,
    Disturbance, ExtraRequest, FrameState, GrantMapper, GrantRow, Granted, Identity, KernelRefused,
    LeaseMarks, LeaseRow, LimitFlags, LockMode, MapFlags, MappingRow, MappingState, Marks,
    PROTOCOL_VERSION, PageMarks, PageState, PagesRow, PeerName, PeerRow, PmError, RangeHandle,
    RecordId, RegionRow, RescueReport, Rights, ShareMarks, ShareRow, ShareTerms,
};
pub use proto::{
    AddressSpace, ByteCount, Message, Micros, PAGE_BYTES, PeerId, ProtocolError, Transport,
    VirtAddr,
};
pub use terms::{At, Error, ErrorKind, Operation, Pages, RANGE_FRAMES_MAX, Refused, Run};
pub use values::{
    Account, ArmedShare, Container, ContainerRef, Grants, HeapMemory, Lease, LentAccount, Mapping,
    OnceShare, PendingFault, Pin, Region, Rows, Share, SplitAccount, Taken, Watch, WeakContainer,
};
