// SPDX-License-Identifier: BSD-2-Clause
//! A pmserver that answers what a test tells it to, and notes what it was asked.
#![allow(dead_code, clippy::unwrap_used)] // Each test file uses its part; tests fail by panicking.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use pmserver_api::{Failure, Mapped, PmError, Reply, Request};
use pmserver_client::{MapFlags, Pm, VirtAddr};
use proto::{Message, Transport};

/// Clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct Fake {
    asked: Rc<RefCell<Vec<Request>>>,
    answers: Rc<RefCell<VecDeque<Message>>>,
}

impl Transport for Fake {
    fn call(&mut self, request: Message) -> Message {
        self.asked.borrow_mut().push(Request::decode(&request).unwrap());
        let answer = self.answers.borrow_mut().pop_front();
        answer.unwrap_or_else(|| Reply::Done.encode())
    }
}

impl Fake {
    pub(crate) fn new() -> (Self, Pm<Self>) {
        let fake = Self::default();
        (fake.clone(), Pm::new(fake))
    }

    /// Has it answer the next call that it has no answer for yet.
    pub(crate) fn will(&self, reply: Reply) -> &Self {
        self.answers.borrow_mut().push_back(reply.encode());
        self
    }

    /// Has it refuse that call.
    pub(crate) fn will_refuse(&self, error: PmError, done: u64, at: u64) -> &Self {
        self.answers.borrow_mut().push_back(Failure { error, done, at }.reply());
        self
    }

    /// Returns what it was asked since the last time.
    pub(crate) fn asked(&self) -> Vec<Request> {
        assert!(self.answers.borrow().is_empty(), "every answer was asked for");
        self.asked.take()
    }
}

/// A reply to `map` or `remap`: so many pages of each rights.
pub(crate) fn mapped(runs: &[(u64, MapFlags)]) -> Reply {
    let mut mapped = Mapped::default();
    for (count, rights) in runs {
        for _ in 0..*count {
            assert!(mapped.push(*rights));
        }
    }
    Reply::Mapped(mapped)
}

pub(crate) fn window() -> VirtAddr {
    VirtAddr::new_page(0x1000_0000).unwrap()
}
