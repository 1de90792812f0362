// SPDX-License-Identifier: BSD-2-Clause
//! All that the protocol speaks of, as plain data.

mod config;
mod contents;
mod model;
mod names;
mod objects;

pub use config::{Config, PeerSetup};
pub(crate) use contents::Place;
pub use model::Model;
pub(crate) use model::Outcome;
pub(crate) use names::{Kind, Object};
pub(crate) use objects::{
    Account, AccountId, CellId, Container, ContainerId, FaultId, Frame, Grant, Handler, Lease,
    LeaseId, Mapping, Region, Share, ShareId, Span, Via, Wait,
};
