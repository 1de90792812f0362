// SPDX-License-Identifier: BSD-2-Clause
//! Accounts: who pays (protocol R4, R17, R25).
//!
//! Accounts form a tree below the pool's account. A charge is one whole page of one of five kinds;
//! it counts in the account and in every account above it. The parent promises the limit of its
//! child: it counts the limit as used up, so an account below its own limit is never refused by an
//! account above it. The pool's limit is all untyped memory. Only *extra* frames (`store/extra.rs`)
//! are charged beyond limits, from memory that is unused at the moment; they are dropped when
//! somebody needs memory that was promised (`serve/pressure.rs`).
//!
//! ```text
//!   room = limit - own - promised
//! ```
//!
//! The second record of an account (`records/ledger.rs`) holds the heads of its lists. While it has
//! runs, a third (`records/stock.rs`) counts its free cells.

use bitflags::bitflags;
use pmserver_api::{AccountInfo, PmError};
use proto::{ByteCount, PeerId};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::kernel::KernelError;
use crate::records::cell::{Stamp, record};
use crate::records::count::{minus, plus};
use crate::records::ledger::Ledger;
use crate::records::links::{Link, Links, chain};

/// The kind of a charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Charge {
    /// A virtual frame, whether it has memory yet or not.
    Frames,
    /// A page table.
    Tables,
    /// A CNode.
    Slots,
    /// A page of records.
    Records,
    /// A virtual frame above the limit.
    Extra,
}

/// How many kinds there are.
const KINDS: usize = 5;

impl Charge {
    #[allow(clippy::as_conversions)] // Its place.
    const fn place(self) -> usize {
        self as usize
    }
}

/// Why a page could not be charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shortage {
    /// The account, or one above it, is at its limit or being destroyed.
    Account,
    /// The pool has no memory left.
    Pool,
    /// The kernel refused.
    Kernel,
}

impl Shortage {
    /// Returns the error for an account that pays for what it asked for.
    pub(crate) const fn as_quota(self) -> PmError {
        match self {
            Self::Account => PmError::QuotaExceeded,
            Self::Pool => PmError::NoMemory,
            Self::Kernel => PmError::Kernel,
        }
    }

    /// Returns the error for an account that pays for a mapping (R25).
    pub(crate) const fn as_table_quota(self) -> PmError {
        match self {
            Self::Account => PmError::NoTableQuota,
            other => other.as_quota(),
        }
    }
}

impl From<KernelError> for Shortage {
    fn from(error: KernelError) -> Self {
        match error {
            KernelError::NotEnoughMemory => Self::Pool,
            _ => Self::Kernel,
        }
    }
}

bitflags! {
    /// What an account may do, and whether it is ending.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub(crate) struct AccountFlags: u8 {
        /// It may have extra frames, if all accounts above it may.
        const EXTRA = 1 << 0;
        /// It is being destroyed with all accounts below it; nothing can be charged to them.
        const DYING = 1 << 1;
        /// It was removed. While something still refers to it, it stands for its parent.
        const REMOVED = 1 << 2;
    }
}

/// An account.
#[repr(C, align(16))]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Account {
    stamp: Stamp,
    /// The account above; 0 for the pool.
    pub(crate) parent: Link<Account>,
    /// Its second record.
    pub(crate) ledger: Link<Ledger>,
    /// The other children of its parent.
    siblings: Links<Account>,
    /// The accounts below it.
    pub(crate) children: Link<Account>,
    /// In pages, as all counters below.
    pub(crate) limit: u32,
    /// What is charged to it and to accounts below it, of each kind.
    charged: [u32; KINDS],
    /// The part of `used` that the accounts below it do not use.
    own: u32,
    /// The sum of their limits.
    pub(crate) promised: u32,
    /// The peer that split it off; 0 for an account that exists from the start.
    maker: u8,
    flags: u8,
    padding: [u8; 2],
}

record!(Account, Account);

chain!(
    /// The accounts below one.
    Children, Account, siblings
);

impl Account {
    /// Returns an account that has no ledger and no place in the tree yet.
    pub(crate) fn new(
        parent: Link<Account>,
        limit: u32,
        maker: Option<PeerId>,
        flags: AccountFlags,
    ) -> Self {
        Self {
            stamp: Stamp::UNSET,
            parent,
            ledger: Link::NONE,
            siblings: Links::NONE,
            children: Link::NONE,
            limit,
            charged: [0; KINDS],
            own: 0,
            promised: 0,
            maker: maker.map_or(0, PeerId::get),
            flags: flags.bits(),
            padding: [0; 2],
        }
    }

