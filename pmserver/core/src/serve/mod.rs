// SPDX-License-Identifier: BSD-2-Clause
//! Serving calls and faults: decode, dispatch, retry under memory pressure, reply.

pub(crate) mod call;
pub(crate) mod dispatch;
pub(crate) mod fault;
pub(crate) mod pressure;

use proto::{PAGE_BYTES, PeerId};

use crate::config::{PeerConfig, Privileges};
use crate::frames::FrameManager;
use crate::kernel::{Kernel, KernelError};
use crate::ops::Operations;
use crate::records::account::{Account, AccountFlags, Shortage};
use crate::records::peer::Peer;
use crate::store::Store;
use crate::tables::Tables;
use crate::teardown::Teardown;

/// The floor that serves calls and faults.
#[derive(Clone)]
pub(crate) struct Service<K> {
    teardown: Teardown<K>,
}

stands_on!(Service.teardown: Teardown);

impl<K: Kernel> Service<K> {
    /// Takes over the pool and opens an account for every peer.
    ///
    /// # Errors
    /// The kernel's error if the pool is too small for its own tables or for the sum of the limits;
    /// `Refused` if a peer's number is out of range or given twice.
    pub(crate) fn new(kernel: K, peers: &[PeerConfig<'_>]) -> Result<Self, KernelError> {
        let mut store = Store::new(kernel)?;
        store.new_pool_account().map_err(at_boot)?;
        let frames = FrameManager::new(Tables::new(store));
        let mut service = Self { teardown: Teardown::new(Operations::new(frames)) };
        for config in peers {
            service.add_peer(config).map_err(at_boot)?;
        }
        Ok(service)
    }

    /// Opens the account of one peer.
    ///
    /// # Errors
    /// If the number is out of range or already taken.
    fn add_peer(&mut self, config: &PeerConfig<'_>) -> Result<(), Shortage> {
        let id = PeerId::new(config.peer.into()).ok_or(Shortage::Kernel)?;
        if self.find_peer(id).is_some() {
            return Err(Shortage::Kernel);
        }
        let limit = u32::try_from(config.limit.get() / PAGE_BYTES).unwrap_or(u32::MAX);
        let may_have_extra = config.privileges.contains(Privileges::EXTRA);
        let flags = if may_have_extra { AccountFlags::EXTRA } else { AccountFlags::empty() };
        // A limit is a promise: all of them can be used up at once (I2).
        let pool = self.store.pool();
        let account = Account::new(pool.link(), limit, None, flags);
        let account = self.store.open_account(pool, account)?;
        if let Some(place) = self.peers.get_mut(usize::from(id.get())) {
            *place = Some(Peer::new(id, config, account));
        }
        Ok(())
    }
}

fn at_boot(shortage: Shortage) -> KernelError {
    match shortage {
        Shortage::Account | Shortage::Pool => KernelError::NotEnoughMemory,
        Shortage::Kernel => KernelError::Refused,
    }
}
