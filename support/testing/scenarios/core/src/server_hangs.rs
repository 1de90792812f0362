// SPDX-License-Identifier: BSD-2-Clause
//! S54: the server hangs, and does not recover.

use pmserver_api::{LockMode, PmError, Rights};
use proto::limits::RECOVERY_MICROS_MAX;
use proto::{AddressSpace, Micros, Transport, VirtAddr};
use puppet_core::Recovery;

use crate::cast::Actor::{self, Client, Mortal5, Mortal6, Mortal7, Mortal8, Parent};
use crate::error::{Outcome, did, expect, faults, pm, refused, same, stopped};
use crate::world::{LONG, READ_WRITE, WINDOW, World, at, frames, pages, vaddr};

/// An address that is mapped in no actor.
const NOWHERE: VirtAddr = vaddr(0x3F00_0000);

/// How long the caller waits.
const PATIENCE_MICROS: u64 = 50_000;

/// When the answer is there at the latest: the supervisor looks every 10 ms.
const ANSWER_MICROS: u64 = PATIENCE_MICROS + RECOVERY_MICROS_MAX + 100_000 + LATE_MICROS;

/// How late the kernel's timer may be: on x86-64 without TSC deadlines a round of its 32-bit
/// counter at 1 GHz (decision 0024). The simulator and other kernels are not late.
const LATE_MICROS: u64 =
    if cfg!(all(target_arch = "x86_64", target_os = "none")) { 4_294_968 } else { 0 };

/// S54: S hangs without a recovery entry; hangs where it recovers; registers there and hangs;
/// faults there. Each time its caller is answered within the time of PM-373, as is whoever calls S
/// afterwards, and what S held is free. Who does not call S cannot have it rescued.
pub(crate) fn s54<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let peer = world.peer(Mortal5);
    let watched = world.calls(Client).watch(peer, Micros::new(1));
    refused("watching an S that one does not call", watched, PmError::NoRight)?;

    did("S planning", world.puppet(Mortal5).recover_by(Recovery::ServeOnce))?;
    faults("S faulting", world.puppet(Mortal5).load(NOWHERE))?;
    hangs(world, Mortal5)?;
    let plans = [(Mortal6, Recovery::Hang), (Mortal7, Recovery::RegisterAndHang)];
    for (server, plan) in plans {
        did("S planning", world.puppet(server).recover_by(plan))?;
        hangs(world, server)?;
    }
    let registered = world.calls(Mortal8).register_recovery(NOWHERE, NOWHERE);
    pm("S naming an entry where nothing is", registered)?;
    hangs(world, Mortal8)
}

/// Calls a server that hangs.
fn hangs<T: Transport, A: AddressSpace>(world: &mut World<T, A>, server: Actor) -> Outcome {
    let container = world.filled_container(Client, 2)?;
    let shared = world.share(Client, container, server, Rights::all())?;
    world.map(server, shared.weak, 2, WINDOW, READ_WRITE)?;
    pm("S locking", world.lock_all(server, shared.weak, 2, LONG))?;

    let (peer, patience) = (world.peer(server), Micros::new(PATIENCE_MICROS));
    let before = world.now()?;
    pm("announcing the call", world.calls(Parent).watch(peer, patience))?;
    stopped("calling S as it hangs", world.puppet(server).hang())?;
    let waited = world.now()?.saturating_sub(before);
    expect((PATIENCE_MICROS..=ANSWER_MICROS).contains(&waited), "the answer did not come in time")?;
    for _ in 0..3 {
        stopped("calling S when it is stopped", world.puppet(server).load(WINDOW))?;
    }
    let locked = world.calls(Client).lock(container, at(0), frames(2), LockMode::Exclusive, LONG);
    let lease = pm("C locking what S had locked", locked)?;
    pm("C unlocking", world.calls(Client).unlock(lease.lease))?;
    world.bury()?;
    same("what is still charged to S", pages(world.account(server)?.used), 0)
}
