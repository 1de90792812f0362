// SPDX-License-Identifier: BSD-2-Clause
//! The capabilities of pmserver: their slots, and the invocations that use them.
//!
//! ```text
//!   home.rs      the pool as pages with two slots each      copy.rs     copies page contents
//!                    |            |                         devices.rs  what devices may access
//!                    |            |                             |          |
//!   slots.rs     addresses of capabilities, refusals        objects.rs  what is made and mapped
//! ```

pub(crate) mod copy;
pub(crate) mod devices;
pub(crate) mod home;
pub(crate) mod objects;
pub(crate) mod slots;
