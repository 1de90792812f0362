// SPDX-License-Identifier: BSD-2-Clause
//! Garbage from clients and errors from the kernel: no server may panic, and pmserver's invariants
//! must hold after every step.
// Tests may fail by panicking.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod stage;

use pmserver_api::{AccountHandle, AllocateFlags, MapFlags, Rights};
use proto::{
    AddressSpace, FrameCount, FrameNumber, Message, Micros as LeaseLimit, PeerId, Transport,
    VirtAddr,
};
use sim::Refusal;
use sim::system::{Domain, End, Mishap, Settings, System, chosen_scenarios, client_demo};

/// Marsaglia's xorshift generator: the same numbers for the same seed on every host.
struct Xorshift(u64);

impl Xorshift {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn pick(&mut self, from: &[u64]) -> u64 {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }
}

/// A server, with the number of a client's channel to it.
#[derive(Clone, Copy)]
enum Server {
    Pm = 0,
    Fs = 1,
}

/// The program that sends, the server, and the registers of that server's operations.
type Sender = (&'static str, Server, &'static [&'static [Role]]);

/// The meaning of a register in a request.
#[derive(Clone, Copy)]
enum Role {
    Container,
    Share,
    Lease,
    File,
    Small,
    Flags,
    Address,
    Micros,
    /// Two small fields and a large one, packed into one register.
    Packed,
    /// Two 32-bit fields, packed into one register.
    Span,
}

use Role::{Address, Container, File, Flags, Lease, Micros, Packed, Share, Small, Span};

/// The registers of pmserver's operations, from operation 1 on.
const PMSERVER_ROLES: [&[Role]; 19] = [
    &[],
    &[],
    &[],
    &[Flags],
    &[Container],
    &[Container, Small, Small, Flags],
    &[Container, Small, Small, Flags],
    &[Container, Small, Small, Packed],
    &[Share],
    &[Container, Small, Packed, Micros],
    &[Lease],
    &[Container, Small, Address, Packed],
    &[Address, Small],
    &[Container, Small, Small],
    &[Small],
    &[Address, Address],
    &[Small, Micros],
    &[],
    &[],
];

/// The same for fsserver.
const FSSERVER_ROLES: [&[Role]; 6] = [
    &[],
    &[Container, Small],
    &[File],
    &[File, Container, Small, Flags],
    &[File, Container, Small, Span],
    &[File],
];

const PM_DESTROY: u64 = 5;
const PM_CREATE: u64 = 4;
const PM_ALLOCATE: u64 = 6;
const PM_SHARE: u64 = 8;
const PM_MAP: u64 = 12;
const SEEN_MAX: usize = 16;
const PATH: &[u8] = b"/containers.txt";
const PM_LOCK: u64 = 10;
const FS_LOOKUP: u64 = 2;
const WINDOW: u64 = 0x1030_0000;
/// An address that garbage never maps.
const PATH_VADDR: u64 = WINDOW + (1 << 20);
const LEND_EVERY: u64 = 200;

/// Makes nearly valid requests: most registers have a value of the right kind; sometimes a value is
/// of another kind or any 64 bits, or a register is missing or surplus.
struct Garbage {
    random: Xorshift,
    /// Handles that servers replied with, by kind.
    seen: [Vec<u64>; 4],
}

impl Garbage {
    fn new(seed: u64) -> Self {
        Self { random: Xorshift(seed), seen: [const { Vec::new() }; 4] }
    }

    fn number(&mut self, role: Role) -> u64 {
        let Self { random, seen } = self;
        match role {
            Container | Share | Lease | File => {
                let seen = &seen[role as usize];
                if seen.is_empty() { 0 } else { random.pick(seen) }
            }
            Small if random.below(8) == 0 => PATH.len() as u64,
            Small => random.below(9) * random.pick(&[1, 1, 1, 1, 1, 40]),
            Flags => random.below(8) * random.below(2),
            Address => WINDOW + random.below(64) * 4096,
            Micros => random.below(100) * random.pick(&[1, 1000, 1_000_000]),
            Packed => {
                let large = random.below(300) * random.pick(&[0, 0, 1]);
                random.below(9) | random.below(8) << 16 | large << 32
            }
            Span => random.below(2) | random.below(9000) << 32,
        }
    }

    fn register(&mut self, role: Role) -> u64 {
        let roles = [Container, Share, Lease, File, Small, Flags, Address, Micros, Packed];
        match self.random.below(40) {
            0 => self.random.next(),
            1 => self.random.pick(&[u64::MAX, 1 << 63, 1 << 47, (1 << 32) - 1, 1 << 32, 4096]),
            2 => self.number(role) ^ 1 << self.random.below(64),
            3 => {
                let other = self.random.below(roles.len() as u64);
                self.number(roles[usize::try_from(other).unwrap()])
            }
            _ => self.number(role),
        }
    }

    fn request(&mut self, operations: &[&[Role]]) -> Message {
        let mut label = 1 + self.random.below(operations.len() as u64);
        // Fill containers more often than create or destroy them.
        if matches!(label, PM_CREATE | PM_DESTROY) && self.random.below(4) != 0 {
            label = self.random.pick(&[PM_ALLOCATE, PM_SHARE, PM_MAP]).min(operations.len() as u64);
        }
        let roles = operations[usize::try_from(label - 1).unwrap()];
        let mut registers: Vec<u64> = roles.iter().map(|&role| self.register(role)).collect();
        match self.random.below(50) {
            0 if registers.len() < 4 => registers.push(0),
            1 => drop(registers.pop()),
            2 => label = self.random.next(),
            _ => {}
        }
        Message::from_wire(label, &registers).unwrap()
    }

    /// Records the handles in a reply; the operation determines their kinds.
    fn remember(&mut self, server: Server, request: &Message, reply: &Message) {
        let kinds: &[Role] = match (server, request.label()) {
            _ if reply.label() != 0 => &[],
            (Server::Pm, PM_CREATE) => &[Container],
            (Server::Pm, PM_SHARE) => &[Share, Container],
            (Server::Pm, PM_LOCK) => &[Lease],
            (Server::Fs, FS_LOOKUP) => &[File],
            _ => &[],
        };
        for (&kind, &handle) in kinds.iter().zip(reply.registers()) {
            self.keep(kind, handle);
        }
    }

    fn keep(&mut self, kind: Role, handle: u64) {
        let seen = &mut self.seen[kind as usize];
        if seen.len() < SEEN_MAX {
            seen.push(handle);
        } else {
            seen[usize::try_from(self.random.below(SEEN_MAX as u64)).unwrap()] = handle;
        }
    }
}

/// Lends fsserver frames that start with a path, so that a lookup can succeed; a length of 1 gives
/// the root folder. Returns `None` if earlier garbage makes that impossible.
fn lend_path(system: &System) -> Option<u64> {
    let client = system.domain("client-demo")?;
    let mut pm = pmserver_api::Calls::new(client.channel(0));
    let container = pm.container_create(AccountHandle::OWN).ok()?;
    let (start, vaddr) = (FrameNumber::new(0), VirtAddr::new(PATH_VADDR)?);
    pm.allocate(container, start, FrameCount::new(8)?, AllocateFlags::empty()).ok()?;
    let flags = MapFlags::READ | MapFlags::WRITE;
    pm.map(container, start, FrameCount::ONE, vaddr, flags).ok()?;
    client.space().copy_out(PATH, vaddr);
    pm.unmap(vaddr, FrameCount::ONE).ok()?;
    let rights = Rights::READ | Rights::WRITE | Rights::LOCK;
    let lease = LeaseLimit::new(1_000_000);
    let shared = pm.share(container, start, 8, PeerId::new(1)?, rights, lease).ok()?;
    Some(shared.weak.raw())
}

/// Prints seed and step if anything panics.
struct Replay {
    seed: u64,
    step: u64,
}

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("at seed {:#x}, step {}", self.seed, self.step);
        }
    }
}

