// SPDX-License-Identifier: BSD-2-Clause
//! fsserver as the scenarios run it: the same protection domain, whose server faults, hangs or lies
//! when a client tells it to.
//!
//! What it can be told is in `support/testing/scenarios/core/src/sabotage.rs`.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use fsserver::{Domain, Program};
use fsserver_api::FsError;
use fsserver_core::ClientId;
use proto::{Message, Micros, Transport, VirtAddr};
use scenarios_core::SabotagedServer;
use sel4_microkit::protection_domain;
use shm::OwnMemory;

#[protection_domain]
fn init() -> Domain<Sabotaged> {
    fsserver::start()
}

/// Runs the server that can be told to misbehave.
struct Sabotaged;

impl Program for Sabotaged {
    type Server<T: Transport> = SabotagedServer<T, OwnMemory>;

    fn build<T: Transport>(
        pmserver: T,
        image_vaddr: VirtAddr,
        image_bytes: u64,
    ) -> Result<Self::Server<T>, FsError> {
        SabotagedServer::new(pmserver, OwnMemory, image_vaddr, image_bytes)
    }

    fn call<T: Transport>(
        server: &mut Self::Server<T>,
        client: ClientId,
        request: &Message,
        now: Option<Micros>,
    ) -> Message {
        server.call(client, request, now)
    }
}
