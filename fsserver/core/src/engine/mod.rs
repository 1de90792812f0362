// SPDX-License-Identifier: BSD-2-Clause
//! The file system, on a stack of its own.
//!
//! The volume waits for its disk inside its calls, and fsserver must not wait: it would not be
//! there for those who can be served from memory. So the volume runs on a coroutine. It gets one
//! job after the other, and is left in the middle of one if the disk takes time.
//!
//! ```text
//!            job                 the disk takes time
//!   idle -----------> running ------------------------> waiting
//!    ^                 |   ^                               |
//!    |     answer      |   |        wake                   |
//!    +-----------------+   +-------------------------------+
//! ```
//!
//! | file | what it does |
//! |---|---|
//! | `job` | what can be asked, and what is answered |
//! | `files` | does the jobs |
//! | `walk` | follows paths |
//! | `device` | the disk as the volume sees it: leaves the coroutine, and counts blocks |
//! | `failure` | what a client is told of an error of the volume |

mod device;
mod failure;
mod files;
mod job;
mod walk;

use core::convert::Infallible;

use corosensei::stack::Stack;
use corosensei::{Coroutine, CoroutineResult, Yielder};
use fsserver_api::Failure;
use pmserver_client::{AddressSpace, Pm, Transport, VirtAddr};

use crate::disk::{Disk, Driver, Region};
use crate::memory::Memory;
use device::Device;
pub(crate) use failure::kind_of;
use files::Files;
pub(crate) use job::{Answer, Change, Found, Job};

/// What goes into the coroutine.
enum Resume {
    Job(Job),
    Woken,
}

/// What comes out of it.
enum Pause {
    Ended(Ended),
    Waiting,
}

/// How a job has ended.
pub(crate) struct Ended {
    pub(crate) answer: Result<Answer, Failure>,
    /// Whether the volume has to be mounted again: it is as after a power cut.
    pub(crate) is_lost: bool,
}

/// The file system. It is mounted by the first job.
pub struct Engine<S: Stack> {
    coroutine: Coroutine<Resume, Pause, Infallible, S>,
    is_busy: bool,
    /// Whether the disk works while others run.
    takes_time: bool,
}

impl<S: Stack + 'static> Engine<S> {
    /// Returns the file system in the region of `bytes` bytes at `vaddr`.
    pub fn of_region<A>(stack: S, space: A, vaddr: VirtAddr, bytes: u64) -> Self
    where
        A: AddressSpace + 'static,
    {
        Self::new(stack, Region::new(space, vaddr, bytes), false)
    }

    /// Returns the file system on the disk that a block server has, to which it lends `memory`.
    ///
    /// # Errors
    /// [`FsError::DiskFailed`](fsserver_api::FsError::DiskFailed) if there is none,
    /// [`FsError::PmRefused`](fsserver_api::FsError::PmRefused) if pmserver refuses.
    pub fn of_driver<P, T, A>(
        stack: S,
        space: A,
        driver: T,
        (pm, memory): (&Pm<P>, &Memory),
    ) -> Result<Self, Failure>
    where
        P: Transport,
        T: Transport + 'static,
        A: AddressSpace + 'static,
    {
        Ok(Self::new(stack, Driver::new(space, driver, (pm, memory))?, true))
    }

    fn new<D: Disk + 'static>(stack: S, disk: D, takes_time: bool) -> Self {
        let run = move |yielder: &Yielder<_, _>, first| run(yielder, first, disk);
        Self { coroutine: Coroutine::with_stack(stack, run), is_busy: false, takes_time }
    }

    /// Returns whether the disk works while others run.
    pub(crate) const fn takes_time(&self) -> bool {
        self.takes_time
    }

    /// Returns whether a job is under way: then there can be no other.
    pub(crate) const fn is_busy(&self) -> bool {
        self.is_busy
    }

    /// Begins a job. Returns the answer, unless the disk takes time.
    pub(crate) fn start(&mut self, job: Job) -> Option<Ended> {
        self.resume(Resume::Job(job))
    }

    /// Goes on with a job that waits for the disk, if there is one.
    pub(crate) fn wake(&mut self) -> Option<Ended> {
        if self.is_busy { self.resume(Resume::Woken) } else { None }
    }

    fn resume(&mut self, with: Resume) -> Option<Ended> {
        match self.coroutine.resume(with) {
            CoroutineResult::Yield(Pause::Ended(ended)) => {
                self.is_busy = false;
                Some(ended)
            }
            CoroutineResult::Yield(Pause::Waiting) => {
                self.is_busy = true;
                None
            }
            CoroutineResult::Return(never) => match never {},
        }
    }
}

/// What runs on the coroutine.
fn run<D: Disk>(yielder: &Yielder<Resume, Pause>, first: Resume, disk: D) -> Infallible {
    let mut files = Files::new(Device::new(yielder, disk));
    let mut next = first;
    loop {
        next = yielder.suspend(match next {
            Resume::Job(job) => Pause::Ended(files.run(job)),
            Resume::Woken => Pause::Waiting,
        });
    }
}
