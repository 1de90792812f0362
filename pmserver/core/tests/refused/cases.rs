// SPDX-License-Identifier: BSD-2-Clause
//! Ways to call each operation.

use pmserver_api::{
    AccountHandle, AccountRights, AllocateFlags, CallError, ContainerHandle, CopyFlags,
    DeallocateFlags, Disturbance, Failure, FaultHandle, FrameList, Frames, LeaseHandle, LimitFlags,
    LockMode, MapFlags, Operation, PairList, PmError, Rights, ShareHandle, ShareTerms,
};
use proto::{FrameCount, Micros, VirtAddr};

use super::{APART, COUNT, FORCED, LONG, OWN, Scene, new_page};
use crate::world::{PAGE, Pm, at, frames, page, peer};

/// What a refused call has done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    /// The first frames, as many as `done` says, and nothing to the others.
    Counted,
    /// Nothing.
    Nothing,
    /// Perhaps a part.
    Part,
}

use Done::{Counted, Nothing, Part};

type Answer = Result<u64, CallError>;

/// A way to call an operation.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) done: Done,
    /// Makes what the call needs.
    pub(crate) prepare: fn(&Scene),
    /// Calls; it is told how many frames were done before.
    pub(crate) call: fn(&Scene, u64) -> Answer,
}

const fn case(name: &'static str, done: Done, call: fn(&Scene, u64) -> Answer) -> Case {
    Case { name, done, prepare: |_| (), call }
}

const fn prepared(
    name: &'static str,
    done: Done,
    prepare: fn(&Scene),
    call: fn(&Scene, u64) -> Answer,
) -> Case {
    Case { name, done, prepare, call }
}

const READ: MapFlags = MapFlags::READ;

fn terms() -> ShareTerms {
    ShareTerms { peer: peer(2), rights: Rights::all(), lease_max: LONG, once: false }
}

fn rest(done: u64) -> FrameCount {
    frames(COUNT - done)
}

/// The reply of a call that counts nothing, or nothing that its next call goes on from.
fn whole<T>(result: Result<T, CallError>) -> Answer {
    result.map(|_| 0).map_err(|error| match error {
        CallError::Refused(failure) => CallError::Refused(Failure { done: 0, ..failure }),
        other => other,
    })
}

