// SPDX-License-Identifier: BSD-2-Clause
//! What must be true after a run in which something went wrong: the survivors are served; when all
//! have ended, every page is back, and the kernel has no capability that nobody pays for.

use std::collections::{BTreeMap, BTreeSet};

use pmserver_api::{
    AccessKind, AccountHandle, AccountInfo, AllocateFlags, CallError, Calls, MapFlags, PmError,
};
use pmserver_core::kernel::VSpace;
use pmserver_core::{Fault, FaultOutcome, Server};
use proto::{Console, FrameCount, FrameNumber, PAGE_BYTES, PeerId, VirtAddr};

use crate::direct::Direct;
use crate::kernel::SimKernel;
use crate::machine::{Cap, FrameRights};
use crate::system::{Mishap, Settings, System, boot};
use crate::system_file::SystemFile;

/// The sizes of an untyped page and of a piece, as powers of two.
const PAGE_SIZE_BITS: u8 = 12;
const PIECE_SIZE_BITS: u8 = 18;

/// The number of the janitor, a peer without a program: it cleans up when all others have ended.
pub(crate) const JANITOR_NUMBER: u64 = 20;
/// Where nothing else is mapped.
const PROBE: VirtAddr = VirtAddr::new(0x3E00_0000).unwrap();
/// Longer than any lease.
const LEASES_OVER_MICROS: u64 = 2_000_000;
/// More steps than any teardown takes.
const STEPS_MAX: usize = 4_000;
/// How often who waits for promised memory calls again.
const RETRIES_MAX: usize = 64;
/// How long it waits at most, if it calls again when it is told to (decision 0021).
pub(crate) const PROMISE_MICROS: u64 = 1_000_000;
/// How often who touches promised memory tries again, and what it waits before.
pub(crate) const TRIES_MAX: u64 = 100;
pub(crate) const TRY_MICROS: u64 = 10_000;

/// Returns a system file with a janitor.
///
/// # Errors
/// If the file has no place for one.
pub fn with_janitor(text: &str) -> Result<String, String> {
    let domain = r#"</cspace>
        <protection_domain name="janitor" id="20" priority="1">
            <program_image path="janitor.elf" />
            <memory_account limit="0x4000" privileges="read_accounts supervise set_policy" />
        </protection_domain>"#;
    let channel = r#"<channel>
        <end pd="pmserver" id="20" />
        <end pd="janitor" id="0" pp="true" />
    </channel>
</system>"#;
    if !text.contains("</cspace>") || !text.contains("</system>") {
        return Err("the file has no <cspace> or no <system>".to_owned());
    }
    Ok(text.replacen("</cspace>", domain, 1).replacen("</system>", channel, 1))
}

/// What a free page may still be if the kernel refused to unmake it: no peer reaches it, and it is
/// unmade when the page is scrubbed.
const FREE_OBJECTS: [&str; 3] = [RECORDS, "tables", NODES];
const NODES: &str = "nodes";
/// CNodes that pmserver keeps for the next mapping. What is in one is counted by itself.
const EMPTY_NODES_MAX: u64 = 8;
const RECORDS: &str = "frames mapped for pmserver";

/// What the kernel has: how many capabilities of each kind in each state.
type Census = BTreeMap<&'static str, u64>;

/// A system before any of its domains has run.
pub(crate) struct Audit {
    pool: AccountInfo,
    census: Census,
    /// How many invocations pmserver makes before the first call.
    boot_invocations: u64,
}

struct Quiet;

impl Console for Quiet {
    fn write(&mut self, _: &[u8]) {}
}

fn janitor() -> PeerId {
    PeerId::new(JANITOR_NUMBER).expect("a number that a peer can have")
}

impl Audit {
    pub(super) fn new(settings: &Settings<'_>) -> Result<Self, String> {
        Self::of(&mut boot(settings)?)
    }

    /// Looks at a server before its first call.
    pub(crate) fn of(server: &mut Server<SimKernel>) -> Result<Self, String> {
        let boot_invocations = server.kernel().invocations();
        let pool = info(server, AccountHandle::POOL)?.ok_or("there is no pool")?;
        Ok(Self { pool, census: census(server.kernel()), boot_invocations })
    }

    /// Returns whether the mishap happens before the first call.
    pub(super) const fn is_at_boot(&self, mishap: Mishap) -> bool {
        matches!(mishap, Mishap::Refusal(refusal) if refusal.nth <= self.boot_invocations)
    }

    /// Says what is wrong after a run.
    pub(super) fn after(&self, file: &SystemFile, system: &System) -> Result<(), String> {
        let alive = |peer: &PeerId| {
            let is_it = |index: &usize| {
                file.domains[*index].parent.is_some_and(|(_, number)| number == peer.get())
            };
            (0..file.domains.len()).find(is_it).is_none_or(|index| !system.is_stopped(index))
        };
        let server = file.memory_server.as_ref().ok_or("there is no memory server")?;
        let setup = server.setup();
        let peers = setup.peers().iter().filter_map(|peer| PeerId::new(peer.peer.into()));
        let peers: Vec<PeerId> = peers.filter(|peer| *peer != janitor()).collect();
        system.with_server(|server| {
            holds(server, "after the run")?;
            for peer in peers.iter().filter(|peer| alive(peer)) {
                // Its account may have been destroyed.
                if info(server, AccountHandle::of_peer(*peer))?.is_none() {
                    continue;
                }
                probe(server, *peer).map_err(|sentence| format!("peer {peer}: {sentence}"))?;
            }
            holds(server, "after the survivors were served")?;
            self.settle(server, &peers)
        })
    }

