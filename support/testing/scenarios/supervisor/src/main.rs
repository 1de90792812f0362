// SPDX-License-Identifier: BSD-2-Clause
//! The supervisor: sends servers that do not answer in time to their recovery entry.
//!
//! Owns nothing and decides nothing: pmserver knows which servers are watched and until when, and
//! redirects them when it is asked. Its priority is above that of the servers, so that it runs
//! while one hangs. Its budget is small, and a yield gives up the rest of it until the next period.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use pd::PpChannel;
use pmserver_client::Pm;
use sel4_microkit::{NullHandler, protection_domain};

/// The channel to pmserver.
const PMSERVER: usize = 0;

#[protection_domain]
fn init() -> NullHandler {
    let pm = Pm::new(PpChannel::new(PMSERVER));
    loop {
        // Nothing depends on a refusal: the next period tries again.
        let _ = pm.rescue();
        sel4::r#yield();
    }
}
