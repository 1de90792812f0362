// SPDX-License-Identifier: BSD-2-Clause
//! pmserver's books, and the names by which they are shown.
//!
//! An account is called as the domain that it is of, the pool's as pmserver. An object is called as
//! the peer that made it, with the number that pmserver counted it with: `shell.3`.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use pmserver_client::{
    AccountRow, BookRow, ContainerRow, Error, PeerId, PeerRow, Pm, RecordId, ShareRow, Transport,
};

/// The books that the others are explained by.
pub(crate) struct Books {
    pub(crate) peers: Vec<PeerRow>,
    pub(crate) accounts: Vec<AccountRow>,
    pub(crate) containers: Vec<ContainerRow>,
    pub(crate) shares: Vec<ShareRow>,
}

impl Books {
    /// Reads them. Accounts are in the order of the peers, and what a peer has made in the order in
    /// which it has made it.
    pub(crate) fn read<T: Transport>(pm: &Pm<T>) -> Result<Self, Error> {
        let mut books =
            Self { peers: all(pm)?, accounts: all(pm)?, containers: all(pm)?, shares: all(pm)? };
        let Self { peers, accounts, .. } = &mut books;
        let owner = |id| peers.iter().find(|peer| peer.account == Some(id)).map(|peer| peer.peer);
        accounts.sort_by_key(|row| (owner(row.id).or(row.maker), row.serial));
        books.containers.sort_by_key(|row| (row.owner, row.serial));
        let mut shares = core::mem::take(&mut books.shares);
        shares.sort_by_key(|row| (books.owner(row.container), row.serial));
        books.shares = shares;
        Ok(books)
    }

    /// Returns the name of a peer.
    pub(crate) fn peer(&self, peer: PeerId) -> &str {
        let row = self.peers.iter().find(|row| row.peer == peer);
        row.map_or("?", |row| row.name.as_str())
    }

    /// Returns the peer with this name.
    pub(crate) fn peer_named(&self, name: &str) -> Option<&PeerRow> {
        self.peers.iter().find(|row| row.name.as_str() == name)
    }

    /// Returns the name of an account.
    pub(crate) fn account(&self, account: Option<RecordId>) -> String {
        let Some(row) = self.accounts.iter().find(|row| Some(row.id) == account) else {
            return "-".to_string();
        };
        let owner = self.peers.iter().find(|peer| peer.account == account);
        match (row.maker, owner) {
            _ if row.parent.is_none() => "pmserver".to_string(),
            (_, Some(owner)) => owner.name.as_str().to_string(),
            (Some(maker), None) => self.object(maker, row.serial),
            (None, None) => "?".to_string(),
        }
    }

    /// Returns the name of a container.
    pub(crate) fn container(&self, container: Option<RecordId>) -> String {
        let row = self.containers.iter().find(|row| Some(row.id) == container);
        row.map_or("-".to_string(), |row| self.object(row.owner, row.serial))
    }

    /// Returns the name of an object of a peer.
    pub(crate) fn object(&self, maker: PeerId, serial: u32) -> String {
        format!("{}.{serial}", self.peer(maker))
    }

    /// Returns the peer that has made a container.
    pub(crate) fn owner(&self, container: Option<RecordId>) -> Option<PeerId> {
        let row = self.containers.iter().find(|row| Some(row.id) == container);
        row.map(|row| row.owner)
    }
}

/// Returns all rows of a book.
fn all<R: BookRow, T: Transport>(pm: &Pm<T>) -> Result<Vec<R>, Error> {
    pm.rows().collect()
}
