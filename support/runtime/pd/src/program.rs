// SPDX-License-Identifier: BSD-2-Clause
//! What makes a program out of a function that knows a [`Domain`] and nothing of the platform.

use proto::{Domain, Service};
use sel4_microkit::{Channel, ChannelSet, Child, Handler, Infallible, MessageInfo};
use shm::OwnMemory;

use crate::channel::{PpChannel, receive, send};

/// Makes the function the program of the domain: it runs once, and the last line that is printed on
/// the console at this channel is PASS, or FAIL and why.
///
/// ```ignore
/// pd::program!(hello, CONSOLE);
///
/// fn hello(domain: &impl Domain) -> Result<(), Error> {
/// ```
#[macro_export]
macro_rules! program {
    ($program:expr, $console:expr) => {
        fn init() -> $crate::Finished {
            $crate::report_panics::<{ $console as usize }>();
            $crate::console_api::run(&$crate::OwnDomain, $console, $program);
            $crate::finished()
        }
        $crate::sel4_microkit::declare_protection_domain!(init = init);
    };
}

/// Makes what the function returns the server of the domain.
///
/// ```ignore
/// pd::server!(greeter);
///
/// fn greeter(domain: impl Domain) -> impl Service {
/// ```
#[macro_export]
macro_rules! server {
    ($server:expr) => {
        fn init() -> impl $crate::sel4_microkit::Handler {
            $crate::Serving($server($crate::OwnDomain))
        }
        $crate::sel4_microkit::declare_protection_domain!(init = init);
    };
}

/// The domain that this is the program of.
pub struct OwnDomain;

impl Domain for OwnDomain {
    type Channel = PpChannel;
    type Memory = OwnMemory;

    fn channel(&self, id: u8) -> PpChannel {
        PpChannel::new(id.into())
    }

    fn memory(&self) -> OwnMemory {
        OwnMemory
    }
}

/// A protection domain that serves: what the platform calls, in the words of a [`Service`].
pub struct Serving<S>(pub S);

impl<S: Service> Handler for Serving<S> {
    type Error = Infallible;

    fn protected(
        &mut self,
        channel: Channel,
        request: MessageInfo,
    ) -> Result<MessageInfo, Infallible> {
        // A channel has a number below 64.
        let channel = u8::try_from(channel.index()).unwrap_or(u8::MAX);
        let reply = match receive(&request) {
            Ok(request) => self.0.protected(channel, &request),
            Err(error) => error.reply(),
        };
        Ok(send(&reply))
    }

    fn notified(&mut self, _: ChannelSet) -> Result<(), Infallible> {
        self.0.notified();
        Ok(())
    }

    /// The domain has no children.
    fn fault(&mut self, _: Child, _: MessageInfo) -> Result<Option<MessageInfo>, Infallible> {
        Ok(None)
    }
}
