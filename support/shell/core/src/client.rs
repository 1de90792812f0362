// SPDX-License-Identifier: BSD-2-Clause
//! The other client: a puppet, which the shell lends memory to, and which it can stop.

use pmserver_client::{
    AddressSpace, Container, MapFlags, Micros, PAGE_BYTES, PeerId, Pm, Rights, Share, ShareTerms,
    Transport, WeakContainer,
};
use proto::Console;
use proto::limits::CALL_FRAMES_MAX;
use puppet_core::{Client, OrderError, Recovery};

use crate::error::ShellError;
use crate::layout::{CLIENT_PEER, LENT_WINDOW, NOWHERE};

/// What the client fills pages with depends on it; none of the words is 0.
const SEED: u64 = 1;

/// The client, and what is lent to it.
pub(crate) struct Neighbour<'pm, T: Transport> {
    pm: &'pm Pm<T>,
    orders: Client<T>,
    /// Calls that it makes itself.
    calls: Pm<T>,
    lent: Option<Lent<'pm, T>>,
}

struct Lent<'pm, T: Transport> {
    // Fields are dropped in this order.
    share: Share<'pm, T>,
    container: Container<'pm, T>,
    pages: u64,
}

impl<'pm, T: Transport> Neighbour<'pm, T> {
    /// Returns the client behind a channel, of which this takes two.
    pub(crate) fn new(pm: &'pm Pm<T>, [orders, calls]: [T; 2]) -> Self {
        Self { pm, orders: Client::new(orders), calls: Pm::new(calls), lent: None }
    }

    /// Makes pages, lends them to the client, and has it fill them.
    pub(crate) fn lend(
        &mut self,
        pages: u64,
        console: &mut impl Console,
    ) -> Result<(), ShellError> {
        if self.lent.is_some() {
            return Err(ShellError::Usage("something is lent: take it back first"));
        }
        if !(1..=CALL_FRAMES_MAX).contains(&pages) {
            return Err(ShellError::Usage("1 to 256 pages can be lent"));
        }
        let peer = PeerId::new(CLIENT_PEER.into()).ok_or(ShellError::Usage("no such peer"))?;
        let container = self.pm.account().create_container()?;
        container.allocate(0..pages)?;
        let rights = Rights::READ | Rights::WRITE;
        let terms = ShareTerms { peer, rights, lease_max: Micros::new(0), once: false };
        let share = container.share(0..pages, terms)?;
        let weak = WeakContainer::from_handle(&self.calls, share.weak_handle());
        // The client's mapping ends with the share.
        weak.map(0..pages, LENT_WINDOW, MapFlags::READ | MapFlags::WRITE)?.into_pages();
        self.orders.fill(LENT_WINDOW, pages, SEED)?;
        console.print(format_args!("client has filled {pages} pages that it does not pay for\n"));
        self.lent = Some(Lent { share, container, pages });
        Ok(())
    }

    /// Takes back what is lent, and looks at it.
    pub(crate) fn take_back(
        &mut self,
        space: &impl AddressSpace,
        console: &mut impl Console,
    ) -> Result<(), ShellError> {
        let lent = self.lent.take().ok_or(ShellError::Usage("nothing is lent"))?;
        let Lent { share, container, pages } = lent;
        share.unshare()?;
        let mapping = container.map(0..pages, LENT_WINDOW, MapFlags::READ)?;
        let mut filled: u64 = 0;
        for page in 0..pages {
            let mut word = [0; 8];
            mapping.copy_in(space, page.saturating_mul(PAGE_BYTES), &mut word)?;
            filled = filled.saturating_add(u64::from(word != [0; 8]));
        }
        mapping.unmap()?;
        container.destroy()?;
        console.print(format_args!("{pages} pages are back, {filled} of them filled\n"));
        Ok(())
    }

    /// Has the client access what is mapped nowhere, until pmserver stops it; then has all freed
    /// that it had.
    pub(crate) fn kill(&mut self) -> Result<(), ShellError> {
        self.orders.recover_by(Recovery::ServeOnce)?;
        loop {
            match self.orders.load(NOWHERE) {
                Err(OrderError::Faulted) => {}
                Err(OrderError::Stopped) => break,
                Ok(_) => return Err(ShellError::Usage("client has memory there")),
                Err(error) => return Err(error.into()),
            }
        }
        while self.pm.reclaim()? > 0 {}
        Ok(())
    }
}
