// SPDX-License-Identifier: BSD-2-Clause
//! Reads after which nobody else has access to the bytes, in five calls: arm, the read, in which
//! fsserver takes and gives back, and disarm.

use pmserver_client::{
    AddressSpace, ArmedShare, At, Container, ContainerHandle, Error, ErrorKind, Micros, OnceShare,
    Operation, Pages, PeerId, PmError, Rights, ShareTerms, Transport, VirtAddr,
};
use proto::limits::FS_LEASE_MICROS;
use proto::{FrameCount, Waiter};

use crate::arguments::{FileHandle, ReadLength};
use crate::client::Client;
use crate::error::CallError;

/// A buffer that fsserver fills and that its owner alone can touch whenever this value gives bytes.
///
/// The buffer stays mapped. It is fastest as 512 frames, whose first number and whose address are
/// multiples of 512 frames.
pub struct StrictReader<'pm, P: Transport> {
    /// Nothing only while a call is made.
    state: Option<State<'pm, P>>,
    frames: FrameCount,
}

/// What a call is told that is made while another one is: there is none.
const NO_STATE: Error = Error {
    operation: Operation::Arm,
    kind: ErrorKind::Refused(PmError::Invalid),
    done: 0,
    at: At::Nothing,
};

/// Who has the buffer.
enum State<'pm, P: Transport> {
    /// Its owner alone.
    Own(OnceShare<'pm, P>),
    /// Perhaps fsserver.
    Armed(ArmedShare<'pm, P>),
}

/// Why a strict read has no bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StrictError {
    /// pmserver refused to lend the buffer, or to say that it was given back.
    Pm(Error),
    /// fsserver refused the read, or its answer is none.
    Fs(CallError),
}

impl From<Error> for StrictError {
    fn from(error: Error) -> Self {
        Self::Pm(error)
    }
}

impl From<CallError> for StrictError {
    fn from(error: CallError) -> Self {
        Self::Fs(error)
    }
}

/// What a strict read has brought. Nobody can change it as long as this value exists.
pub struct Bytes<'reader> {
    pages: &'reader Pages,
    count: u64,
}

impl Bytes<'_> {
    /// Returns how many bytes there are: fewer than asked for at the end of the file.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Copies bytes out of the buffer, from `offset` on.
    ///
    /// # Errors
    /// `Invalid` beyond the end of the buffer.
    pub fn copy_in(
        &self,
        space: &impl AddressSpace,
        offset: u64,
        to: &mut [u8],
    ) -> Result<(), Error> {
        self.pages.copy_in(space, offset, to)
    }
}

impl<'pm, P: Transport> StrictReader<'pm, P> {
    /// Maps frames `0..frames` of a container at the pages from `at` on, and lends them to
    /// fsserver.
    ///
    /// # Errors
    /// As [`Container::share_once`].
    pub fn new(
        container: &Container<'pm, P>,
        frames: FrameCount,
        at: VirtAddr,
        fsserver: PeerId,
    ) -> Result<Self, Error> {
        let terms = ShareTerms {
            peer: fsserver,
            rights: Rights::WRITE,
            lease_max: Micros::new(FS_LEASE_MICROS),
            once: true,
        };
        let share = container.share_once(0..frames.get(), at, terms)?;
        Ok(Self { state: Some(State::Own(share)), frames })
    }

    /// Reads bytes `offset..offset + length` of a file. If fsserver does not give the buffer back,
    /// this waits until the time of the share has passed.
    ///
    /// While a client waits for the disk ([`Client::waiting`]) the buffer stays lent: a read that
    /// is pending has taken nothing, and the next one takes it (FS-84). If the client does not
    /// wait, the buffer is its owner's again, and the read can be repeated.
    ///
    /// # Errors
    /// fsserver's; pmserver's if the buffer cannot be lent or is not given back.
    pub fn read<F: Transport, W: Waiter>(
        &mut self,
        fs: &mut Client<F, W>,
        file: FileHandle,
        offset: u64,
        length: ReadLength,
    ) -> Result<Bytes<'_>, StrictError> {
        let weak = self.arm()?;
        let answer = fs.read_taken(file, weak, offset, self.frames, length);
        // Whatever fsserver answered: nothing is looked at before it is the caller's alone.
        let own = self.take_back()?;
        let State::Own(share) = self.state.insert(State::Own(own)) else {
            return Err(NO_STATE.into());
        };
        Ok(Bytes { pages: share, count: answer?.min(length.get().into()) })
    }

    /// Lets fsserver take the buffer once.
    fn arm(&mut self) -> Result<ContainerHandle, Error> {
        let own = self.take_back()?;
        let weak = own.weak_handle();
        let (state, result) = match own.arm() {
            Ok(armed) => (State::Armed(armed), Ok(weak)),
            Err(refused) => (State::Own(refused.value), Err(refused.error)),
        };
        self.state = Some(state);
        result
    }

    /// Returns the buffer when it is the caller's alone.
    fn take_back(&mut self) -> Result<OnceShare<'pm, P>, Error> {
        match self.state.take().ok_or(NO_STATE)? {
            State::Own(share) => Ok(share),
            State::Armed(armed) => armed.confirm_waiting().map_err(|refused| {
                self.state = Some(State::Armed(refused.value));
                refused.error
            }),
        }
    }
}
