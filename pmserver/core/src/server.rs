// SPDX-License-Identifier: BSD-2-Clause
//! The server: its state, and the way from a message to an operation and back.

use pmserver_api::{CallError, ContainerHandle, Failure, PmError, Request};
use proto::limits::PEERS_MAX;
use proto::{Message, PAGE_BYTES, PeerId};

use crate::accounts::account::{Account, AccountFlags, Shortage};
use crate::broken;
use crate::config::{PeerConfig, Privileges};
use crate::containers::objects::{Access, Container, Share};
use crate::kernel::{Kernel, KernelError};
use crate::memory::pool::Pool;
use crate::memory::records::Ref;
use crate::peers::peer::Peer;

/// The physical memory server.
pub struct Server<K> {
    pub(crate) pool: Pool<K>,
    pub(crate) pool_account: Ref<Account>,
    pub(crate) peers: [Option<Peer>; PEERS_MAX],
    /// The accounts in which something waits to be torn down.
    pub(crate) work: u32,
    /// How many containers and accounts wait for that.
    pub(crate) doomed: u64,
    /// The number of the next access that somebody else is asked for.
    pub(crate) next_fault_id: u64,
}

impl<K: Kernel> Server<K> {
    /// Takes over the pool and opens an account for every peer.
    ///
    /// # Errors
    /// What the kernel answers where the pool is too small for that, or for the sum of the limits;
    /// `Refused` for a peer that cannot be.
    pub fn new(kernel: K, peers: &[PeerConfig<'_>]) -> Result<Self, KernelError> {
        let mut pool = Pool::new(kernel)?;
        let pool_account = pool.new_pool_account().map_err(at_boot)?;
        let mut server = Self {
            pool,
            pool_account,
            peers: [const { None }; PEERS_MAX],
            work: 0,
            doomed: 0,
            next_fault_id: 1,
        };
        for config in peers {
            server.add_peer(config).map_err(at_boot)?;
        }
        Ok(server)
    }

    /// Opens the account of one peer.
    ///
    /// # Errors
    /// Where the number is none that a peer can have, or another's.
    fn add_peer(&mut self, config: &PeerConfig<'_>) -> Result<(), Shortage> {
        let id = PeerId::new(config.peer.into()).ok_or(Shortage::Kernel)?;
        if self.find_peer(id).is_some() {
            return Err(Shortage::Kernel);
        }
        let limit = u32::try_from(config.limit.get() / PAGE_BYTES).unwrap_or(u32::MAX);
        let may_have_extra = config.privileges.contains(Privileges::EXTRA);
        let flags = if may_have_extra { AccountFlags::EXTRA } else { AccountFlags::empty() };
        // A limit is a promise: all of them can be used up at once (protocol I2).
        let account = Account::new(self.pool_account.link(), limit, None, flags);
        let account = self.pool.open_account(self.pool_account, account)?;
        if let Some(place) = self.peers.get_mut(usize::from(id.get())) {
            *place = Some(Peer::new(id, config, account));
        }
        Ok(())
    }

    /// Answers one call. Total: every message gets a reply, and none can make the server panic.
    pub fn call(&mut self, caller: PeerId, message: &Message) -> Message {
        let reply = Request::decode(message).and_then(|request| {
            self.serve(caller, &request).map_err(|failure: Failure| CallError::Refused(failure))
        });
        match reply {
            Ok(reply) => reply.encode(),
            Err(error) => error.reply(),
        }
    }

    /// Returns the kernel.
    pub const fn kernel(&self) -> &K {
        &self.pool.kernel
    }

    /// Returns the kernel for the platform's own use; the core's objects are not to be touched.
    pub const fn kernel_mut(&mut self) -> &mut K {
        &mut self.pool.kernel
    }

    // --- peers ---

    pub(crate) fn find_peer(&self, id: PeerId) -> Option<&Peer> {
        self.peers.get(usize::from(id.get()))?.as_ref()
    }

    /// Returns a peer that is known to be there.
    pub(crate) fn peer(&self, id: PeerId) -> &Peer {
        match self.find_peer(id) {
            Some(peer) => peer,
            None => broken("no such peer"),
        }
    }

    /// Returns a peer that is known to be there, for writing.
    pub(crate) fn peer_mut(&mut self, id: PeerId) -> &mut Peer {
        match self.peers.get_mut(usize::from(id.get())) {
            Some(Some(peer)) => peer,
            _ => broken("no such peer"),
        }
    }

    // --- handles ---

    /// Returns what a container handle gives the caller, after leases that have run out are gone.
    pub(crate) fn access(
        &mut self,
        caller: PeerId,
        handle: ContainerHandle,
    ) -> Result<Access, Failure> {
        let access = self.strong(caller, handle).or_else(|| self.weak(caller, handle));
        let access = access.ok_or(PmError::InvalidCap)?;
        self.expire_leases(access.container);
        Ok(access)
    }

    /// Returns the container where the caller owns it and it is not being destroyed.
    pub(crate) fn owned(
        &mut self,
        caller: PeerId,
        handle: ContainerHandle,
    ) -> Result<Access, Failure> {
        let access = self.access(caller, handle)?;
        if access.is_strong() { Ok(access) } else { Err(PmError::NoRight.into()) }
    }

    /// Returns the container that a handle names, where the caller's account owns it.
    pub(crate) fn owned_container(&self, caller: PeerId, handle: u64) -> Option<Ref<Container>> {
        let container = self.pool.look_up::<Container>(handle)?;
        self.pool.get(container).is_owned_by(caller).then_some(container)
    }

    fn strong(&self, caller: PeerId, handle: ContainerHandle) -> Option<Access> {
        let container = self.owned_container(caller, handle.raw())?;
        (!self.pool.get(container).is_dying()).then_some(Access::strong(container))
    }

    fn weak(&self, caller: PeerId, handle: ContainerHandle) -> Option<Access> {
        let reference = self.pool.look_up::<Share>(handle.raw())?;
        let share = self.pool.get(reference);
        let container = Ref::<Container>::from_link(share.container)?;
        let record = self.pool.get(container);
        let lives = !record.is_dying() && !self.peer(record.owner()).is_stopped;
        let is_valid = lives && share.is_for(caller);
        is_valid.then_some(Access::through(container, reference, share))
    }
}

fn at_boot(shortage: Shortage) -> KernelError {
    match shortage {
        Shortage::Account | Shortage::Pool => KernelError::NotEnoughMemory,
        Shortage::Kernel => KernelError::Refused,
    }
}
