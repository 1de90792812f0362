// SPDX-License-Identifier: BSD-2-Clause
//! S35, S36: who pays for page tables.

use pmserver_api::{AccountHandle, MapFlags, PmError, Rights};
use proto::{AddressSpace, FrameCount, Transport, VirtAddr};

use crate::cast::Actor::{Client, Parent, Server};
use crate::error::{Outcome, between, expect, pm, refused, same};
use crate::world::{READ_WRITE, World, at, page, pages, vaddr};

/// The second gigabyte: programs have nothing mapped there, so there are no tables.
const GIGABYTE: VirtAddr = vaddr(0x4000_0000);
/// How many areas are used; each needs a table of its own.
const AREAS: u64 = 512;
const AREA_PAGES: u64 = 512;
/// How many frames are mapped there, four times each.
const FRAMES: u64 = 128;
/// The most tables above them: one for the gigabyte, and those above it if it has none yet.
const UPPER_TABLES_MAX: u64 = 2;
const FORCED: MapFlags = READ_WRITE.union(MapFlags::FORCE_WRITE);
const ONE: FrameCount = FrameCount::ONE;

/// S35: "page-table accounting: VSpace maps 1 page in each of 512 distinct 2 MiB areas: table
/// account charged 512 leaf tables plus upper tables and slots; the *frame* account charged frames
/// only; NoTableQuota stops it cleanly, unmapping returns the charge to baseline."
pub(crate) fn s35<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let container = world.filled_container(Client, FRAMES)?;
    let frames_before = world.account(Client)?;
    let account = world.table_account(Client, AccountHandle::OWN, 600)?;
    let before = world.info(account)?;
    for area in 0..AREAS {
        let vaddr = page(GIGABYTE, area.saturating_mul(AREA_PAGES));
        let number = at(area.checked_rem(FRAMES).unwrap_or(0));
        // FORCE_WRITE gives each frame memory: without it there is no capability, and no slot.
        let mapped = world.calls(Client).map(container, number, ONE, vaddr, FORCED);
        same("pages mapped", pm("mapping in an area", mapped)?.count, 1)?;
    }
    let after = world.info(account)?;
    let tables = pages(after.tables).saturating_sub(pages(before.tables));
    between("tables", tables, AREAS.saturating_add(1), AREAS.saturating_add(UPPER_TABLES_MAX))?;
    between("slots", pages(after.slots), 3, 5)?;
    same("frames on the table account", pages(after.frames), 0)?;
    expect(world.account(Client)? == frames_before, "the frame account pays for a mapping")?;

    let used = u32::try_from(pages(after.used)).unwrap_or(u32::MAX);
    let none = pmserver_api::LimitFlags::empty();
    let set = world.calls(Parent).account_set_limits(account, used, none);
    pm("setting the limit to what is used", set)?;
    let beyond = page(GIGABYTE, AREAS.saturating_mul(AREA_PAGES));
    let other = world.filled_container(Client, 1)?;
    let mapped = world.calls(Client).map(other, at(0), ONE, beyond, MapFlags::READ);
    refused("mapping beyond the limit", mapped, PmError::NoTableQuota)?;
    same("use after that", pages(world.info(account)?.used), used.into())?;

    for area in 0..AREAS {
        let vaddr = page(GIGABYTE, area.saturating_mul(AREA_PAGES));
        world.unmap(Client, vaddr, 1)?;
    }
    same("use without mappings", pages(world.info(account)?.used), pages(before.used))
}

/// S36: "weak holder maps client's frames all over its own VSpace: tables on the mapper's account,
/// client pays 0 for them."
pub(crate) fn s36<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    const HERE: u64 = 16;
    let container = world.filled_container(Client, HERE)?;
    let weak = world.share(Client, container, Server, Rights::READ)?.weak;
    let client_before = world.account(Client)?;
    let before = world.account(Server)?;
    for area in 0..HERE {
        let vaddr = page(GIGABYTE, area.saturating_mul(AREA_PAGES));
        let mapped = world.calls(Server).map(weak, at(area), ONE, vaddr, MapFlags::READ);
        same("pages mapped", pm("mapping in an area", mapped)?.count, 1)?;
    }
    let after = world.account(Server)?;
    let tables = pages(after.tables).saturating_sub(pages(before.tables));
    between("tables", tables, HERE.saturating_add(1), HERE.saturating_add(UPPER_TABLES_MAX))?;
    expect(world.account(Client)? == client_before, "the client pays for another's mappings")?;
    for area in 0..HERE {
        let vaddr = page(GIGABYTE, area.saturating_mul(AREA_PAGES));
        world.unmap(Server, vaddr, 1)?;
    }
    expect(world.account(Server)? == before, "the mapper's account is not what it was")
}
