// SPDX-License-Identifier: BSD-2-Clause
//! Steps with containers, leases and accounts.

use core::fmt::Write;

use pmserver_api::{
    AccountHandle, AllocateFlags, ContainerHandle, CopyFlags, DeallocateFlags, LeaseHandle,
    LimitFlags, LockMode, MapFlags, PairList,
};
use proto::limits::CALL_FRAMES_MAX;
use proto::{
    AddressSpace, Console, FrameCount, FrameNumber, LineWriter, Micros, Transport, VirtAddr, Waiter,
};

use crate::step::{Twin, in_pieces};
use crate::{SECOND_WINDOW, Stopped, TEXT, WINDOW};

const TTL: Micros = Micros::new(100_000);

fn number(number: u64) -> FrameNumber {
    FrameNumber::new(number)
}

/// Returns a count that a call can name.
fn count(count: u64) -> Result<FrameCount, Stopped> {
    FrameCount::new(count).ok_or(Stopped)
}

pub(crate) fn memory<P: Transport, F: Transport, W: Waiter, A: AddressSpace, C: Console>(
    twin: &mut Twin<'_, P, F, W, A, C>,
    container: ContainerHandle,
) -> Result<(), Stopped> {
    let (one, two, four) = (FrameCount::ONE, count(2)?, count(4)?);
    let none = AllocateFlags::empty();
    let result = twin.pm.allocate(container, number(0), count(16)?, none);
    twin.step("allocate", &result)?;
    let result = twin.pm.allocate(container, number(15), two, none);
    twin.step("allocate again", &result)?;
    let flags = MapFlags::WRITE | MapFlags::FORCE_WRITE;
    let result = twin.pm.map(container, number(0), four, WINDOW, flags);
    twin.step("map", &result.map(|mapped| mapped.count))?;
    twin.space.copy_out(TEXT, WINDOW);
    let (from, to) = ((container, number(0)), (container, number(100)));
    let result = twin.pm.copy(from, to, four, CopyFlags::NEW);
    twin.step("copy", &result)?;
    let mapped = twin.pm.map(container, number(100), four, SECOND_WINDOW, MapFlags::WRITE);
    twin.step("map the copy", &mapped.map(|mapped| mapped.count))?;
    twin.print(format_args!("rights: {}", mapped?.rights().bits()))?;
    twin.look("the copy", SECOND_WINDOW, TEXT)?;
    twin.space.copy_out(b"W", SECOND_WINDOW);
    twin.look("the original", WINDOW, TEXT)?;
    let status = twin.pm.status(container, number(98), count(3)?);
    twin.step("status", &status.as_ref().map(|_| 0))?;
    let status = status?;
    for (state, end) in status.frames.iter().zip([" ", " ", "\n"]) {
        write!(LineWriter(twin.console), "{}{end}", state.bits())?;
    }
    let lease = twin.pm.lock(container, number(0), four, LockMode::Exclusive, TTL);
    twin.step("lock", &lease.map(|_| 0))?;
    end(twin, "unlock", lease?.lease)?;
    end(twin, "unlock again", lease?.lease)?;
    let result = twin.pm.pin(container, number(0), one, LockMode::Read, TTL);
    twin.step("pin", &result.map(|_| 0))?;
    let pairs = [(number(0), number(7)), (number(1), number(8))];
    let pairs = PairList::new(&pairs).ok_or(Stopped)?;
    let result = twin.pm.copy_list(container, container, pairs, CopyFlags::empty());
    twin.step("copy a list", &result)?;
    let pm = &mut twin.pm;
    let result = in_pieces(300, CALL_FRAMES_MAX, |passed, piece| {
        let vaddr = VirtAddr::new(WINDOW.get().saturating_add(passed.saturating_mul(4096)));
        pm.unmap(vaddr.unwrap_or(VirtAddr::ZERO), FrameCount::new(piece).unwrap_or(FrameCount::ONE))
    });
    twin.step("unmap", &result)?;
    let result = twin.pm.unmap(SECOND_WINDOW, four);
    twin.step("unmap the copy", &result)?;
    many(twin, container)?;
    let result = twin.pm.renew(ContainerHandle::from_raw(12345), number(0), one);
    twin.step("nobody's", &result)?;
    Ok(())
}

fn end<P: Transport, F: Transport, W: Waiter, A: AddressSpace, C: Console>(
    twin: &mut Twin<'_, P, F, W, A, C>,
    name: &str,
    lease: LeaseHandle,
) -> Result<(), Stopped> {
    let result = twin.pm.unlock(lease);
    Ok(twin.step(name, &result.map(|()| 0))?)
}

/// More frames than one call names.
fn many<P: Transport, F: Transport, W: Waiter, A: AddressSpace, C: Console>(
    twin: &mut Twin<'_, P, F, W, A, C>,
    container: ContainerHandle,
) -> Result<(), Stopped> {
    let pm = &mut twin.pm;
    let piece_of = |piece| FrameCount::new(piece).unwrap_or(FrameCount::ONE);
    let result = in_pieces(1000, CALL_FRAMES_MAX, |passed, piece| {
        let start = number(passed.saturating_add(1024));
        pm.allocate(container, start, piece_of(piece), AllocateFlags::empty())
    });
    twin.step("allocate many", &result)?;
    let pm = &mut twin.pm;
    let result = in_pieces(2000, CALL_FRAMES_MAX, |passed, piece| {
        let start = number(passed.saturating_add(1000));
        pm.deallocate(container, start, piece_of(piece), DeallocateFlags::empty())
    });
    twin.step("free many", &result)?;
    Ok(())
}

pub(crate) fn accounts<P: Transport, F: Transport, W: Waiter, A: AddressSpace, C: Console>(
    twin: &mut Twin<'_, P, F, W, A, C>,
) -> Result<(), Stopped> {
    let account = twin.pm.account_split(AccountHandle::OWN, 20, LimitFlags::empty());
    twin.step("account_split", &account.map(|_| 0))?;
    let account = account?;
    let container = twin.pm.container_create(account);
    twin.step("container_create", &container.map(|_| 0))?;
    let partial = AllocateFlags::PARTIAL;
    let result = twin.pm.allocate(container?, number(0), count(32)?, partial);
    twin.step("allocate too many", &result)?;
    let info = twin.pm.account_info(account);
    twin.step("account_info", &info.map(|_| 0))?;
    let info = info?;
    let pages = |bytes: proto::ByteCount| bytes.get() >> 12;
    twin.print(format_args!("limit {}, frames {}", pages(info.limit), pages(info.frames)))?;
    let result = twin.pm.account_destroy(account);
    twin.step("account_destroy", &result.map(|()| 0))?;
    let result = twin.pm.account_info(account);
    twin.step("it is gone", &result.map(|_| 0))?;
    Ok(())
}