/// Sends garbage; each step draws one of `senders`. Returns how often each operation of the first
/// sender succeeded.
fn send_garbage(seed: u64, steps: u64, senders: &[Sender], check_every: u64) -> [u64; 32] {
    let image = stage::example_image(&format!("garbage {seed:x}"));
    let file = stage::small_demo_file();
    let settings = stage::settings(&file, &image);
    let system = System::start(&settings).unwrap();
    let mut garbage = Garbage::new(seed);
    let mut replay = Replay { seed, step: 0 };
    let mut succeeded = [0; 32];
    for step in 0..steps {
        replay.step = step;
        if step % LEND_EVERY == 0
            && let Some(weak) = lend_path(&system)
        {
            garbage.keep(Container, weak);
        }
        let sender = usize::try_from(garbage.random.below(senders.len() as u64)).unwrap();
        let (name, server, operations) = senders[sender];
        let domain = system.domain(name).unwrap();
        let request = garbage.request(operations);
        let end = domain.attempt(|| domain.channel(server as u8).call(request));
        let End::Finished(reply) = end else { panic!("seed {seed:#x} step {step}: {end:?}") };
        if sender == 0 && reply.label() == 0 {
            succeeded[usize::try_from(request.label()).unwrap()] += 1;
        }
        garbage.remember(server, &request, &reply);
        if step % check_every == 0 {
            stage::check(&system, &format_args!("seed {seed:#x} step {step} {request:x?}"));
        }
    }
    let replaced = system.with_server(|server| server.kernel().machine().replaced_pages());
    assert_eq!(replaced, 0, "pages were mapped over other pages (seed {seed:#x})");
    succeeded
}