/// Returns the ways to call an operation. An operation without an arm does not compile.
pub(crate) fn cases(operation: Operation) -> Vec<Case> {
    match operation {
        // They do not invoke the kernel.
        Operation::Version
        | Operation::WhoAmI
        | Operation::Clock
        | Operation::AccountInfo
        | Operation::Inspect
        | Operation::RegisterRecovery
        | Operation::Watch
        | Operation::NextFault
        | Operation::Refuse
        | Operation::ExtraRequest
        | Operation::AccountRecall => vec![],
        Operation::ContainerCreate => vec![case("container_create", Nothing, |scene, _| {
            scene.made(|pm| pm.container_create(OWN))
        })],
        Operation::ContainerDestroy => vec![case("container_destroy", Part, |scene, _| {
            whole(scene.owner().container_destroy(scene.a))
        })],
        Operation::Allocate => allocate(),
        Operation::Deallocate => vec![case("deallocate", Counted, |scene, done| {
            let none = DeallocateFlags::empty();
            scene.owner().deallocate(scene.a, at(done), rest(done), none)
        })],
        Operation::Renew => vec![case("renew", Counted, |scene, done| {
            scene.owner().renew(scene.a, at(done), rest(done))
        })],
        Operation::AllocateAnywhere => anywhere(),
        Operation::AllocateContiguous => vec![case("allocate_contiguous", Nothing, |scene, _| {
            whole(scene.owner().allocate_contiguous(scene.c, at(8), frames(4), 12, 64))
        })],
        Operation::Share => vec![case("share", Nothing, |scene, _| {
            whole(scene.owner().share(scene.b, at(0), 4, peer(3), Rights::READ, LONG))
        })],
        Operation::Unshare => vec![case("unshare", Part, |scene, _| {
            whole(scene.owner().unshare(scene.share_b.share))
        })],
        Operation::Lock | Operation::Unlock => lock(operation),
        Operation::Arm | Operation::Disarm | Operation::Take => take(operation),
        Operation::Map => map(),
        Operation::Remap => remap(),
        Operation::Unmap => {
            vec![case("unmap", Counted, |scene, done| scene.owner().unmap(page(done), rest(done)))]
        }
        Operation::Status => vec![case("status", Nothing, |scene, _| {
            whole(scene.owner().status(scene.a, at(0), frames(4)))
        })],
        Operation::Rescue => rescue(),
        Operation::Reclaim => reclaim(),
        Operation::Copy => copy(),
        Operation::CopyList => copy_list(),
        Operation::CreateWith => vec![case("create_with", Nothing, |scene, _| {
            scene.made(|pm| pm.create_with(OWN, frames(4), terms()).map(|made| made.container))
        })],
        Operation::CreateFrom => vec![case("create_from", Nothing, |scene, _| {
            let source = Frames { container: scene.a, start: at(0), count: frames(4) };
            scene.made(|pm| pm.create_from(OWN, source, terms()).map(|made| made.container))
        })],
        Operation::CreateGather => vec![case("create_gather", Nothing, |scene, _| {
            let list = FrameList::new(&[at(3), at(1), at(1)]).unwrap();
            scene
                .made(|pm| pm.create_gather(OWN, scene.a, list, terms()).map(|made| made.container))
        })],
        Operation::Attach => vec![case("attach", Nothing, |scene, _| {
            whole(scene.owner().attach(scene.b, at(0), 4, new_page(), FORCED))
        })],
        Operation::Detach => vec![prepared(
            "detach",
            Part,
            |scene| {
                let _ = scene.world.load(1, page(3 * APART));
                let _ = scene.world.load(1, page(3 * APART + 1));
            },
            |scene, _| whole(scene.owner().detach(page(3 * APART))),
        )],
        Operation::Grant => grant(),
        Operation::Ungrant => ungrant(),
        Operation::EnsureTables => tables(),
        Operation::AccountSplit
        | Operation::AccountDestroy
        | Operation::AccountRemove
        | Operation::AccountSetLimits
        | Operation::AccountLend
        | Operation::VspaceAccount => accounts(operation),
        Operation::Mark => vec![],
        Operation::Pin | Operation::BusAddress | Operation::DeviceReset => pin(operation),
        Operation::SetHandler => set_handler(),
        Operation::Supply => supply(),
        Operation::Disturb => vec![
            case("disturb unmap", Part, |scene, _| disturb(scene, Disturbance::Unmap)),
            case("disturb move", Part, |scene, _| disturb(scene, Disturbance::Move)),
        ],
    }
}

fn allocate() -> Vec<Case> {
    const PLAIN: AllocateFlags = AllocateFlags::empty();
    const DMA: AllocateFlags = AllocateFlags::DMA;
    const SQUASH: AllocateFlags = AllocateFlags::SQUASH;
    const BOTH: AllocateFlags = DMA.union(SQUASH);
    const PART: AllocateFlags = DMA.union(AllocateFlags::PARTIAL);
    fn beyond(scene: &Scene, flags: AllocateFlags, done: u64) -> Answer {
        scene.owner().allocate(scene.a, at(4 + done), rest(done), flags)
    }
    /// Half of the frames are there.
    fn over(scene: &Scene, flags: AllocateFlags, done: u64) -> Answer {
        scene.owner().allocate(scene.a, at(done), frames(8 - done), flags)
    }
    vec![
        case("allocate", Nothing, |scene, done| beyond(scene, PLAIN, done)),
        case("allocate DMA", Nothing, |scene, done| beyond(scene, DMA, done)),
        case("allocate DMA PARTIAL", Part, |scene, done| beyond(scene, PART, done)),
        case("allocate SQUASH", Counted, |scene, done| over(scene, SQUASH, done)),
        case("allocate SQUASH DMA", Counted, |scene, done| over(scene, BOTH, done)),
    ]
}

fn anywhere() -> Vec<Case> {
    fn anywhere(scene: &Scene, flags: AllocateFlags) -> Answer {
        scene.owner().allocate_anywhere(scene.a, frames(4), flags).map(|placed| placed.count)
    }
    vec![
        case("anywhere", Nothing, |scene, _| anywhere(scene, AllocateFlags::empty())),
        case("anywhere DMA", Nothing, |scene, _| anywhere(scene, AllocateFlags::DMA)),
    ]
}

