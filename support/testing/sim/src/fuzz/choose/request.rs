// SPDX-License-Identifier: BSD-2-Clause
//! The requests of each kind.

use pmserver_api::{
    AccountRights, Book, ContainerHandle, CopyFlags, DeallocateFlags, Disturbance, FaultHandle,
    FrameList, Frames, LeaseHandle, LimitFlags, MapFlags, Marks, PairList, Request, ShareHandle,
};
use proto::limits::LARGE_FRAMES;
use proto::{FrameCount, FrameNumber, VirtAddr};

use super::Chooser;
use super::draw::LAST_PAGE;
use crate::fuzz::operation::Kind;

impl Chooser<'_> {
    pub(super) fn request(&mut self, kind: Kind) -> Request {
        match kind {
            Kind::Create => Request::ContainerCreate { account: self.account() },
            Kind::Destroy => Request::ContainerDestroy { container: self.doomed() },
            Kind::Allocate if self.is_large() && !self.dice.once_in(3) => {
                let container = self.strong();
                let number = LARGE_FRAMES * self.dice.below(3);
                let (start, count) = (FrameNumber::new(number), self.whole());
                let frames = Frames { container, start, count };
                Request::Allocate { frames, flags: self.allocate_flags() }
            }
            Kind::Allocate => {
                Request::Allocate { frames: self.new_frames(), flags: self.allocate_flags() }
            }
            Kind::Anywhere => Request::AllocateAnywhere {
                container: self.strong(),
                count: self.count(),
                flags: self.allocate_flags(),
            },
            Kind::Contiguous => Request::AllocateContiguous {
                frames: self.new_frames(),
                align_bits: 12 + self.dice.below(4) as u8,
                limit_bits: if self.dice.once_in(8) { 13 } else { 64 },
            },
            Kind::Deallocate => {
                let flags = DeallocateFlags::from_bits_truncate(self.draw_bits(1, 0));
                Request::Deallocate { frames: self.strong_frames(), flags }
            }
            Kind::Renew => Request::Renew { frames: self.strong_frames() },
            Kind::Mark => {
                let marks = Marks::from_bits_truncate(self.dice.below(2) as u16);
                Request::Mark { frames: self.strong_frames(), marks }
            }
            Kind::Status => Request::Status { frames: self.strong_frames() },
            Kind::Share => self.share(),
            Kind::Unshare => Request::Unshare {
                share: self.handle(|handles| &handles.shares, ShareHandle::from_raw),
            },
            Kind::Lock => {
                Request::Lock { frames: self.usable_frames(), mode: self.mode(), ttl: self.ttl() }
            }
            Kind::Pin => {
                Request::Pin { frames: self.usable_frames(), mode: self.mode(), ttl: self.ttl() }
            }
            Kind::Arm => Request::Arm { share: self.armable() },
            Kind::Disarm => Request::Disarm { share: self.armable() },
            Kind::Unlock => Request::Unlock { lease: self.lease() },
            Kind::BusAddress => {
                let lease = self.lease();
                let inside = self.model.leased(self.peer, lease).filter(|_| !self.dice.once_in(6));
                let number = inside.map_or_else(|| self.number(), FrameNumber::new);
                Request::BusAddress { lease, number }
            }
            Kind::Copy
            | Kind::CopyList
            | Kind::CreateWith
            | Kind::CreateFrom
            | Kind::CreateGather => self.copying(kind),
            Kind::Map
            | Kind::Take
            | Kind::Unmap
            | Kind::Remap
            | Kind::Attach
            | Kind::Detach
            | Kind::Grant
            | Kind::Ungrant
            | Kind::EnsureTables => self.mapping(kind),
            Kind::Split
            | Kind::DestroyAccount
            | Kind::RemoveAccount
            | Kind::SetLimits
            | Kind::Lend
            | Kind::Recall
            | Kind::VspaceAccount => self.accounting(kind),
            _ => self.happening(kind),
        }
    }

    fn armable(&mut self) -> ShareHandle {
        if self.own.armable.is_empty() || self.dice.once_in(20) {
            return self.handle(|handles| &handles.shares, ShareHandle::from_raw);
        }
        self.handle(|handles| &handles.armable, ShareHandle::from_raw)
    }

    fn lease(&mut self) -> LeaseHandle {
        self.handle(|handles| &handles.leases, LeaseHandle::from_raw)
    }

    fn share(&mut self) -> Request {
        let container = self.strong();
        let (start, count) = match self.dice.below(8) {
            0 => (self.number(), u64::MAX),
            1 | 2 => (FrameNumber::new(0), u64::MAX),
            3 | 4 => (FrameNumber::new(0), 1 << 20),
            _ => (self.number(), 1 + self.dice.below(self.numbers())),
        };
        Request::Share { container, start, count, terms: self.terms() }
    }

    /// Returns what to copy from, to, and how.
    fn ends(&mut self) -> (ContainerHandle, ContainerHandle, CopyFlags) {
        let flags = self.copy_flags();
        let is_real = flags.intersects(CopyFlags::SHARED | CopyFlags::MOVE);
        let needs_strong = |to: bool| is_real || to && flags.contains(CopyFlags::NEW);
        let end = |to: bool, chooser: &mut Self| {
            let is_strong = needs_strong(to) && !chooser.dice.once_in(8);
            if is_strong { chooser.filled() } else { chooser.usable() }
        };
        (end(false, self), end(true, self), flags)
    }

    fn destination(&mut self, container: ContainerHandle, flags: CopyFlags) -> FrameNumber {
        let is_new = flags.contains(CopyFlags::NEW);
        if is_new { self.number() } else { self.number_in(container) }
    }

    fn copying(&mut self, kind: Kind) -> Request {
        match kind {
            Kind::Copy if self.is_large() && self.dice.once_in(3) => {
                let (source, destination) = (self.usable(), self.usable());
                let source_start = self.range_in(source);
                let destination_start = self.range_in(destination);
                let (count, flags) = (self.whole(), CopyFlags::empty());
                Request::Copy { source, source_start, destination, destination_start, count, flags }
            }
            Kind::Copy => {
                let (source, destination, flags) = self.ends();
                let source_start = self.number_in(source);
                let destination_start = self.destination(destination, flags);
                let mut count = self.count_in(source, source_start);
                if !flags.contains(CopyFlags::NEW) {
                    count = count.min(self.count_in(destination, destination_start));
                }
                let source_start = self.aligned(source_start, count);
                let destination_start = self.aligned(destination_start, count);
                Request::Copy { source, source_start, destination, destination_start, count, flags }
            }
            Kind::CopyList => {
                let (source, destination, flags) = self.ends();
                let count = 1 + self.dice.below(PairList::MOST as u64);
                let pairs: Vec<_> = (0..count)
                    .map(|_| (self.number_in(source), self.destination(destination, flags)))
                    .collect();
                let pairs = PairList::new(&pairs).expect("it fits");
                Request::CopyList { source, destination, pairs, flags }
            }
            Kind::CreateWith => Request::CreateWith {
                account: self.account(),
                count: self.count(),
                terms: self.terms(),
            },
            Kind::CreateFrom => Request::CreateFrom {
                account: self.account(),
                source: self.usable_frames(),
                terms: self.terms(),
            },
            _ => {
                let (count, source) = (1 + self.dice.below(FrameList::MOST as u64), self.usable());
                let numbers: Vec<_> = (0..count).map(|_| self.number_in(source)).collect();
                Request::CreateGather {
                    account: self.account(),
                    source,
                    frames: FrameList::new(&numbers).expect("it fits"),
                    terms: self.terms(),
                }
            }
        }
    }

    fn mapping(&mut self, kind: Kind) -> Request {
        let (vaddr, count) = (self.page(), self.count());
        let least = if vaddr.get() == LAST_PAGE { 2 } else { 1 };
        let count = FrameCount::new(count.get().max(least)).expect("a call has so many");
        match kind {
            Kind::Map if self.is_large() && !self.dice.once_in(3) => {
                let frames = if self.dice.once_in(3) {
                    let container = self.usable();
                    let start = self.range_in(container);
                    Frames { container, start, count: self.whole() }
                } else if let Some(blank) = self.blank() {
                    blank
                } else {
                    return self.request(Kind::Allocate);
                };
                let vaddr = if self.dice.once_in(6) { vaddr } else { self.place() };
                let forced = MapFlags::WRITE | MapFlags::FORCE_WRITE;
                let flags = if self.dice.once_in(4) { MapFlags::WRITE } else { forced };
                Request::Map { frames, vaddr, flags }
            }
            Kind::Map => {
                let (frames, flags) = (self.usable_frames(), self.map_flags());
                let is_last = vaddr.get() == LAST_PAGE;
                let frames = if is_last { Frames { count, ..frames } } else { frames };
                Request::Map { frames, vaddr, flags }
            }
            Kind::Take => {
                let container = self.takeable();
                let start = self.number_in(container);
                let there = self.count_in(container, start);
                let count = if vaddr.get() == LAST_PAGE { count } else { there };
                let frames = Frames { container, start: self.aligned(start, count), count };
                Request::Take { frames, vaddr, flags: self.take_flags() }
            }
            Kind::Unmap => Request::Unmap { vaddr, count },
            Kind::Remap => {
                let pages = self.model.pages(self.peer);
                let page = self.dice.pick(&pages).and_then(VirtAddr::new_page);
                let vaddr = page.filter(|_| !self.dice.once_in(6)).unwrap_or(vaddr);
                Request::Remap { vaddr, count, flags: self.map_flags() }
            }
            Kind::Attach => Request::Attach {
                container: self.usable(),
                start: FrameNumber::new(self.dice.below(8)),
                vaddr,
                count: (count.get() - u64::from(least == 1 && self.dice.once_in(20))) as u32,
                flags: self.map_flags(),
            },
            Kind::Detach => {
                let regions = self.model.regions(self.peer);
                let vaddr = self.dice.pick(&regions).unwrap_or(vaddr);
                Request::Detach { vaddr }
            }
            Kind::Grant => {
                Request::Grant { frames: self.usable_frames(), rights: self.map_flags() }
            }
            Kind::Ungrant => {
                let grants = self.model.grants(self.peer);
                let address = self.dice.pick(&grants).unwrap_or_else(|| self.forged());
                Request::Ungrant { address, count }
            }
            _ => Request::EnsureTables { vaddr, count },
        }
    }

    fn accounting(&mut self, kind: Kind) -> Request {
        let flags = LimitFlags::from_bits_truncate(self.draw_bits(1, 3));
        match kind {
            Kind::Split => {
                Request::AccountSplit { account: self.account(), limit_pages: self.limit(), flags }
            }
            Kind::DestroyAccount => Request::AccountDestroy { account: self.draw_account() },
            Kind::RemoveAccount => Request::AccountRemove { account: self.draw_account() },
            Kind::SetLimits => Request::AccountSetLimits {
                account: self.draw_account(),
                limit_pages: self.limit(),
                flags,
            },
            Kind::Lend => Request::AccountLend {
                account: self.draw_account(),
                peer: self.other(),
                rights: AccountRights::from_bits_truncate(self.dice.any() as u16),
            },
            Kind::Recall => {
                let other = self.other();
                let lent = self.model.handles(other).accounts;
                let lent = self.dice.pick(&lent).unwrap_or_else(|| self.draw_account());
                Request::AccountRecall { lent }
            }
            _ => Request::VspaceAccount { account: self.account() },
        }
    }

    fn happening(&mut self, kind: Kind) -> Request {
        match kind {
            Kind::ExtraRequest => Request::ExtraRequest,
            Kind::DeviceReset => Request::DeviceReset { peer: self.other() },
            Kind::SetHandler => {
                let handler = if self.dice.once_in(8) { None } else { Some(self.other()) };
                let container = self.filled();
                Request::SetHandler {
                    container,
                    start: self.number_in(container),
                    count: self.dice.below(2 * self.scale),
                    handler,
                    cookie: self.dice.below(1 << 32) as u32,
                }
            }
            Kind::NextFault => Request::NextFault,
            Kind::Supply => {
                let container = self.usable();
                Request::Supply {
                    fault: self.handle(|handles| &handles.faults, FaultHandle::from_raw),
                    container,
                    number: self.number_in(container),
                }
            }
            Kind::Refuse => Request::Refuse {
                fault: self.handle(|handles| &handles.faults, FaultHandle::from_raw),
            },
            Kind::Disturb => {
                let what =
                    if self.dice.once_in(2) { Disturbance::Unmap } else { Disturbance::Move };
                Request::Disturb { what, cursor: 0 }
            }
            Kind::Recovery => {
                let at = |address| VirtAddr::new(address).expect("it is in user space");
                Request::RegisterRecovery { entry: at(0x20_1234), stack_top: at(0x30_0000) }
            }
            Kind::Watch => Request::Watch { peer: self.other(), ttl: self.ttl() },
            Kind::Rescue => Request::Rescue,
            Kind::Who => match self.dice.below(4) {
                0 => Request::Version,
                1 => Request::Clock,
                2 => Request::WhoAmI,
                _ => {
                    let book = self.dice.pick(&Book::ALL).expect("there are books");
                    Request::Inspect { book, cursor: 0, part: 0 }
                }
            },
            _ => Request::Reclaim,
        }
    }
}
