// SPDX-License-Identifier: BSD-2-Clause
//! The file server as a protection domain. What it does is in the library beside this file.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use fsserver::{Domain, FileServerProgram};
use sel4_microkit::protection_domain;

#[protection_domain]
fn init() -> Domain<FileServerProgram> {
    fsserver::start()
}