fn lock(operation: Operation) -> Vec<Case> {
    fn lock(pm: &mut Pm, scene: &Scene, mode: LockMode) -> Result<u64, CallError> {
        let weak = scene.share_a.weak;
        pm.lock(weak, at(0), frames(4), mode, LONG).map(|lease| lease.lease.raw())
    }
    fn unlock(scene: &Scene) -> Answer {
        whole(scene.borrower().unlock(LeaseHandle::from_raw(scene.kept.get())))
    }
    if operation == Operation::Lock {
        return vec![
            case("lock for reading", Nothing, |scene, _| {
                whole(lock(&mut scene.borrower(), scene, LockMode::Read))
            }),
            case("lock alone", Nothing, |scene, _| {
                whole(lock(&mut scene.borrower(), scene, LockMode::Exclusive))
            }),
        ];
    }
    vec![
        prepared(
            "unlock",
            Nothing,
            |scene| {
                let lease = lock(&mut scene.borrower(), scene, LockMode::Read);
                scene.kept.set(lease.unwrap_or(0));
            },
            |scene, _| unlock(scene),
        ),
        prepared("unlock a pin", Part, pin_b, |scene, _| unlock(scene)),
    ]
}

/// Arms a share of `b` and keeps its number.
fn armed_b(scene: &Scene) {
    let once = ShareTerms { once: true, ..terms() };
    let shared = scene.owner().share_on(scene.b, at(0), 4, once).unwrap();
    scene.owner().arm(shared.share).unwrap();
    scene.kept.set(shared.share.raw());
}

/// Has them taken and not given back in time.
fn taken_b(scene: &Scene) {
    armed_b(scene);
    let _ = take_b(scene, MapFlags::WRITE);
    scene.world.advance(LONG.get());
}

fn take_b(scene: &Scene, flags: MapFlags) -> Answer {
    // One record, two handles.
    let weak = ContainerHandle::from_raw(scene.kept.get());
    let taken = scene.borrower().take(weak, at(0), frames(4), new_page(), flags);
    taken.map(|taken| taken.lease.raw())
}

fn take(operation: Operation) -> Vec<Case> {
    const WRITE: MapFlags = MapFlags::WRITE;
    fn share(scene: &Scene) -> ShareHandle {
        ShareHandle::from_raw(scene.kept.get())
    }
    match operation {
        Operation::Arm => {
            let arm = |scene: &Scene, _| whole(scene.owner().arm(share(scene)));
            vec![prepared("arm what was taken", Part, taken_b, arm)]
        }
        Operation::Disarm => {
            let disarm = |scene: &Scene, _| whole(scene.owner().disarm(share(scene)));
            vec![prepared("disarm what was taken", Part, taken_b, disarm)]
        }
        _ => vec![
            prepared("take", Nothing, armed_b, |scene, _| whole(take_b(scene, READ))),
            prepared("take for writing", Nothing, armed_b, |scene, _| whole(take_b(scene, WRITE))),
            prepared(
                "give back",
                Part,
                |scene| {
                    armed_b(scene);
                    scene.kept.set(take_b(scene, WRITE).unwrap_or(0));
                },
                |scene, _| whole(scene.borrower().unlock(LeaseHandle::from_raw(scene.kept.get()))),
            ),
        ],
    }
}

/// Pins frames of `b`.
fn pin_b(scene: &Scene) {
    let weak = scene.share_b.weak;
    let pinned = scene.borrower().pin(weak, at(0), frames(4), LockMode::Exclusive, LONG);
    scene.kept.set(pinned.map_or(0, |pinned| pinned.lease.lease.raw()));
}

fn map() -> Vec<Case> {
    fn map(pm: &mut Pm, scene: &Scene, done: u64, flags: MapFlags) -> Answer {
        let vaddr = new_page().checked_add(done * PAGE).unwrap();
        pm.map(scene.c, at(done), rest(done), vaddr, flags).map(|mapped| mapped.count)
    }
    fn map_lent(scene: &Scene, done: u64, flags: MapFlags) -> Answer {
        let vaddr = new_page().checked_add(done * PAGE).unwrap();
        let _ = scene.owner().unmap(page(0), frames(4));
        let mapped = scene.borrower().map(scene.share_a.weak, at(done), rest(done), vaddr, flags);
        mapped.map(|mapped| mapped.count)
    }
    vec![
        case("map", Counted, |scene, done| map(&mut scene.owner(), scene, done, READ)),
        case("map FORCE_WRITE", Counted, |scene, done| {
            map(&mut scene.owner(), scene, done, FORCED)
        }),
        case("map FORCE_READ", Counted, |scene, done| {
            map(&mut scene.owner(), scene, done, MapFlags::FORCE_READ)
        }),
        prepared("map lent", Counted, unmap_a, |scene, done| map_lent(scene, done, READ)),
        prepared("map lent FORCE_WRITE", Counted, unmap_a, |scene, done| {
            map_lent(scene, done, FORCED)
        }),
    ]
}

