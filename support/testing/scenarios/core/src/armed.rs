// SPDX-License-Identifier: BSD-2-Clause
//! S64: shares that are used once at a time.

use pmserver_api::{
    ContainerHandle, CopyFlags, Lease, LockMode, MapFlags, PmError, Rights, ShareTerms, Shared,
};
use proto::{AddressSpace, FrameCount, Transport, VirtAddr};

use crate::cast::Actor::{self, Client, Parent, Server};
use crate::error::{Outcome, expect, faults, fs, pm, refused, same};
use crate::files::ALL_PAGES;
use crate::world::{LONG, READ_WRITE, WINDOW, WINDOW_2, World, at, frames};

const COUNT: u64 = 3;
const WRITE: MapFlags = MapFlags::WRITE;

/// S64: C arms a share; S takes it, fills it and gives it back; then takes it again, keeps it, or
/// uses the handle for something else. C's mapping stays, and one call tells it that
/// the bytes are its own; at the deadline, at the latest, they are.
pub(crate) fn s64<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let container = world.filled_container(Client, COUNT)?;
    world.map(Client, container, COUNT, WINDOW, READ_WRITE)?;
    let shared = world.share_once(container, Server)?;
    refused("S taking early", world.take(Server, shared.weak, WINDOW), PmError::NotArmed)?;
    for word in [64, 65, 66] {
        pm("C arming", world.calls(Client).arm(shared.share))?;
        let lease = pm("S taking", world.take(Server, shared.weak, WINDOW))?;
        world.writes(Server, "S writing", WINDOW, word)?;
        world.reads(Client, "C's mapping meanwhile", WINDOW, word)?;
        world.writes(Client, "C writing meanwhile", WINDOW, word.saturating_add(1000))?;
        world.writes(Server, "S writing again", WINDOW, word)?;
        let taken = world.calls(Client).disarm(shared.share);
        let failure = refused("C confirming early", taken, PmError::Locked)?;
        same("the deadline that C is told", failure.at, lease.deadline.get())?;
        pm("S giving back", world.calls(Server).unlock(lease.lease))?;
        let was_armed = pm("C confirming", world.calls(Client).disarm(shared.share))?;
        expect(!was_armed, "S has not used the arming up")?;
        world.reads(Client, "C's mapping", WINDOW, word)?;
        let again = world.take(Server, shared.weak, WINDOW);
        refused("S taking a second time", again, PmError::NotArmed)?;
    }
    world.is_read_into()?;
    world.uses_it_otherwise(container, shared)?;
    world.keeps_it(shared)?;
    pm("C unsharing", world.calls(Client).unshare(shared.share))?;
    faults("S writing after all", world.puppet(Server).store(WINDOW, 1))?;
    world.reads(Client, "C's mapping after all", WINDOW, 67)
}

impl<T: Transport, A: AddressSpace> World<T, A> {
    /// Lends the first frames of a container of C's, to be taken.
    pub(crate) fn share_once(&mut self, container: ContainerHandle, to: Actor) -> Outcome<Shared> {
        let peer = self.peer(to);
        let terms = ShareTerms { peer, rights: Rights::WRITE, lease_max: LONG, once: true };
        pm("sharing", self.calls(Client).share_on(container, at(0), COUNT, terms))
    }

    /// Makes an actor take them.
    pub(crate) fn take(
        &mut self,
        actor: Actor,
        weak: ContainerHandle,
        vaddr: VirtAddr,
    ) -> Result<Lease, pmserver_api::CallError> {
        self.calls(actor).take(weak, at(0), frames(COUNT), vaddr, WRITE)
    }

