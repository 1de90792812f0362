// SPDX-License-Identifier: BSD-2-Clause
//! Limit and use of all accounts, before a scenario and after it.

use pmserver_api::{AccountHandle, AccountInfo};
use proto::{AddressSpace, Transport};

use crate::cast::Actor;
use crate::error::{Outcome, ScenarioError};
use crate::world::{World, pages};

/// How many accounts are compared.
const ACCOUNTS: usize = 7;

const POOL: &str = "the pool";

/// Pages for which the pool's account is charged as long as a frame of a piece is in use (PM-451).
const PIECE_PAGES: u64 = 64;

/// Limit and use of all accounts at one time, except those of the actors that die.
pub(crate) struct Baseline([(&'static str, AccountInfo); ACCOUNTS]);

impl Baseline {
    /// Reads the accounts, with nothing cached at the file server.
    pub(crate) fn read<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome<Self> {
        world.trim();
        let [client, driver, holder, server] =
            [Actor::Client, Actor::Driver, Actor::Holder, Actor::Server]
                .map(|actor| AccountHandle::of_peer(world.peer(actor)));
        let fsserver = AccountHandle::of_peer(world.files.peer);
        let mut info = |whose, account| world.info(account).map(|info| (whose, info));
        Ok(Self([
            info("P", AccountHandle::OWN)?,
            info("the client", client)?,
            info("the driver", driver)?,
            info("the holder", holder)?,
            info("the server", server)?,
            info("fsserver", fsserver)?,
            info(POOL, AccountHandle::POOL)?,
        ]))
    }

    /// Fails unless the accounts are what they were. If an actor has died, the pool has got its
    /// memory and is not compared; nor is the file server, if it has died.
    pub(crate) fn expect<T: Transport, A: AddressSpace>(
        &self,
        world: &mut World<T, A>,
        has_died: bool,
    ) -> Outcome {
        let Self(after) = Self::read(world)?;
        let lost = usize::from(has_died).saturating_add(world.fsserver_has_died.into());
        let compared = ACCOUNTS.saturating_sub(lost);
        for ((whose, before), (_, after)) in self.0.iter().zip(&after).take(compared) {
            for ((what, expected), (_, seen)) in counts(before).into_iter().zip(counts(after)) {
                if seen != expected && !(whose == &POOL && is_of_pieces(what, seen, expected)) {
                    return Err(ScenarioError::Account { whose, what, seen, expected });
                }
            }
        }
        Ok(())
    }
}

/// Returns whether a count of the pool differs by pieces: all frames of one may have been moved.
fn is_of_pieces(what: &str, seen: u64, expected: u64) -> bool {
    ["use", "records", "free memory"].contains(&what)
        && seen.abs_diff(expected).is_multiple_of(PIECE_PAGES)
}

fn counts(info: &AccountInfo) -> [(&'static str, u64); 9] {
    [
        ("limit", pages(info.limit)),
        ("use", pages(info.used)),
        ("frames", pages(info.frames)),
        ("tables", pages(info.tables)),
        ("slots", pages(info.slots)),
        ("records", pages(info.records)),
        ("extra frames", pages(info.extra)),
        ("promises", pages(info.promised)),
        ("free memory", pages(info.free)),
    ]
}
