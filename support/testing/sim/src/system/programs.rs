// SPDX-License-Identifier: BSD-2-Clause
//! The programs of the domains: the core crates, started and called as `main.rs` does on seL4.

use corosensei::stack::DefaultStack;
use disk_test_core::Sabotaged;
use fsserver_api::{Failure, FsError};
use fsserver_core::{ClientId, Engine, FileServer, Kept};
use fsserver_setup::Setup;
use pmserver_client::Pm;
use proto::{Console, Message, Micros, Service, VirtAddr};
use scenarios_core::{Cast, SabotagedServer};

use super::Settings;
use super::call::Channel;
use super::domain::{Domain, Program, Space};
use super::driver::{self, DriverProgram};
use super::examples;
use super::puppets::PuppetProgram;
use crate::disk::Disk;

/// The channel to pmserver, in every domain that has one.
pub(super) const PMSERVER: u8 = 0;
const FSSERVER: u8 = 1;
/// The channel to the driver, in the disk test.
const DRIVER: u8 = 1;
const CONSOLE: u8 = 2;
/// The channel to the driver, in fsserver and in the crash test.
const DISK: u8 = 3;

const STACK_BYTES: usize = 4 << 20;

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
    let setup = settings.file.file_server.as_ref().map_or(Setup::EMPTY, |server| {
        // As long as the program, of which there are few.
        Box::leak(Box::new(server.clone())).setup()
    });
    let disk = disk.map(|(_, disk)| disk.clone());
    match name {
        "fsserver" => Some(Box::new(FsProgram {
            image_bytes,
            setup,
            build: |channel, space, source, (setup, kept)| {
                FileServer::new(channel, space.clone(), setup, kept, |pm, memory| match source {
                    Source::Region(vaddr, bytes) => {
                        Ok(Engine::of_region(stack(), space, vaddr, bytes))
                    }
                    Source::Driver(driver) => {
                        Engine::of_driver(stack(), space, driver, (pm, memory))
                    }
                })
            },
            call: FileServer::call,
            wake: FileServer::wake,
            take_notice: FileServer::take_notice,
            kept: Box::leak(Box::default()),
        })),
        "sabotaged-fsserver" => Some(Box::new(FsProgram {
            image_bytes,
            setup,
            build: |channel, space, source, (setup, kept)| match source {
                Source::Region(vaddr, bytes) => {
                    SabotagedServer::new(channel, space, stack(), (vaddr, bytes), kept)
                }
                Source::Driver(driver) => {
                    SabotagedServer::of_driver(channel, space, stack(), driver, (setup, kept))
                }
            },
            call: SabotagedServer::call,
            wake: SabotagedServer::wake,
            take_notice: SabotagedServer::take_notice,
            kept: Box::leak(Box::default()),
        })),
        "puppet" => Some(Box::new(PuppetProgram::default())),
        driver::PROGRAM => Some(Box::new(DriverProgram::new(disk, |disk| disk))),
        driver::SABOTAGED => Some(Box::new(DriverProgram::new(disk, Sabotaged::new))),
        _ => examples::server(name),
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

/// How a server answers. Here it is told no time, as where a domain has no counter to read: it asks
/// pmserver.
type Answer<S> = fn(&mut S, ClientId, &Message, Option<Micros>) -> Message;

/// Where fsserver's file system is.
enum Source {
    /// In a region: its address and its size in bytes.
    Region(VirtAddr, u64),
    /// On the disk of a driver.
    Driver(Channel),
}

/// How a server is built: with what its clients may do, and what a recovery keeps.
type Build<S> = fn(Channel, Space, Source, (Setup<'static>, &'static Kept)) -> Result<S, Failure>;

/// The program of fsserver, the real one or the one that can be told to misbehave.
struct FsProgram<S> {
    image_bytes: u64,
    build: Build<S>,
    /// What its clients may do.
    setup: Setup<'static>,
    call: Answer<S>,
    /// Goes on with what waits for the disk.
    wake: fn(&mut S),
    /// Returns who is to be notified.
    take_notice: fn(&mut S) -> Option<ClientId>,
    /// What a recovery keeps.
    kept: &'static Kept,
}

/// The server, or the error that prevented its start, which then is the reply to every request.
struct FsService<S> {
    domain: Domain,
    server: Result<S, Failure>,
    call: Answer<S>,
    wake: fn(&mut S),
    take_notice: fn(&mut S) -> Option<ClientId>,
}

impl<S: 'static> FsProgram<S> {
    fn serve(&self, domain: &Domain, is_first: bool) -> Result<S, Failure> {
        let pm = Pm::new(domain.channel(PMSERVER));
        if is_first {
            for memory in [fsserver_core::HEAP, fsserver_core::STACK] {
                pm.reserve_heap(memory).map_err(|_| FsError::PmRefused)?;
            }
        }
        let source = match domain.prefilled_vaddr() {
            Some(vaddr) => Source::Region(vaddr, self.image_bytes),
            None => Source::Driver(domain.channel(DISK)),
        };
        let build = self.build;
        let (channel, space) = (domain.channel(PMSERVER), domain.space());
        let server = build(channel, space, source, (self.setup, self.kept))?;
        register_recovery(&pm).map_err(|_| FsError::PmRefused)?;
        Ok(server)
    }

    fn service(&self, domain: &Domain, is_first: bool) -> Box<dyn Service> {
        let server = self.serve(domain, is_first);
        let (domain, take_notice) = (domain.clone(), self.take_notice);
        let mut service =
            FsService { domain, server, call: self.call, wake: self.wake, take_notice };
        service.notify();
        Box::new(service)
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

impl<S> FsService<S> {
    /// Notifies the clients that wait for something that has ended.
    fn notify(&mut self) {
        let Ok(server) = &mut self.server else { return };
        while let Some(client) = (self.take_notice)(server) {
            self.domain.notify(client.channel());
        }
    }
}

impl<S> Service for FsService<S> {
    fn protected(&mut self, channel: u8, request: &Message) -> Message {
        let reply = match &mut self.server {
            Ok(server) => (self.call)(server, ClientId::of_channel(channel), request, None),
            Err(failure) => failure.reply(),
        };
        self.notify();
        reply
    }

    /// The driver of the disk has done something.
    fn notified(&mut self) {
        if let Ok(server) = &mut self.server {
            (self.wake)(server);
        }
        self.notify();
    }
}

/// Returns a stack for fsserver's file system. It has room for pmserver, too, which is called on
/// it.
fn stack() -> DefaultStack {
    DefaultStack::new(STACK_BYTES).expect("the host has memory")
}

/// Says where a program goes on after a fault.
pub(super) fn register_recovery(pm: &Pm<Channel>) -> Result<(), pmserver_client::Error> {
    pm.register_recovery(RECOVERY_ENTRY, RECOVERY_STACK)
}

/// Runs the demo in its domain, as `main.rs` of the client does. Returns whether it succeeded.
pub fn client_demo(domain: &Domain) -> bool {
    let pm = Pm::new(domain.channel(PMSERVER));
    let mut fs = fsserver_api::Client::waiting(domain.channel(FSSERVER), domain.clone());
    let mut console = console_api::Client::new(domain.channel(CONSOLE));
    match pm.reserve_heap(client_demo_core::HEAP) {
        Ok(_) => {
            let (mut space, mut grants) = (domain.space(), domain.clone());
            client_demo_core::run(&pm, &mut fs, &mut space, &mut grants, &mut console)
        }
        Err(error) => {
            console.write(format!("FAIL: no heap: {error}\n").as_bytes());
            false
        }
    }
}

/// Runs the crash test in its domain, as its `main.rs` does: changes files while fsserver is
/// killed, then runs the demo. Returns whether all is well.
pub fn crash_writer(domain: &Domain) -> bool {
    let pm = Pm::new(domain.channel(PMSERVER));
    let fs = fsserver_api::Client::waiting(domain.channel(FSSERVER), domain.clone());
    let disk = block_api::Client::new(domain.channel(DISK));
    let mut console = console_api::Client::new(domain.channel(CONSOLE));
    let own = (domain.space(), domain.clone());
    crash_core::run(&pm, fs, disk, own, &mut console) && client_demo(domain)
}

/// Runs the disk test in its domain, as its `main.rs` does. Returns whether all is well.
pub fn disk_test(domain: &Domain) -> bool {
    let pm = Pm::new(domain.channel(PMSERVER));
    let disk = block_api::Client::new(domain.channel(DRIVER));
    let mut console = console_api::Client::new(domain.channel(CONSOLE));
    disk_test_core::run(&pm, disk, domain.space(), domain.clone(), &mut console)
}

/// Runs the twin of the client in C in its domain. Returns whether all is well.
pub fn c_client(domain: &Domain) -> bool {
    let pm = domain.channel(PMSERVER);
    let fs = fsserver_api::Client::waiting(domain.channel(FSSERVER), domain.clone());
    let mut console = console_api::Client::new(domain.channel(CONSOLE));
    c_client_core::run(pm, fs, domain.space(), &mut console)
}

/// Runs the shell in its domain, as its `main.rs` does. Returns whether it came to its end.
pub fn shell(domain: &Domain) -> bool {
    match Pm::new(domain.channel(PMSERVER)).reserve_heap(shell_core::HEAP) {
        Ok(_) => shell_core::run(domain, domain.clone(), &mut domain.clone()),
        Err(_) => false,
    }
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
