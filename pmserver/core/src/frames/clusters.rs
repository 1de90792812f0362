// SPDX-License-Identifier: BSD-2-Clause
//! Clusters of frames (decision 0040): eight frames at aligned numbers in one record, each with a
//! page of its own or without. What is usual happens to them there: memory, mappings, copies, and
//! that copies are broken. What is not (real sharing, a move, a pin, extra frames) happens to a
//! frame that is alone in its record: then the cluster is *split*.

use heapless::Vec;
use pmserver_api::PmError;
use proto::limits::FRAME_MAPPINGS_MAX;

use crate::frames::FrameManager;
use crate::kernel::{Kernel, KernelError};
use crate::records::account::Account;
use crate::records::broken::broken;
use crate::records::cell::Ref;
use crate::records::container::Container;
use crate::records::frame::Frame;
use crate::records::id::{CLUSTER, CLUSTER_ORDER, Id};
use crate::records::mapping::{Mapping, MappingsOfFrame};
use crate::store::runs::cells_aside;
use crate::tables::clusters::CLUSTER_CELLS_MAX;

/// The mappings of the frames of a cluster.
#[allow(clippy::as_conversions)] // To a wider type.
const MAPPINGS_MAX: usize = FRAME_MAPPINGS_MAX as usize * CLUSTER as usize;

/// Clusters of mappings of the frames of a cluster, which may have one page each, and one more.
const PAYERS_MAX: usize = MAPPINGS_MAX + 1;

impl<K: Kernel> FrameManager<K> {
    /// Splits a cluster whose frames have more records of mappings than one frame may have: as a
    /// whole it would be too much for one step. Returns whether it was split.
    ///
    /// # Errors
    /// As [`Self::split`].
    pub(crate) fn split_if_crowded(&mut self, frame: Ref<Frame>) -> Result<bool, PmError> {
        let record = self.store.get(frame);
        let is_crowded = record.is_cluster() && record.mapping_count.get() > FRAME_MAPPINGS_MAX;
        if is_crowded {
            self.split(self.store.container_of(frame), frame)?;
        }
        Ok(is_crowded)
    }

    /// Splits a cluster into single frames, which keep their memory and mappings.
    ///
    /// # Errors
    /// The kernel's error if it refuses a page for records; nothing has changed then.
    pub(super) fn split_cluster(
        &mut self,
        container: Ref<Container>,
        frame: Ref<Frame>,
    ) -> Result<(), KernelError> {
        let before = self.store.meter().spent();
        let payer = self.store.payer_of_container(container);
        let clusters = self.clusters_of(frame);
        let mut payers: Vec<Ref<Account>, { PAYERS_MAX }> = Vec::new();
        let _ = payers.push(payer);
        let all = u32::try_from(clusters.len()).unwrap_or(0);
        let cells =
            CLUSTER_CELLS_MAX.saturating_mul(all).saturating_add(cells_aside(CLUSTER_ORDER));
        let mut prepared = self.store.prepare_aside(payer, cells);
        for mapping in &clusters {
            let _ = payers.push(self.store.payer_of(*mapping));
            prepared =
                prepared.and_then(|()| self.prepare_cluster(*mapping, all.saturating_add(1)));
        }
        if prepared.is_ok() {
            for mapping in clusters {
                self.split_prepared(mapping);
            }
            self.split_frames(container, frame);
        }
        payers.iter().for_each(|payer| self.store.release_unfilled(*payer));
        self.store.meter().count_split(before);
        prepared
    }

    /// Returns the clusters of mappings of the frames of a record.
    fn clusters_of(&self, frame: Ref<Frame>) -> Vec<Ref<Mapping>, { PAYERS_MAX }> {
        let mappings = self.store.chain::<MappingsOfFrame>(self.store.get(frame).mappings);
        mappings.filter(|mapping| self.store.get(*mapping).is_cluster()).collect()
    }

    /// Gives each frame of a cluster, whose mappings are in their own records, a record of its own.
    fn split_frames(&mut self, container: Ref<Container>, frame: Ref<Frame>) {
        let mappings = self.take_mappings(frame);
        let first = self.store.get(frame).range().first;
        if self.store.split_run(frame).is_err() {
            broken("cell that was prepared");
        }
        for (mapping, index) in mappings {
            let single = self.find_frame(container, first.saturating_add(index.into()));
            let Some(single) = single else { broken("frame of a cluster that was split") };
            self.store.get_mut(mapping).set_frame(single.link());
            let others = self.store.get(single).mappings;
            let others = self.store.add_first::<MappingsOfFrame>(others, mapping);
            let record = self.store.get_mut(single);
            record.mappings = others;
            record.mapping_count.up();
        }
    }

    /// Takes the mappings of a cluster, each in its own record, out of its list.
    fn take_mappings(&mut self, frame: Ref<Frame>) -> Vec<(Ref<Mapping>, u8), MAPPINGS_MAX> {
        let mut taken = Vec::new();
        while let Some(mapping) = self.store.get(frame).mappings.target() {
            let rest = self.store.remove_from_chain::<MappingsOfFrame>(mapping.link(), mapping);
            let record = self.store.get_mut(frame);
            record.mappings = rest;
            record.mapping_count.down();
            let index = self.frame_of(Id::first(mapping)).index;
            if taken.push((mapping, index)).is_err() {
                broken("frame with too many mappings");
            }
        }
        taken
    }
}
