// SPDX-License-Identifier: BSD-2-Clause
//! The setup that fsserver reads when it starts: what each of its clients may do.
//!
//! The setup comes from the system description file, which `support/system-description` reads. The
//! image tool writes it into pages of the image, and fsserver checks them before it uses them. All
//! three use this crate, so that there is one set of checks and one format.
//!
//! | to find | look in |
//! |---|---|
//! | clients, their rights, and the checks of a setup | `setup.rs` |
//! | the format of the pages: encode, decode | `pages.rs` |
#![no_std]
#![forbid(unsafe_code)]

mod pages;
mod setup;

pub use pages::{SETUP_BYTES, decode, encode};
pub use setup::{
    CHANNELS, CLIENTS_MAX, ClientConfig, FILES_MAX, ROOT_BYTES_MAX, Rights, Setup, SetupError,
};
