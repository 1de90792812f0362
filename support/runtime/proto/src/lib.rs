// SPDX-License-Identifier: BSD-2-Clause
//! What all interfaces of the system share: units, the message form, copies to and from memory,
//! and every compile-time limit.
//!
//! Owns no state and makes no calls. The protection domains implement [`Transport`], [`Waiter`],
//! [`AddressSpace`] and [`Console`] on the platform; the simulator implements them on its model of
//! the kernel. The core crates reach everything outside through these traits and two more: `Kernel`
//! in pmserver's core, and `GrantMapper` in its api.
#![no_std]
#![forbid(unsafe_code)]

mod address_space;
mod console;
mod domain;
pub mod limits;
mod message;
mod pair;
mod units;
mod waiter;

pub use address_space::AddressSpace;
pub use console::{Console, LineWriter};
pub use domain::{Domain, Service};
pub use message::{Message, ProtocolError, Transport};
pub use pair::{pack_pair, unpack_pair};
pub use units::{ByteCount, FrameCount, FrameNumber, Micros, PAGE_BYTES, PeerId, VirtAddr};
pub use waiter::Waiter;
