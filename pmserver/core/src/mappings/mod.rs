// SPDX-License-Identifier: BSD-2-Clause
//! Frames in address spaces: what was asked for (`mapping.rs`), what is installed of it
//! (`install.rs`, `vspace.rs`), and what comes back by itself (`repair.rs`, `region.rs`).

pub(crate) mod grant;
pub(crate) mod install;
pub(crate) mod links;
pub(crate) mod mapping;
pub(crate) mod objects;
pub(crate) mod region;
pub(crate) mod repair;
pub(crate) mod vspace;
