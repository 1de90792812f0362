// SPDX-License-Identifier: BSD-2-Clause
//! What a puppet does when pmserver notifies it.

use pmserver_client::ContainerHandle;
use proto::{FrameNumber, Micros, VirtAddr};

const COUNT: u64 = 0;
const RELEASE: u64 = 1;
const SUPPLY: u64 = 2;
const REFUSE: u64 = 3;
const HOLD: u64 = 4;
const DIE: u64 = 5;

/// What a puppet does when it is notified, besides counting. It forgets this when it faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Behaviour {
    /// Nothing.
    #[default]
    Count,
    /// Frees as many frames as pmserver asks back, of this container and from this frame on.
    Release {
        /// Which container.
        container: ContainerHandle,
        /// The first frame that it frees.
        start: FrameNumber,
    },
    /// Supplies every fault that it handles with the frame of the same number.
    Supply {
        /// Where the frame is.
        container: ContainerHandle,
        /// How long it waits before it answers.
        delay: Micros,
        /// Memory of its own that it touches before it answers.
        touch: Option<VirtAddr>,
    },
    /// Answers every fault with a fault.
    Refuse,
    /// Asks for the fault, and never answers it.
    Hold,
    /// Faults without a recovery entry, so that pmserver stops it.
    Die,
}

impl Behaviour {
    pub(crate) fn encode(self) -> [u64; 4] {
        match self {
            Self::Count => [COUNT, 0, 0, 0],
            Self::Release { container, start } => [RELEASE, container.raw(), start.get(), 0],
            Self::Supply { container, delay, touch } => {
                [SUPPLY, container.raw(), delay.get(), touch.map_or(0, VirtAddr::get)]
            }
            Self::Refuse => [REFUSE, 0, 0, 0],
            Self::Hold => [HOLD, 0, 0, 0],
            Self::Die => [DIE, 0, 0, 0],
        }
    }

    pub(crate) fn decode(registers: [u64; 4]) -> Option<Self> {
        Some(match registers {
            [COUNT, 0, 0, 0] => Self::Count,
            [RELEASE, container, start, 0] => Self::Release {
                container: ContainerHandle::from_raw(container),
                start: FrameNumber::new(start),
            },
            [SUPPLY, container, delay, touch] => Self::Supply {
                container: ContainerHandle::from_raw(container),
                delay: Micros::new(delay),
                touch: match touch {
                    0 => None,
                    touch => Some(VirtAddr::new(touch)?),
                },
            },
            [REFUSE, 0, 0, 0] => Self::Refuse,
            [HOLD, 0, 0, 0] => Self::Hold,
            [DIE, 0, 0, 0] => Self::Die,
            _ => return None,
        })
    }
}
