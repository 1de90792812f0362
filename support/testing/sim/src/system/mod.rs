// SPDX-License-Identifier: BSD-2-Clause
//! The system: protection domains on top of the machine, with their channels and faults.
//!
//! Everything runs on one host stack. A protected procedure is a function call from the caller to a
//! domain of higher priority, so no domain is ever entered twice. A domain that is stopped or
//! redirected abandons its current call by unwinding the stack up to where its protected procedure
//! was entered.
//!
//! ```text
//!   client --call--> fsserver --call--> pmserver --invocation--> machine
//!      ^                |
//!      |                | access to memory that is not mapped
//!      |                v
//!      |             pmserver's fault entry --> Redirected: unwind, recovery entry --> client
//!      |                                   --> Stopped: unwind, last resort --> client
//! ```

mod call;
mod console;
mod departure;
mod domain;
mod driver;
mod examples;
mod programs;
mod puppets;
mod strike;
mod tracing;
mod turns;

use std::cell::{Cell, RefCell};
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use pmserver_core::Server;
use pmserver_setup::LAST_RESORT;
use proto::{Message, PeerId, Service};

use crate::clock::Clock;
use crate::disk::{Disk, DiskPlan};
use crate::kernel::SimKernel;
use crate::loader::{BootPlan, REGION_BYTES_MAX, Region};
use crate::machine::Architecture;
use crate::system_file::SystemFile;

use self::console::Screen;
use self::departure::Departure;
use self::domain::Program;
use self::tracing::Tracing;

pub use self::call::Channel;
pub use self::domain::{Domain, Space};
pub use self::examples::{Client, EXAMPLES};
pub use self::programs::{
    c_client, chosen_scenarios, client_demo, crash_writer, disk_test, scenario_client,
    scenario_names, shell,
};
pub use self::strike::{Blow, Mishap, Moment, Strike, Traffic};

/// The configuration of a system.
pub struct Settings<'a> {
    /// The system description.
    pub file: &'a SystemFile,
    /// The contents of the prefilled memory region.
    pub image: &'a [u8],
    /// The disk that virtio-blk drives, if there is one.
    pub disk: Option<DiskPlan>,
    /// The architecture of the simulated kernel.
    pub architecture: Architecture,
    /// What goes wrong.
    pub mishap: Option<Mishap>,
    /// Whether to print the console output on the host, too.
    pub echo: bool,
}

/// How a domain's run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End<R> {
    /// The program returned this.
    Finished(R),
    /// pmserver stopped it after a fault.
    Stopped,
    /// pmserver sent it to its recovery entry, which the simulator does not run for a client.
    Redirected,
    /// It waits for ever for a domain that no longer runs.
    Blocked {
        /// The name of that domain.
        on: String,
    },
    /// A domain spins or waits, and nothing will end that.
    Hung {
        /// The name of that domain.
        domain: String,
    },
}

/// State shared by all domains. No part of it stays borrowed during a call.
pub(crate) struct Shared {
    file: SystemFile,
    server: RefCell<Server<SimKernel>>,
    screen: RefCell<Screen>,
    clock: Clock,
    /// The disk, and the domain that gets its interrupt.
    disk: Option<(usize, Disk)>,
    domains: Vec<State>,
    mishap: Option<Mishap>,
    /// Every call and fault so far.
    traffic: RefCell<Vec<Traffic>>,
    /// The domain that was stopped as [`Mishap::Strike`] says.
    struck: Cell<Option<usize>>,
}

/// The state of one domain.
#[derive(Default)]
struct State {
    program: Option<Box<dyn Program>>,
    /// Handles its protected procedures.
    service: RefCell<Option<Box<dyn Service>>>,
    is_stopped: Cell<bool>,
    /// Whether it has a pending notification.
    is_notified: Cell<bool>,
    /// How many of the writes to its registers have taken effect.
    followed_writes: Cell<u64>,
    /// How often it has paused in a waiting loop since its last call or fault.
    pauses: Cell<u64>,
    /// When its next period begins.
    next_period: Cell<u64>,
    tracing: Tracing,
}

