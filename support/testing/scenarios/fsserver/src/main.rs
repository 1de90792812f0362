// SPDX-License-Identifier: BSD-2-Clause
//! fsserver as the scenarios run it: the same protection domain, whose server faults, hangs or lies
//! when a client tells it to.
//!
//! What it can be told is in `support/testing/scenarios/core/src/sabotage.rs`.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use fsserver::{Disk, Domain, KEPT, OwnStack, Program};
use fsserver_api::Failure;
use fsserver_core::ClientId;
use fsserver_setup::Setup;
use proto::{Message, Micros, Transport};
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
    type Server<T: Transport + 'static> = SabotagedServer<T, OwnMemory, OwnStack>;

    fn build<T: Transport + 'static>(
        pmserver: T,
        disk: Disk<T>,
        setup: Setup<'static>,
        stack: OwnStack,
    ) -> Result<Self::Server<T>, Failure> {
        match disk {
            Disk::Region(vaddr, bytes) => {
                SabotagedServer::new(pmserver, OwnMemory, stack, (vaddr, bytes), &KEPT)
            }
            Disk::Driver(driver) => {
                SabotagedServer::of_driver(pmserver, OwnMemory, stack, driver, (setup, &KEPT))
            }
        }
    }

    fn call<T: Transport + 'static>(
        server: &mut Self::Server<T>,
        client: ClientId,
        request: &Message,
        now: Option<Micros>,
    ) -> Message {
        server.call(client, request, now)
    }

    fn wake<T: Transport + 'static>(server: &mut Self::Server<T>) {
        server.wake();
    }

    fn take_notice<T: Transport + 'static>(server: &mut Self::Server<T>) -> Option<ClientId> {
        server.take_notice()
    }
}