fn unmap_a(scene: &Scene) {
    let _ = scene.owner().unmap(page(0), frames(4));
}

fn remap() -> Vec<Case> {
    fn remap(scene: &Scene, done: u64, flags: MapFlags) -> Answer {
        scene.owner().remap(page(done), rest(done), flags).map(|mapped| mapped.count)
    }
    fn remap_c(scene: &Scene, done: u64, flags: MapFlags) -> Answer {
        scene.owner().remap(page(2 * APART + done), rest(done), flags).map(|mapped| mapped.count)
    }
    vec![
        case("remap READ", Counted, |scene, done| remap(scene, done, READ)),
        case("remap", Counted, |scene, done| remap(scene, done, MapFlags::WRITE)),
        case("remap FORCE_WRITE", Counted, |scene, done| remap(scene, done, FORCED)),
        case("remap FORCE_READ", Counted, |scene, done| remap(scene, done, MapFlags::FORCE_READ)),
        case("remap copies", Counted, |scene, done| remap_c(scene, done, FORCED)),
    ]
}

fn rescue() -> Vec<Case> {
    vec![prepared(
        "rescue",
        Part,
        |scene| {
            let _ =
                scene.borrower().lock(scene.share_b.weak, at(0), frames(4), LockMode::Read, LONG);
            scene.owner().watch(peer(2), Micros::new(1)).unwrap();
            scene.world.advance(10);
        },
        |scene, _| {
            let report = scene.supervisor().rescue()?;
            // A deadline that has passed asks for another call.
            let now = scene.supervisor().clock()?;
            if report.next_deadline.is_some_and(|deadline| deadline <= now) {
                return Err(CallError::Refused(Failure { error: PmError::Kernel, done: 0, at: 0 }));
            }
            Ok(0)
        },
    )]
}

fn reclaim() -> Vec<Case> {
    fn all(scene: &Scene) -> Answer {
        for _ in 0..30 {
            scene.supervisor().reclaim()?;
        }
        Ok(0)
    }
    vec![
        prepared(
            "reclaim a container",
            Part,
            |scene| {
                let _ =
                    scene.owner().lock(scene.a, at(0), frames(4), LockMode::Read, Micros::new(9));
                let _ = scene.owner().container_destroy(scene.a);
                scene.world.advance(100);
            },
            |scene, _| all(scene),
        ),
        prepared(
            "reclaim a peer",
            Part,
            |scene| {
                scene.borrower().register_recovery(page(0), page(0)).unwrap();
                scene.stop(2);
            },
            |scene, _| all(scene),
        ),
    ]
}

