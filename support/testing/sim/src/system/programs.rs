// SPDX-License-Identifier: BSD-2-Clause
//! The programs of the domains: the core crates, started and called as `main.rs` does on seL4.

use std::sync::atomic::AtomicU64;

use fsserver_api::{Failure, FsError};
use fsserver_core::{ClientId, FileServer};
use pmserver_client::Pm;
use proto::{Console, Message, Micros, VirtAddr};
use scenarios_core::{Cast, SabotagedServer};

use super::Settings;
use super::call::Channel;
use super::domain::{Domain, Program, Service, Space};
use super::driver::{self, DriverProgram};
use super::puppets::PuppetProgram;
use crate::disk::Disk;

/// The channel to pmserver, in every domain that has one.
pub(super) const PMSERVER: u8 = 0;
const FSSERVER: u8 = 1;
/// The channel to the driver, in the disk test.
const DRIVER: u8 = 1;
const CONSOLE: u8 = 2;

/// Every program's recovery entry and stack. What lies there is no machine code: the machine only
/// has to say that this is where it goes on.
pub(super) const RECOVERY_ENTRY: VirtAddr = VirtAddr::new(0x20_0000).unwrap();
const RECOVERY_STACK: VirtAddr = VirtAddr::new(0x20_1000).unwrap();

/// Returns the program of a domain, if it serves.
pub(super) fn program_of(
    name: &str,
    settings: &Settings<'_>,
    disk: Option<&(usize, Disk)>,
) -> Option<Box<dyn Program>> {
    let image_bytes = settings.image.len() as u64;
    match name {
        "fsserver" => Some(Box::new(FsProgram {
            image_bytes,
            build: |channel, space, vaddr, bytes, cache| {
                Ok(FileServer::new(channel, space, vaddr, bytes)?.with_cache(cache))
            },
            call: FileServer::call,
            cache: Box::leak(Box::default()),
        })),
        "sabotaged-fsserver" => Some(Box::new(FsProgram {
            image_bytes,
            build: |channel, space, vaddr, bytes, _| {
                SabotagedServer::new(channel, space, vaddr, bytes)
            },
            call: SabotagedServer::call,
            cache: Box::leak(Box::default()),
        })),
        "puppet" => Some(Box::new(PuppetProgram::default())),
        driver::PROGRAM => Some(Box::new(DriverProgram::new(disk.map(|(_, disk)| disk.clone())))),
        _ => None,
    }
}

/// Returns whether a program does something in each period. Those of others are only budgets.
pub(super) fn is_periodic(program: &str) -> bool {
    program == "supervisor"
}

/// Runs one period of a periodic domain.
pub(super) fn run_period(domain: &Domain) {
    // Nothing depends on a refusal: the next period tries again.
    let _ = Pm::new(domain.channel(PMSERVER)).rescue();
}

/// Handles a request as the console server does.
pub(super) fn print(screen: &mut impl Console, request: &Message) -> Message {
    match console_api::Write::decode(request) {
        Ok(write) => {
            screen.write(write.bytes());
            console_api::done()
        }
        Err(error) => error.reply(),
    }
}

/// How a server answers. Here it is told no time, as where a domain has no counter to read: it asks
/// pmserver.
type Answer<S> = fn(&mut S, ClientId, &Message, Option<Micros>) -> Message;

