// SPDX-License-Identifier: BSD-2-Clause
//! extra_request: whether extra frames are asked back (O16).

use pmserver_api::ExtraRequest;
use proto::{Micros, PeerId};

use crate::kernel::Kernel;
use crate::ops::Operations;

impl<K: Kernel> Operations<K> {
    /// Returns how many extra frames the caller is asked to free.
    #[inline(never)]
    pub(crate) fn extra_request(&self, caller: PeerId) -> ExtraRequest {
        let demand = &self.store.demand;
        let open = demand.open().filter(|asked| self.may_charge(caller, asked.account));
        let count = open.map(|asked| u64::from(asked.count)).sum();
        if count == 0 {
            return ExtraRequest { count, deadline: Micros::new(0), sequence: 0 };
        }
        ExtraRequest { count, deadline: demand.deadline, sequence: demand.sequence }
    }
}
