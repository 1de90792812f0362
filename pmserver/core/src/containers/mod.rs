// SPDX-License-Identifier: BSD-2-Clause
//! Containers, the frames in them, and who may do what with these (protocol A2).
//!
//! `objects.rs` has the records and a picture of how they hang together; every other file is an
//! operation or a few, and says which.

pub(crate) mod binding;
pub(crate) mod container;
pub(crate) mod copy;
pub(crate) mod create;
pub(crate) mod expiry;
pub(crate) mod frames;
pub(crate) mod handler;
pub(crate) mod lease;
pub(crate) mod link;
pub(crate) mod objects;
pub(crate) mod pin;
pub(crate) mod range;
pub(crate) mod relocate;
pub(crate) mod share;