    /// Stops all peers, and says what is not back.
    pub(crate) fn settle(
        &self,
        server: &mut Server<SimKernel>,
        peers: &[PeerId],
    ) -> Result<(), String> {
        end_all(server, peers)?;
        self.expect_all_back(server, peers)
    }

    fn expect_all_back(
        &self,
        server: &mut Server<SimKernel>,
        peers: &[PeerId],
    ) -> Result<(), String> {
        for &peer in peers {
            let account = info(server, AccountHandle::of_peer(peer))?.unwrap_or_default();
            if account.used.get() != 0 || account.extra.get() != 0 {
                return Err(format!("at the end the account of peer {peer} has {account:?}"));
            }
        }
        let pool = info(server, AccountHandle::POOL)?.ok_or("the pool has gone")?;
        if (pool.used, pool.free) != (self.pool.used, self.pool.free) {
            return Err(format!("at the end the pool is {pool:?}, and was {:?}", self.pool));
        }
        let mut changes = self.changes(server.kernel());
        if !changes.is_empty() && changes.iter().all(|(kind, _)| FREE_OBJECTS.contains(kind)) {
            for _ in 0..pool.free.get() / PAGE_BYTES {
                reclaim(server)?;
            }
            changes = self.changes(server.kernel());
        }
        if changes.is_empty() {
            return Ok(());
        }
        let changes: Vec<String> = changes.into_values().collect();
        Err(format!("at the end the kernel has {}", changes.join(", ")))
    }

    /// Says of which capabilities there are more or fewer than before.
    fn changes(&self, kernel: &SimKernel) -> BTreeMap<&'static str, String> {
        let census = census(kernel);
        let kinds: BTreeSet<&str> = census.keys().chain(self.census.keys()).copied().collect();
        let count = |census: &Census, kind| census.get(kind).copied().unwrap_or(0);
        kinds
            .into_iter()
            .map(|kind| (count(&census, kind), count(&self.census, kind), kind))
            .filter(|(now, before, kind)| {
                let kept = if *kind == NODES { EMPTY_NODES_MAX } else { 0 };
                !(*before..=before.saturating_add(kept)).contains(now)
            })
            .map(|(now, before, kind)| match now.checked_sub(before) {
                Some(more) => (kind, format!("{more} more {kind}")),
                None => (kind, format!("{} fewer {kind}", before - now)),
            })
            .collect()
    }
}

fn holds(server: &Server<SimKernel>, when: &str) -> Result<(), String> {
    server.check_invariants().map_err(|sentence| format!("{when}: {sentence}"))
}

fn info(
    server: &mut Server<SimKernel>,
    account: AccountHandle,
) -> Result<Option<AccountInfo>, String> {
    match Calls::new(Direct(server, janitor())).account_info(account) {
        Ok(info) => Ok(Some(info)),
        Err(CallError::Refused(failure)) if failure.error == PmError::InvalidCap => Ok(None),
        Err(error) => Err(format!("account_info says {error}")),
    }
}

/// Returns whether nothing more was promised.
const fn is_at_limit(error: &CallError) -> bool {
    let CallError::Refused(failure) = error else { return false };
    matches!(failure.error, PmError::QuotaExceeded | PmError::NoTableQuota)
}

/// Uses one page of promised memory as a peer that survived.
pub(crate) fn probe(server: &mut Server<SimKernel>, peer: PeerId) -> Result<(), String> {
    let one = FrameCount::ONE;
    let number = FrameNumber::new(0);
    let container = given(server, peer, |calls| calls.container_create(AccountHandle::OWN))?;
    let Some(container) = container else { return Ok(()) };
    let none = AllocateFlags::empty();
    let flags = MapFlags::WRITE;
    if given(server, peer, |calls| calls.allocate(container, number, one, none))?.is_some()
        && given(server, peer, |calls| calls.map(container, number, one, PROBE, flags))?.is_some()
    {
        touch(server, peer)?;
    }
    given(server, peer, |calls| calls.container_destroy(container)).map(drop)
}

