// SPDX-License-Identifier: BSD-2-Clause
//! pmserver's clock, without asking for it each time: the domain's own runs as fast.

use fsserver_api::Failure;
use pmserver_client::{Micros, Pm, Transport};
use proto::limits::FS_CLOCK_MICROS;

use crate::lent::of_pm;

/// What is known of pmserver's clock.
#[derive(Default)]
pub(crate) struct PmClock {
    /// pmserver's time, and the domain's own before it was asked for.
    known: Option<(Micros, Micros)>,
}

impl PmClock {
    /// Returns pmserver's time at `own`, by the domain's own clock, or somewhat more; without a
    /// clock of its own, pmserver is asked.
    pub(crate) fn at<T: Transport>(
        &mut self,
        pm: &Pm<T>,
        own: Option<Micros>,
    ) -> Result<Micros, Failure> {
        if let Some((own, (time, before))) = own.zip(self.known)
            && let Some(since @ ..FS_CLOCK_MICROS) = own.get().checked_sub(before.get())
        {
            return Ok(time.saturating_add(Micros::new(since)));
        }
        let time = pm.clock().map_err(of_pm)?;
        self.known = own.map(|own| (time, own));
        Ok(time)
    }
}
