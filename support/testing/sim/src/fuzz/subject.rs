// SPDX-License-Identifier: BSD-2-Clause
//! What is compared with the model: a server and the memory of its peers.

use model::{Access, Answer, Fate, Model, Touch};
use pmserver_api::Request;
use proto::{Micros, PeerId, VirtAddr};

use crate::kernel::LargeFrames;

/// What a server does about a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The program tries again.
    Resumed,
    /// The program goes on at its recovery entry, or is stopped.
    Ended(Fate),
}

/// A server, and programs that run on it.
pub(crate) trait Subject {
    fn now(&self) -> Micros;

    fn advance(&mut self, micros: u64);

    /// Calls as a peer.
    ///
    /// # Errors
    /// What is wrong with the form of the reply.
    fn call(&mut self, peer: PeerId, request: &Request) -> Result<Answer, String>;

    /// Touches memory as a peer, and returns the word that is there.
    ///
    /// # Errors
    /// A fault, or what is wrong with what is there.
    fn touch(&mut self, peer: PeerId, vaddr: VirtAddr, access: Access) -> Result<u64, Failed>;

    /// Asks the server to repair what an access needs; returns whether the program tries again.
    fn resolve(&mut self, peer: PeerId, vaddr: VirtAddr, access: Access) -> bool;

    /// Tells the server of a fault.
    fn fault(&mut self, peer: PeerId, vaddr: VirtAddr, access: Access) -> Outcome;

    /// Whether the last call or fault did so much that it may have ended for that.
    fn has_worked(&self) -> bool;

    /// Returns how many large frames were made and split.
    fn large_frames(&self) -> LargeFrames;

    /// Makes the n-th invocation of the kernel from now on fail.
    fn fail_nth(&mut self, n: Option<u64>);

    /// Checks that the last call or fault did not do more than one may.
    ///
    /// # Errors
    /// What it did.
    fn check_work(&self) -> Result<(), String>;

    /// Checks what the server says of itself.
    ///
    /// # Errors
    /// What is broken.
    fn check(&self) -> Result<(), String>;
}

/// Why an access failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    Faulted,
    Torn(String),
}

/// The model as a server: its own answers have to be among those that it allows.
pub(crate) struct ModelSubject {
    model: Model,
    now: u64,
}

impl ModelSubject {
    pub(crate) fn new(model: Model) -> Self {
        Self { model, now: 1 }
    }
}

impl Subject for ModelSubject {
    fn now(&self) -> Micros {
        Micros::new(self.now)
    }

    fn advance(&mut self, micros: u64) {
        self.now += micros;
    }

    fn call(&mut self, peer: PeerId, request: &Request) -> Result<Answer, String> {
        let now = self.now();
        Ok(self.model.call(peer, request, now, None).answer())
    }

    fn touch(&mut self, peer: PeerId, vaddr: VirtAddr, access: Access) -> Result<u64, Failed> {
        // What an access changes that fails is for `resolve` or `fault` to do.
        let mut model = self.model.clone();
        match model.touch_directly(peer, vaddr, access, self.now(), None) {
            Touch::Done(word) => {
                self.model = model;
                Ok(word)
            }
            Touch::Faulted | Touch::Waits => Err(Failed::Faulted),
        }
    }

    fn resolve(&mut self, peer: PeerId, vaddr: VirtAddr, access: Access) -> bool {
        self.model.touch(peer, vaddr, access, self.now(), None) != Touch::Faulted
    }

    fn fault(&mut self, peer: PeerId, vaddr: VirtAddr, access: Access) -> Outcome {
        match self.model.touch(peer, vaddr, access, self.now(), None) {
            Touch::Done(_) | Touch::Waits => Outcome::Resumed,
            Touch::Faulted => Outcome::Ended(self.model.fault(peer)),
        }
    }

    fn has_worked(&self) -> bool {
        false
    }

    fn large_frames(&self) -> LargeFrames {
        LargeFrames::default()
    }

    fn fail_nth(&mut self, _: Option<u64>) {}

    fn check_work(&self) -> Result<(), String> {
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        Ok(())
    }
}