/// The program of fsserver, the real one or the one that can be told to misbehave.
struct FsProgram<S> {
    image_bytes: u64,
    build: fn(Channel, Space, VirtAddr, u64, &'static AtomicU64) -> Result<S, FsError>,
    call: Answer<S>,
    /// What a recovery keeps.
    cache: &'static AtomicU64,
}

/// The server, or the error that prevented its start, which then is the reply to every request.
struct FsService<S> {
    server: Result<S, FsError>,
    call: Answer<S>,
}

impl<S: 'static> FsProgram<S> {
    fn serve(&self, domain: &Domain, is_first: bool) -> Result<S, FsError> {
        let pm = Pm::new(domain.channel(PMSERVER));
        if is_first {
            pm.reserve_heap(fsserver_core::HEAP).map_err(|_| FsError::PmRefused)?;
        }
        let vaddr = domain.prefilled_vaddr().ok_or(FsError::Unsupported)?;
        let build = self.build;
        let (channel, space) = (domain.channel(PMSERVER), domain.space());
        let server = build(channel, space, vaddr, self.image_bytes, self.cache)?;
        register_recovery(&pm).map_err(|_| FsError::PmRefused)?;
        Ok(server)
    }

    fn service(&self, domain: &Domain, is_first: bool) -> Box<dyn Service> {
        Box::new(FsService { server: self.serve(domain, is_first), call: self.call })
    }
}

impl<S: 'static> Program for FsProgram<S> {
    fn start(&self, domain: &Domain) -> Box<dyn Service> {
        self.service(domain, true)
    }

    fn recover(&self, domain: &Domain) -> (Box<dyn Service>, Message) {
        (self.service(domain, false), Failure::from(FsError::Restarted).reply())
    }
}

impl<S> Service for FsService<S> {
    fn protected(&mut self, channel: u8, request: &Message) -> Message {
        match &mut self.server {
            Ok(server) => (self.call)(server, ClientId::of_channel(channel), request, None),
            Err(error) => Failure::from(*error).reply(),
        }
    }

    /// Ignores notifications: they have no meaning for fsserver.
    fn notified(&mut self) {}
}

/// Says where a program goes on after a fault.
pub(super) fn register_recovery(pm: &Pm<Channel>) -> Result<(), pmserver_client::Error> {
    pm.register_recovery(RECOVERY_ENTRY, RECOVERY_STACK)
}

/// Runs the demo in its domain, as `main.rs` of the client does. Returns whether it succeeded.
pub fn client_demo(domain: &Domain) -> bool {
    let pm = Pm::new(domain.channel(PMSERVER));
    let mut fs = fsserver_api::Client::new(domain.channel(FSSERVER));
    let mut console = console_api::Client::new(domain.channel(CONSOLE));
    match pm.reserve_heap(client_demo_core::HEAP) {
        Ok(()) => {
            let (mut space, mut grants) = (domain.space(), domain.clone());
            client_demo_core::run(&pm, &mut fs, &mut space, &mut grants, &mut console)
        }
        Err(error) => {
            console.write(format!("FAIL: no heap: {error}\n").as_bytes());
            false
        }
    }
}

/// Runs the disk test in its domain, as its `main.rs` does. Returns whether all is well.
pub fn disk_test(domain: &Domain) -> bool {
    let pm = Pm::new(domain.channel(PMSERVER));
    let disk = block_api::Client::new(domain.channel(DRIVER));
    let mut console = console_api::Client::new(domain.channel(CONSOLE));
    disk_test_core::run(&pm, disk, domain.space(), domain.clone(), &mut console)
}

/// Runs the scenarios in the client's domain. Returns whether all passed.
pub fn scenario_client(domain: &Domain) -> bool {
    chosen_scenarios(domain, |_| true)
}

/// Returns the names of all scenarios.
#[must_use]
pub fn scenario_names() -> Vec<&'static str> {
    scenarios_core::names::<Channel, Space>().collect()
}

/// Runs only the scenarios whose names `is_chosen` accepts. Returns whether all passed.
pub fn chosen_scenarios(domain: &Domain, is_chosen: impl Fn(&str) -> bool) -> bool {
    let mut console = console_api::Client::new(domain.channel(CONSOLE));
    let cast = Cast::from_channels(|channel| domain.channel(channel));
    let (fsserver, space) = (domain.channel(FSSERVER), domain.space());
    scenarios_core::run_chosen(cast, fsserver, space, &mut console, is_chosen)
}
