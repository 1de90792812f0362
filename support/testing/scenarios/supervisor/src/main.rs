// SPDX-License-Identifier: BSD-2-Clause
//! The supervisor: sends servers that do not answer in time to their recovery entry.
//!
//! Owns nothing. It decides nothing either: pmserver knows who is watched and until when, and acts
//! when it is asked (decision D11). Of a higher priority than the servers, so that it runs while one
//! hangs; its budget is small, and a yield gives up what is left of it until the next period.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use pd::PpChannel;
use sel4_microkit::{NullHandler, protection_domain};

/// The channel to pmserver.
const PMSERVER: usize = 0;

#[protection_domain]
fn init() -> NullHandler {
    let mut pm = pmserver_api::Calls::new(PpChannel::new(PMSERVER));
    loop {
        // A refusal is as good as nothing to do: the next period asks again.
        let _ = pm.rescue();
        sel4::r#yield();
    }
}
