// SPDX-License-Identifier: BSD-2-Clause
//! The container protocol: operations, errors and a client over any transport.
//!
//! A *container* is a sparse set of numbered virtual frames that its owner's account pays for. The
//! owner lends it to a server as a *share*; the server holds a weak handle, with which it can map,
//! lock and fill the frames but never allocate, free or pass them on. `ops.rs` is the contract,
//! `support/docs/pm-protocol.md` the same in prose, with the sentences that tests cite.
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
mod wire;

pub use calls::Calls;
pub use error::{CallError, Failure, PmError};
pub use flags::{
    AccessKind, AccountRights, AllocateFlags, CopyFlags, DeallocateFlags, Disturbance, FrameState,
    LimitFlags, LockMode, MapFlags, Marks, Rights, UnshareFlags,
};
pub use grant_mapper::{GrantMapper, KernelRefused};
pub use handles::{
    AccountHandle, ContainerHandle, FaultHandle, HANDLE_MAKER_BITS, HANDLE_MAKER_MASK,
    HANDLE_MAKER_SHIFT, LeaseHandle, ShareHandle,
};
pub use lists::{FrameList, PairList};
pub use operation::{Label, Operation, Registers};
pub use ops::{Frames, PROTOCOL_VERSION, Request, ShareTerms};
pub use reply::{
    AccountInfo, BusRun, Created, Disturbed, ExtraRequest, Granted, Identity, Lease, Mapped,
    MappedRun, PendingFault, Pinned, Placed, Reply, RescueReport, Shared, Status,
};