/// Calls until what was promised is given; returns nothing if it was not promised.
pub(crate) fn given<R>(
    server: &mut Server<SimKernel>,
    peer: PeerId,
    call: impl Fn(&mut Calls<Direct<'_>>) -> Result<R, CallError>,
) -> Result<Option<R>, String> {
    let since = server.kernel().clock().now().get();
    let mut retries = 0..RETRIES_MAX;
    loop {
        match call(&mut Calls::new(Direct(server, peer))) {
            Ok(result) => return Ok(Some(result)),
            Err(error) if is_at_limit(&error) => return Ok(None),
            Err(CallError::Refused(failure))
                if failure.error == PmError::Pending && retries.next().is_some() =>
            {
                let clock = server.kernel().clock();
                if clock.now().get() > since + PROMISE_MICROS {
                    return Err("promised memory is not had in a second".to_owned());
                }
                clock.advance(failure.at.saturating_sub(clock.now().get()));
            }
            Err(error) => return Err(format!("one promised page says {error}")),
        }
    }
}

/// Loads and stores in the new page. A fault that pmserver repairs is followed by another try.
fn touch(server: &mut Server<SimKernel>, peer: PeerId) -> Result<(), String> {
    let vspace = VSpace::Peer(peer);
    let mut word = [1; 8];
    let mut tries = 0..TRIES_MAX;
    while server.kernel().load(vspace, PROBE.get(), &mut word).is_err() {
        repair(server, peer, AccessKind::Read, tries.next())?;
    }
    if word != [0; 8] {
        return Err(format!("a new page reads {word:?}"));
    }
    while server.kernel_mut().store(vspace, &[7; 8], PROBE.get()).is_err() {
        repair(server, peer, AccessKind::Write, tries.next())?;
    }
    Ok(())
}

fn repair(
    server: &mut Server<SimKernel>,
    peer: PeerId,
    kind: AccessKind,
    tries: Option<u64>,
) -> Result<(), String> {
    if tries.is_none() || !server.resolve(peer, PROBE.get(), kind) {
        return Err(format!("a new page faults at a {kind:?}, after {tries:?} tries"));
    }
    server.kernel().clock().advance(TRY_MICROS);
    Ok(())
}

/// Stops all peers and frees everything that they had.
fn end_all(server: &mut Server<SimKernel>, peers: &[PeerId]) -> Result<(), String> {
    for &peer in peers {
        while server.fault(peer, Fault::Other, &mut Quiet) != FaultOutcome::Stopped {}
    }
    holds(server, "after all were stopped")?;
    server.kernel().clock().advance(LEASES_OVER_MICROS);
    reclaim(server)?;
    for &peer in peers {
        Calls::new(Direct(server, janitor()))
            .device_reset(peer)
            .map_err(|error| format!("device_reset of peer {peer} says {error}"))?;
        destroy_account(server, peer)?;
    }
    reclaim(server)?;
    holds(server, "at the end")
}

fn reclaim(server: &mut Server<SimKernel>) -> Result<(), String> {
    for _ in 0..STEPS_MAX {
        match Calls::new(Direct(server, janitor())).reclaim() {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) => return Err(format!("reclaim says {error}")),
        }
    }
    Err("reclaim comes to no end".to_owned())
}

/// Destroys the account of a stopped peer, with those that it has split off.
fn destroy_account(server: &mut Server<SimKernel>, peer: PeerId) -> Result<(), String> {
    let account = AccountHandle::of_peer(peer);
    for _ in 0..STEPS_MAX {
        match Calls::new(Direct(server, janitor())).account_destroy(account) {
            Ok(()) => return Ok(()),
            Err(CallError::Refused(failure)) if failure.error == PmError::Pending => {}
            Err(CallError::Refused(failure)) if failure.error == PmError::InvalidCap => {
                return Ok(());
            }
            Err(error) => return Err(format!("account_destroy of peer {peer} says {error}")),
        }
    }
    Err(format!("account_destroy of peer {peer} comes to no end"))
}

/// Counts the capabilities of the kernel by kind and state. Frames that are neither mapped nor
/// derived from are not counted: pmserver keeps free pages as frames.
fn census(kernel: &SimKernel) -> Census {
    let mut census = Census::new();
    let mut frames = BTreeSet::new();
    let own = kernel.own_asid();
    for cap in kernel.machine().capabilities() {
        let kind = match cap {
            // There is a fixed number of places for what was copied from, or is prepared for that.
            Cap::Frame { mapped: Some(mapped), .. } if kernel.is_for_copies(mapped) => continue,
            Cap::Frame { base, mapped, rights, .. } => {
                if !frames.insert(base) {
                    "derived frames"
                } else if let Some(mapped) = mapped {
                    if mapped.asid == own { RECORDS } else { "frames mapped for peers" }
                } else if rights == FrameRights::ReadWrite {
                    continue;
                } else {
                    "weak frames"
                }
            }
            Cap::Table { mapped: Some(_), .. } => "mapped tables",
            Cap::Table { mapped: None, .. } => "tables",
            Cap::CNode { .. } => NODES,
            Cap::Zombie { .. } => "zombies",
            // A block that was cut into pages, or divided into pieces, stays so.
            Cap::Untyped { size_bits: PAGE_SIZE_BITS | PIECE_SIZE_BITS, .. } => continue,
            Cap::Untyped { .. } => "untyped objects",
            Cap::VSpace { .. } => "address spaces",
            Cap::Tcb { .. } => "threads",
            Cap::Notification { .. } => "notifications",
            Cap::AsidPool | Cap::Null => "others",
        };
        *census.entry(kind).or_default() += 1;
    }
    census
}
