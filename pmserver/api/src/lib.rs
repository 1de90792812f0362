// SPDX-License-Identifier: BSD-2-Clause
//! The container protocol: operations, errors, and calls over any transport.
//!
//! A *container* is a sparse set of numbered virtual frames that one account pays for. Its owner
//! *shares* a range of it with a peer, such as a server. The peer gets a weak handle: with it the
//! peer can map, lock and fill the frames, but not allocate them, free them or share them on.
//!
//! `ops.rs` has the requests, `operation.rs` the table of operations, `reply.rs` and `error.rs` the
//! replies. `support/docs/pm-protocol.md` has the same in prose, in numbered rules (PM-nn) that
//! tests cite.
#![no_std]
#![forbid(unsafe_code)]

mod answer;
mod arguments;
mod calls;
mod decode;
mod encode;
mod error;
mod flags;
mod grant_mapper;
mod handles;
mod lists;
mod number;
mod operation;
mod ops;
mod reply;
mod rows;
mod server_error;
mod wire;

pub use calls::Calls;
pub use decode::Serve;
pub use error::{CallError, Failure, PmError};
pub use flags::{
    AccessKind, AccountRights, AllocateFlags, Book, CopyFlags, DeallocateFlags, Disturbance,
    FrameState, LimitFlags, LockMode, MapFlags, Marks, Rights,
};
pub use grant_mapper::{GrantMapper, KernelRefused};
pub use handles::{
    AccountHandle, ContainerHandle, FaultHandle, HANDLE_MAKER_BITS, HANDLE_MAKER_MASK,
    HANDLE_MAKER_SHIFT, LeaseHandle, RangeHandle, ShareHandle,
};
pub use lists::{FrameList, PairList};
pub use operation::{Label, Operation, Registers};
pub use ops::{Frames, PROTOCOL_VERSION, Request, ShareTerms};
pub use reply::{
    AccountInfo, BusRun, Created, Disturbed, ExtraRequest, Granted, Identity, Lease, Mapped,
    MappedRun, PendingFault, Pinned, Placed, Reply, RescueReport, Row, Shared, Status,
};
pub use rows::{
    AccountMarks, AccountRow, BookRow, CURSOR_PEER_SHIFT, ContainerRow, GrantRow, LeaseMarks,
    LeaseRow, MappingRow, MappingState, PARTS_MAX, PageMarks, PageState, PagesRow, Parts, PeerName,
    PeerRow, RecordId, RegionRow, ShareMarks, ShareRow,
};
pub use server_error::{ServerCallError, ServerError, ServerFailure};