fn copy() -> Vec<Case> {
    fn copy(scene: &Scene, done: u64, flags: CopyFlags) -> Answer {
        let (from, to) = ((scene.a, at(done)), (scene.b, at(done)));
        scene.owner().copy(from, to, rest(done), flags)
    }
    fn beyond(scene: &Scene, done: u64, flags: CopyFlags) -> Answer {
        let (from, to) = ((scene.a, at(done)), (scene.b, at(4 + done)));
        scene.owner().copy(from, to, rest(done), flags | CopyFlags::NEW)
    }
    fn upwards(scene: &Scene, done: u64, flags: CopyFlags) -> Answer {
        let (from, to) = ((scene.a, at(done)), (scene.a, at(1 + done)));
        scene.owner().copy(from, to, frames(3 - done), flags)
    }
    const NONE: CopyFlags = CopyFlags::empty();
    const ATOMIC: CopyFlags = CopyFlags::ATOMIC;
    const SHARED: CopyFlags = CopyFlags::SHARED;
    const MOVE: CopyFlags = CopyFlags::MOVE;
    vec![
        case("copy", Counted, |scene, done| copy(scene, done, NONE)),
        case("copy ATOMIC", Nothing, |scene, done| copy(scene, done, ATOMIC)),
        case("copy SHARED", Nothing, |scene, done| copy(scene, done, SHARED)),
        case("copy MOVE", Nothing, |scene, done| copy(scene, done, MOVE)),
        case("copy MOVE ATOMIC", Nothing, |scene, done| copy(scene, done, MOVE | ATOMIC)),
        case("copy NEW", Counted, |scene, done| beyond(scene, done, NONE)),
        case("copy NEW ATOMIC", Nothing, |scene, done| beyond(scene, done, ATOMIC)),
        case("copy NEW SHARED", Counted, |scene, done| beyond(scene, done, SHARED)),
        case("copy NEW MOVE", Counted, |scene, done| beyond(scene, done, MOVE)),
        case("copy NEW MOVE ATOMIC", Nothing, |scene, done| beyond(scene, done, MOVE | ATOMIC)),
        case("copy upwards", Counted, |scene, done| upwards(scene, done, NONE)),
        case("copy upwards SHARED", Nothing, |scene, done| upwards(scene, done, SHARED)),
        case("copy upwards MOVE", Nothing, |scene, done| upwards(scene, done, MOVE)),
        case("copy lent", Counted, |scene, done| {
            let (from, to) = ((scene.share_a.weak, at(done)), (scene.share_b.weak, at(done)));
            scene.borrower().copy(from, to, rest(done), NONE)
        }),
    ]
}

fn copy_list() -> Vec<Case> {
    fn list(scene: &Scene, done: u64, flags: CopyFlags) -> Answer {
        let pairs: Vec<_> = (done..4).map(|n| (at(n), at(n))).collect();
        scene.owner().copy_list(scene.a, scene.b, PairList::new(&pairs).unwrap(), flags)
    }
    vec![
        case("copy_list", Counted, |scene, done| list(scene, done, CopyFlags::empty())),
        case("copy_list MOVE", Nothing, |scene, done| list(scene, done, CopyFlags::MOVE)),
        case("copy_list turned", Counted, |scene, done| {
            // What is overwritten is read first.
            let pairs = [(at(0), at(1)), (at(1), at(2)), (at(2), at(0))];
            let pairs = PairList::new(&pairs[usize::try_from(done).unwrap()..]).unwrap();
            scene.owner().copy_list(scene.a, scene.a, pairs, CopyFlags::empty())
        }),
    ]
}

fn grant() -> Vec<Case> {
    fn grant(scene: &Scene, done: u64, rights: MapFlags) -> Answer {
        let granted = scene.owner().grant(scene.b, at(done), rest(done), rights);
        granted.map(|granted| granted.count)
    }
    vec![
        case("grant", Counted, |scene, done| grant(scene, done, READ)),
        case("grant FORCE_WRITE", Counted, |scene, done| grant(scene, done, FORCED)),
        case("grant to the borrower", Counted, |scene, done| {
            let granted = scene.borrower().grant(scene.share_a.weak, at(done), rest(done), FORCED);
            granted.map(|granted| granted.count)
        }),
    ]
}

fn ungrant() -> Vec<Case> {
    vec![prepared(
        "ungrant",
        Part,
        |scene| {
            let granted = scene.owner().grant(scene.b, at(0), frames(2), READ);
            scene.kept.set(granted.map_or(0, |granted| granted.address));
        },
        |scene, done| {
            let _ = done;
            whole(scene.owner().ungrant(scene.kept.get(), frames(4)))
        },
    )]
}

fn tables() -> Vec<Case> {
    vec![case("ensure_tables", Part, |scene, _| {
        let vaddr = VirtAddr::new_page((1 << 40) - 2 * PAGE).unwrap();
        whole(scene.owner().ensure_tables(vaddr, frames(4)))
    })]
}

