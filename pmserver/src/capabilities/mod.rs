// SPDX-License-Identifier: BSD-2-Clause
//! The capabilities that pmserver has: where they are, and what it makes and maps with them.
//!
//! ```text
//!   home.rs      the pool as pages with two slots each      copy.rs     contents, page to page
//!                    |            |                             |          |
//!   slots.rs     addresses of capabilities, refusals        objects.rs  what is made and mapped
//! ```

pub(crate) mod copy;
pub(crate) mod home;
pub(crate) mod objects;
pub(crate) mod slots;
