// SPDX-License-Identifier: BSD-2-Clause
//! A handler that supplies frames when they are touched: the table of all squares, none of which is
//! there before.
#![cfg_attr(target_os = "none", no_std, no_main)]

use pmserver_client::{Error, MapFlags, Message, PendingFault, Pm, Transport, VirtAddr};
use proto::{AddressSpace, Domain, PAGE_BYTES, ProtocolError, Service};

const PMSERVER: u8 = 0;
const WINDOW: VirtAddr = VirtAddr::new_page(0x1000_0000).unwrap();
/// A square has eight bytes.
const SQUARES_PER_PAGE: u64 = PAGE_BYTES / 8;

#[cfg(target_os = "none")]
pd::server!(squares);

pub(crate) fn squares<D: Domain>(domain: D) -> impl Service {
    Squares { pm: Pm::new(domain.channel(PMSERVER)), memory: domain.memory() }
}

struct Squares<T: Transport, M: AddressSpace> {
    pm: Pm<T>,
    memory: M,
}

impl<T: Transport, M: AddressSpace> Service for Squares<T, M> {
    /// Nobody calls it: pmserver notifies it.
    fn protected(&mut self, _: u8, _: &Message) -> Message {
        ProtocolError::UnknownOperation.reply()
    }

    fn notified(&mut self) {
        while let Ok(Some(fault)) = self.pm.next_fault() {
            // A fault that is dropped is refused: who waits is stopped, and does not wait for ever.
            let _ = supply(&self.pm, &mut self.memory, fault);
        }
    }
}

/// Makes a page of the table in memory of the handler's own, and gives it to who waits for it: no
/// byte is copied for that.
fn supply<T: Transport>(
    pm: &Pm<T>,
    memory: &mut impl AddressSpace,
    fault: PendingFault<'_, T>,
) -> Result<(), Error> {
    let page = pm.account().create_container()?;
    page.allocate(0..1)?;
    let window = page.map(0..1, WINDOW, MapFlags::WRITE)?;
    let first = fault.frame().saturating_mul(SQUARES_PER_PAGE);
    for index in 0..SQUARES_PER_PAGE {
        let number = first.saturating_add(index);
        let square = number.saturating_mul(number).to_le_bytes();
        window.copy_out(memory, &square, index.saturating_mul(8))?;
    }
    fault.supply(&page, 0)?;
    Ok(())
}