fn accounts(operation: Operation) -> Vec<Case> {
    const EMPTY: LimitFlags = LimitFlags::empty();
    fn split(scene: &Scene) {
        let account = scene.owner().account_split(OWN, 20, EMPTY).unwrap();
        scene.kept.set(account.raw());
    }
    fn split_and_use(scene: &Scene) {
        split(scene);
        let mut pm = scene.owner();
        let container = pm.container_create(kept(scene)).unwrap();
        pm.allocate(container, at(0), frames(3), AllocateFlags::DMA).unwrap();
        pm.map(container, at(0), frames(3), page(4 * APART), FORCED).unwrap();
        scene.made.borrow_mut().push(container);
    }
    fn split_and_unmap(scene: &Scene) {
        split(scene);
        let mut pm = scene.owner();
        let _ = pm.unmap(page(0), frames(3 * APART));
        let _ = pm.detach(page(3 * APART));
    }
    fn kept(scene: &Scene) -> AccountHandle {
        AccountHandle::from_raw(scene.kept.get())
    }
    match operation {
        Operation::AccountSplit => vec![case("account_split", Nothing, |scene, _| {
            whole(scene.owner().account_split(OWN, 4, EMPTY))
        })],
        Operation::AccountDestroy => vec![
            prepared("account_destroy", Part, split_and_use, |scene, _| {
                whole(scene.owner().account_destroy(kept(scene)))
            }),
            case("account_destroy of a peer", Part, |scene, _| {
                whole(scene.supervisor().account_destroy(AccountHandle::of_peer(peer(1))))
            }),
        ],
        Operation::AccountRemove => {
            vec![prepared("account_remove", Part, split_and_use, |scene, _| {
                whole(scene.owner().account_remove(kept(scene)))
            })]
        }
        Operation::AccountLend => vec![prepared("account_lend", Nothing, split, |scene, _| {
            whole(scene.owner().account_lend(kept(scene), peer(2), AccountRights::ALLOCATE))
        })],
        Operation::AccountSetLimits => vec![case("account_set_limits", Part, |scene, _| {
            let flags = LimitFlags::EXTRA | LimitFlags::EXCESS;
            whole(scene.supervisor().account_set_limits(AccountHandle::of_peer(peer(1)), 20, flags))
        })],
        _ => vec![prepared("vspace_account", Nothing, split_and_unmap, |scene, _| {
            whole(scene.owner().vspace_account(kept(scene)))
        })],
    }
}

fn pin(operation: Operation) -> Vec<Case> {
    fn pin(scene: &Scene, mode: LockMode) -> Answer {
        whole(scene.borrower().pin(scene.share_a.weak, at(0), frames(4), mode, LONG))
    }
    match operation {
        Operation::Pin => vec![
            case("pin for reading", Nothing, |scene, _| pin(scene, LockMode::Read)),
            case("pin alone", Nothing, |scene, _| pin(scene, LockMode::Exclusive)),
        ],
        Operation::BusAddress => vec![prepared("bus_address", Nothing, pin_b, |scene, _| {
            let lease = LeaseHandle::from_raw(scene.kept.get());
            whole(scene.borrower().bus_address(lease, at(0)))
        })],
        _ => vec![case("device_reset", Part, |scene, _| {
            whole(scene.supervisor().device_reset(peer(2)))
        })],
    }
}

fn set_handler() -> Vec<Case> {
    vec![prepared(
        "set_handler",
        Nothing,
        |scene| {
            for (number, place) in [1, 2].into_iter().flat_map(|n| (0..COUNT).map(move |p| (n, p)))
            {
                let _ = scene.touch(number, place, None);
            }
        },
        |scene, _| whole(scene.owner().set_handler(scene.a, at(0), 4, Some(peer(2)), 7)),
    )]
}

fn supply() -> Vec<Case> {
    vec![prepared(
        "supply",
        Nothing,
        |scene| {
            let _ = scene.owner().grant(scene.a, at(2), frames(1), READ);
            let fault = scene.borrower().next_fault().unwrap();
            scene.kept.set(fault.map_or(0, |fault| fault.fault.raw()));
        },
        |scene, _| {
            let fault = FaultHandle::from_raw(scene.kept.get());
            whole(scene.borrower().supply(fault, scene.share_b.weak, at(1)))
        },
    )]
}

fn disturb(scene: &Scene, what: Disturbance) -> Answer {
    let mut cursor = 0;
    loop {
        cursor = scene
            .supervisor()
            .disturb(what, cursor)
            .map(|done| done.cursor)
            .or_else(|e| whole::<u64>(Err(e)))?;
        if cursor == 0 {
            return Ok(0);
        }
    }
}