/// A running system.
pub struct System {
    shared: Rc<Shared>,
}

impl System {
    /// Loads the system and starts its servers in the order of their priorities, the highest first.
    /// Clients start with [`Self::run`].
    ///
    /// # Errors
    /// A sentence that says what the simulator cannot run.
    pub fn start(settings: &Settings<'_>) -> Result<Self, String> {
        let file = settings.file;
        let server = boot(settings)?;
        let clock = server.kernel().clock();
        let disk = driver::attach(settings, &clock);
        let domains = file.domains.iter().map(|domain| State {
            program: programs::program_of(&domain.program, settings, disk.as_ref()),
            tracing: Tracing::of(domain.ring.as_ref()),
            ..State::default()
        });
        let shared = Rc::new(Shared {
            file: file.clone(),
            server: RefCell::new(server),
            screen: RefCell::new(Screen::new(settings.echo)),
            clock,
            domains: domains.collect(),
            disk,
            mishap: settings.mishap,
            traffic: RefCell::default(),
            struck: Cell::default(),
        });
        let system = Self { shared };
        let mut order: Vec<usize> = (0..file.domains.len()).collect();
        order.sort_by_key(|&index| std::cmp::Reverse(file.domains[index].priority));
        for index in order {
            system.start_service(index)?;
        }
        Ok(system)
    }

    fn start_service(&self, index: usize) -> Result<(), String> {
        let state = &self.shared.domains[index];
        let Some(program) = &state.program else { return Ok(()) };
        let domain = Domain::new(Rc::clone(&self.shared), index);
        let started = unwinding(|| {
            *state.service.borrow_mut() = Some(program.start(&domain));
            Message::default()
        });
        match self.shared.recovered(index, started) {
            Ok(_) => Ok(()),
            Err(_) if self.shared.struck.get() == Some(index) => {
                state.is_stopped.set(true);
                Ok(())
            }
            Err(departure) => Err(self.shared.describe(departure)),
        }
    }

    /// Lets clients of the console read what this has, as if it were typed.
    pub fn connect(&self, keyboard: impl Read + 'static) {
        self.shared.screen.borrow_mut().connect(Box::new(keyboard));
    }

    /// Runs `program` in the domain whose program has this name.
    ///
    /// # Panics
    /// If there is no such domain, or if the program or a server panics.
    pub fn run<R>(&self, name: &str, program: impl FnOnce(&Domain) -> R) -> End<R> {
        let index = self.shared.file.running(name).expect("the file has this program");
        self.run_domain(index, program)
    }

    /// Runs the client with this index in the file to its end.
    ///
    /// # Panics
    /// If the program or a server panics.
    pub fn run_domain<R>(&self, index: usize, program: impl FnOnce(&Domain) -> R) -> End<R> {
        let domain = Domain::new(Rc::clone(&self.shared), index);
        domain.attempt(|| program(&domain))
    }

    /// Lets so much time pass while no client runs: what is under way goes on.
    ///
    /// # Panics
    /// If a server panics.
    pub fn rest(&self, micros: u64) -> End<()> {
        let clock = &self.shared.clock;
        let end = clock.now().get() + micros;
        self.shared.attempt(|| {
            self.shared.turn(None);
            while self.shared.pass(end) {}
            clock.advance(end.saturating_sub(clock.now().get()));
        })
    }

    /// Returns the disk, if the system has one and somebody drives it.
    #[must_use]
    pub fn disk(&self) -> Option<Disk> {
        self.shared.disk.as_ref().map(|(_, disk)| disk.clone())
    }

    /// Returns the domain that runs a program, so that a test can act for it.
    #[must_use]
    pub fn domain(&self, program: &str) -> Option<Domain> {
        let index = self.shared.file.running(program)?;
        Some(Domain::new(Rc::clone(&self.shared), index))
    }