    /// The file server reads into armed shares.
    fn is_read_into(&mut self) -> Outcome {
        let before = self.fsserver_account()?;
        let file = self.open_known()?;
        let loan = self.lend(Rights::READ)?;
        let shared = self.lend_once(loan.container)?;
        for _ in 0..2 {
            pm("arming", self.calls(Parent).arm(shared.share))?;
            let bytes = fs("reading", self.files.read_known_taken(file, shared.weak))?;
            Self::expect_known_length(bytes)?;
            let was_armed = pm("confirming", self.calls(Parent).disarm(shared.share))?;
            expect(!was_armed, "S has not used the arming up")?;
            self.expect_contents(loan.container, ALL_PAGES)?;
        }
        let unarmed = self.files.read_known_taken(file, shared.weak).err();
        expect(
            unarmed.and_then(|error| error.pm_refusal()) == Some(PmError::NotArmed),
            "S reads into what is not armed",
        )?;
        expect(self.fsserver_account()? == before, "the account of S is not what it was")?;
        fs("closing", self.files.client().close(file))
    }

    /// S uses the handle for something else than taking, armed or not.
    fn uses_it_otherwise(&mut self, container: ContainerHandle, shared: Shared) -> Outcome {
        let own = self.filled_container(Server, COUNT)?;
        for arms in [false, true] {
            if arms {
                pm("C arming", self.calls(Client).arm(shared.share))?;
            }
            let (weak, one, none) = (shared.weak, FrameCount::ONE, CopyFlags::empty());
            let no = PmError::NoRight;
            let mut server = self.calls(Server);
            let mapped = server.map(weak, at(0), one, WINDOW_2, MapFlags::READ);
            refused("S mapping", mapped, no)?;
            let locked = server.lock(weak, at(0), one, LockMode::Read, LONG);
            refused("S locking", locked, no)?;
            refused("S granting", server.grant(weak, at(0), one, MapFlags::READ), no)?;
            refused("S attaching", server.attach(weak, at(0), 1, WINDOW_2, MapFlags::READ), no)?;
            let copied = server.copy((weak, at(0)), (own, at(0)), one, none);
            refused("S copying", copied, no)?;
            let replaced = server.copy((own, at(0)), (weak, at(0)), one, none);
            refused("S replacing", replaced, no)?;
            let beyond = server.take(weak, at(1), frames(COUNT), WINDOW_2, WRITE);
            refused("S taking more", beyond, no)?;
            refused("S arming", server.arm(shared.share), PmError::InvalidCap)?;
            let by_owner = self.calls(Client).take(container, at(0), one, WINDOW_2, WRITE);
            refused("C taking", by_owner, no)?;
        }
        let was_armed = pm("C disarming", self.calls(Client).disarm(shared.share))?;
        expect(was_armed, "a refused call has used the arming up")
    }

    /// S keeps what it has taken.
    fn keeps_it(&mut self, shared: Shared) -> Outcome {
        pm("C arming", self.calls(Client).arm(shared.share))?;
        let lease = pm("S taking", self.take(Server, shared.weak, WINDOW))?;
        self.writes(Server, "S writing", WINDOW, 67)?;
        let armed = self.calls(Client).arm(shared.share);
        let failure = refused("C arming what is taken", armed, PmError::Locked)?;
        same("the deadline that C is told", failure.at, lease.deadline.get())?;
        self.wait_until(failure.at)?;
        pm("C confirming after the deadline", self.calls(Client).disarm(shared.share))?;
        faults("S writing after the deadline", self.puppet(Server).store(WINDOW, 1))?;
        self.reads(Client, "C's mapping after the deadline", WINDOW, 67)?;
        let late = self.calls(Server).unlock(lease.lease);
        refused("S giving back late", late, PmError::InvalidCap)?;
        // Given back by its fault: it does not know what it had.
        pm("C arming", self.calls(Client).arm(shared.share))?;
        pm("S taking", self.take(Server, shared.weak, WINDOW))?;
        faults("S faulting", self.puppet(Server).store(WINDOW_2, 1))?;
        pm("C confirming after S's fault", self.calls(Client).disarm(shared.share)).map(drop)
    }
}