/// Panics if an operation never succeeded, because then it was not really tested.
fn expect_success_of_all(succeeded: &[u64], operations: impl Iterator<Item = usize>) {
    let missed: Vec<usize> = operations.filter(|&operation| succeeded[operation] == 0).collect();
    assert!(missed.is_empty(), "operations {missed:?} never succeeded: {succeeded:?}");
}

const CLIENT_TO_PMSERVER: Sender = ("client-demo", Server::Pm, &PMSERVER_ROLES);
const FSSERVER_TO_PMSERVER: Sender = ("fsserver", Server::Pm, &PMSERVER_ROLES);
const CLIENT_TO_FSSERVER: Sender = ("client-demo", Server::Fs, &FSSERVER_ROLES);

#[test]
fn no_garbage_panics_pmserver_or_breaks_an_account() {
    let mut succeeded = [0; 32];
    for seed in [1, 0xDEAD_BEEF, 0x0123_4567_89AB_CDEF] {
        let senders = [CLIENT_TO_PMSERVER, CLIENT_TO_PMSERVER, FSSERVER_TO_PMSERVER];
        let counts = send_garbage(seed, 6000, &senders, 5);
        for (sum, count) in succeeded.iter_mut().zip(counts) {
            *sum += count;
        }
    }
    // Only the supervisor may call `rescue`.
    expect_success_of_all(&succeeded, (1..=19).filter(|&operation| operation != 18));
}

#[test]
fn no_garbage_panics_fsserver() {
    let mut succeeded = [0; 32];
    for seed in [5, 21] {
        let senders = [CLIENT_TO_FSSERVER, CLIENT_TO_FSSERVER, CLIENT_TO_PMSERVER];
        let counts = send_garbage(seed, 15_000, &senders, 100);
        for (sum, count) in succeeded.iter_mut().zip(counts) {
            *sum += count;
        }
    }
    expect_success_of_all(&succeeded, 1..=6);
}

/// Runs a client while the n-th kernel invocation fails, and checks pmserver's invariants
/// afterwards.
fn fail_nth(n: u64, settings: &Settings<'_>, client: &str) -> Option<End<bool>> {
    let mishap = Some(Mishap::Refusal(Refusal { nth: n, error: 0 }));
    let settings = Settings { mishap, disk: settings.disk.clone(), ..*settings };
    // pmserver may refuse to start: then no client runs.
    let system = System::start(&settings).ok()?;
    let program = if client == "client-demo" { client_demo } else { short_scenarios };
    let end = system.run(client, program);
    stage::check(&system, &format_args!("{client}, invocation {n} failed"));
    if let End::Finished(_) = end {
        let transcript = String::from_utf8(system.transcript()).unwrap();
        let last = transcript.lines().last().unwrap_or_default();
        assert!(last == "PASS" || last.starts_with("FAIL: "), "{n}: {last}");
    }
    Some(end)
}

fn invocations(settings: &Settings<'_>, client: &str) -> u64 {
    let system = System::start(settings).unwrap();
    let program = if client == "client-demo" { client_demo } else { short_scenarios };
    assert_eq!(system.run(client, program), End::Finished(true));
    system.with_server(|server| server.kernel().invocations())
}

#[test]
fn the_demo_survives_any_single_kernel_error() {
    let image = stage::example_image("refusals");
    let file = stage::small_demo_file();
    let settings = stage::settings(&file, &image);
    let total = invocations(&settings, "client-demo");
    assert!(total > 100, "{total}");
    let mut refusals = 0;
    // Every invocation of the start, because these all differ; then a sample.
    for n in (1..200).chain((200..total).step_by(29)) {
        match fail_nth(n, &settings, "client-demo") {
            Some(End::Finished(true)) | None => {}
            Some(End::Finished(false)) => refusals += 1,
            Some(other) => panic!("invocation {n} failed: {other:?}"),
        }
    }
    assert!(refusals > 0, "no kernel error had an effect");
    assert_eq!(fail_nth(total + 1, &settings, "client-demo"), Some(End::Finished(true)));
}

/// How many kernel errors the test tries.
const SAMPLES: usize = 30;

/// Runs all scenarios except those that take long, because they fill the pool or wait.
fn short_scenarios(domain: &Domain) -> bool {
    let long = ["S29", "S30", "S31", "S32", "S48"];
    chosen_scenarios(domain, |name| !long.contains(&name))
}

#[test]
fn the_scenarios_survive_any_single_kernel_error() {
    let image = stage::example_image("scenario refusals");
    let file = stage::scenario_file();
    let settings = stage::scenario_settings(&file, &image);
    let total = invocations(&settings, "scenario-client");
    let step = usize::try_from(total).unwrap() / SAMPLES;
    for n in (1..total).step_by(step) {
        fail_nth(n, &settings, "scenario-client");
    }
}