    /// Gives `action` access to pmserver between two calls.
    pub fn with_server<R>(&self, action: impl FnOnce(&mut Server<SimKernel>) -> R) -> R {
        action(&mut self.shared.server.borrow_mut())
    }

    /// Returns every call and fault since the system started.
    #[must_use]
    pub fn traffic(&self) -> Vec<Traffic> {
        self.shared.traffic.borrow().clone()
    }

    /// Returns the name of the domain that was stopped as [`Mishap::Strike`] says.
    #[must_use]
    pub fn struck(&self) -> Option<String> {
        self.shared.struck.get().map(|domain| self.shared.name(domain))
    }

    /// Returns whether a domain runs no more.
    #[must_use]
    pub fn is_stopped(&self, domain: usize) -> bool {
        self.shared.domains[domain].is_stopped.get()
    }

    /// Returns the whole console output.
    #[must_use]
    pub fn transcript(&self) -> Vec<u8> {
        self.shared.screen.borrow().transcript().to_vec()
    }
}

impl Drop for System {
    /// Breaks the reference cycle: services refer to their domain, which refers to the system.
    fn drop(&mut self) {
        for state in &self.shared.domains {
            drop(state.service.take());
        }
    }
}

pub(crate) fn boot(settings: &Settings<'_>) -> Result<Server<SimKernel>, String> {
    let file = settings.file;
    let pmserver = file.running("pmserver").ok_or("no protection domain runs pmserver.elf")?;
    let memory_server = file.memory_server.as_ref().ok_or("no domain has a memory_account")?;
    if memory_server.name != file.domains[pmserver].name {
        return Err("the parent of the domains with a memory_account does not run pmserver".into());
    }
    let setup = memory_server.setup();
    let peers: Vec<PeerId> =
        setup.peers().iter().filter_map(|peer| PeerId::new(peer.peer.into())).collect();
    // What lies there is no machine code, as with the programs; the page and its tables count.
    let code = |peer: &PeerId| Region { peer: *peer, vaddr: LAST_RESORT, contents: vec![0] };
    let mut regions: Vec<Region> = peers.iter().map(code).collect();
    for domain in &file.domains {
        let number = domain.parent.filter(|&(parent, _)| parent == pmserver);
        let peer = number.and_then(|(_, number)| PeerId::new(number.into()));
        if let Some((peer, vaddr)) = peer.zip(domain.prefilled_vaddr) {
            regions.push(Region { peer, vaddr, contents: settings.image.to_vec() });
        }
    }
    let bytes: u64 = regions.iter().map(|region| region.contents.len() as u64).sum();
    if bytes > REGION_BYTES_MAX {
        return Err(format!(
            "the file system image has {} MiB, and the simulator has room for {}: serve a smaller \
             folder, or use a board",
            bytes >> 20,
            REGION_BYTES_MAX >> 20
        ));
    }
    let plan = BootPlan {
        architecture: settings.architecture,
        pool: setup.parts().to_vec(),
        cspaces: peers.clone(),
        peers,
        regions,
    };
    let confined: Vec<PeerId> = setup.confined().collect();
    let mut kernel = SimKernel::boot_with_confined(&plan, &confined);
    if let Some(Mishap::Refusal(refusal)) = settings.mishap {
        kernel.refuse(Some(refusal));
    } else if settings.mishap.is_none() {
        kernel.record();
    }
    let server = Server::new(kernel, setup.peers())
        .map_err(|error| format!("pmserver cannot start: {error:?}"))?;
    Ok(server.with_calls(setup.calls()))
}

/// Runs something and catches a [`Departure`]; a panic continues to unwind.
fn unwinding<R>(run: impl FnOnce() -> R) -> Result<R, Departure> {
    // Only the domain's own state can be left inconsistent, and it is not used afterwards.
    catch_unwind(AssertUnwindSafe(run)).map_err(|payload| match payload.downcast::<Departure>() {
        Ok(departure) => *departure,
        Err(panic) => resume_unwind(panic),
    })
}
