// SPDX-License-Identifier: BSD-2-Clause
//! What every interface of the system shares: units, the message form, the address-space window,
//! and every compile-time limit.
//!
//! Owns no state and makes no calls. The protection domains implement [`Transport`],
//! [`AddressSpace`] and [`Console`] over the platform; the simulator implements them over its
//! model. The cores reach the world by them, and by two seams of pmserver's: its core's `Kernel`,
//! and `GrantMapper` of its contract.
#![no_std]
#![forbid(unsafe_code)]

mod address_space;
mod console;
pub mod limits;
mod message;
mod units;

pub use address_space::AddressSpace;
pub use console::{Console, LineWriter};
pub use message::{Message, ProtocolError, Transport};
pub use units::{ByteCount, FrameCount, FrameNumber, Micros, PAGE_BYTES, PeerId, VirtAddr};