    /// Returns the pool's own account, which pays for what exists before any other account.
    pub(crate) fn of_pool(limit: u32, records: u32, slots: u32) -> Self {
        Self {
            charged: [0, 0, slots, records, 0],
            own: plus(records, slots),
            ..Self::new(Link::NONE, limit, None, AccountFlags::EXTRA)
        }
    }

    /// Returns the pages charged to it and to accounts below it, without extra frames.
    pub(crate) fn used(&self) -> u32 {
        let [frames, others @ .., _] = self.charged;
        others.into_iter().fold(frames, plus)
    }

    /// Returns what it uses itself, without the accounts below.
    pub(crate) const fn own(&self) -> u32 {
        self.own
    }

    /// Returns what it uses itself and has promised.
    pub(crate) fn committed(&self) -> u32 {
        plus(self.own, self.promised)
    }

    /// Returns how many more pages it may use.
    pub(crate) fn room(&self) -> u32 {
        minus(self.limit, self.committed())
    }

    /// Returns the unused memory; only for the pool's account.
    pub(crate) fn free(&self) -> u32 {
        minus(self.limit, plus(self.used(), self.charged(Charge::Extra)))
    }

    /// Returns what the accounts below it use.
    pub(crate) fn below(&self) -> u32 {
        minus(self.used(), self.own)
    }

    /// Returns the pages that are charged as one kind.
    pub(crate) fn charged(&self, kind: Charge) -> u32 {
        self.charged.get(kind.place()).copied().unwrap_or(0)
    }

    pub(crate) const fn has(&self, flag: AccountFlags) -> bool {
        AccountFlags::from_bits_truncate(self.flags).contains(flag)
    }

    pub(crate) fn set(&mut self, flag: AccountFlags, value: bool) {
        let mut flags = AccountFlags::from_bits_truncate(self.flags);
        flags.set(flag, value);
        self.flags = flags.bits();
    }

    /// Returns whether a peer split it off.
    pub(crate) const fn is_made_by(&self, peer: PeerId) -> bool {
        self.maker == peer.get()
    }

    /// Returns its flags as bits.
    pub(crate) const fn flag_bits(&self) -> u8 {
        self.flags
    }

    /// Returns the peer that split it off.
    pub(crate) fn maker(&self) -> Option<PeerId> {
        PeerId::new(self.maker.into())
    }

    /// Counts pages up or down; `is_below` if the charge is to an account below this one.
    #[inline(always)]
    pub(crate) fn count(&mut self, kind: Charge, is_below: bool, change: Change) {
        if let Some((_, [charged, ..])) = self.charged.split_at_mut_checked(kind.place()) {
            change.apply(charged);
        }
        if !is_below && kind != Charge::Extra {
            change.apply(&mut self.own);
        }
    }

    /// Transfers all charges and promises of a child to its parent. The child's limit is no longer
    /// promised, and the child stands for its parent from now on.
    pub(crate) fn inherit(&mut self, child: &mut Self) {
        self.own = plus(self.own, child.own);
        self.promised = plus(minus(self.promised, child.limit), child.promised);
        *child = Self { limit: 0, charged: [0; KINDS], own: 0, promised: 0, ..*child };
        child.set(AccountFlags::REMOVED, true);
    }

    pub(crate) fn info(&self, free_is_known: bool) -> AccountInfo {
        let bytes = |pages: u32| ByteCount::from_pages(pages.into());
        let [frames, tables, slots, records, extra] = self.charged;
        AccountInfo {
            limit: bytes(self.limit),
            used: bytes(self.used()),
            frames: bytes(frames),
            tables: bytes(tables),
            slots: bytes(slots),
            records: bytes(records),
            extra: bytes(extra),
            promised: bytes(self.promised),
            free: bytes(if free_is_known { self.free() } else { 0 }),
        }
    }
}

/// How a counter changes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// So many more.
    Up(u32),
    /// So many less.
    Down(u32),
}

impl Change {
    #[inline(always)]
    fn apply(self, counter: &mut u32) {
        *counter = match self {
            Self::Up(pages) => plus(*counter, pages),
            Self::Down(pages) => minus(*counter, pages),
        };
    }
}
