// SPDX-License-Identifier: BSD-2-Clause
//! The ring as a reader has it, who trusts nothing in it: the writer may write at any time.

use proto::VirtAddr;

use crate::record::{Record, STRIDE, WORDS};
use crate::ring::{At, Layout};

/// A ring in a region that is mapped for reading.
#[derive(Debug)]
pub struct RingReader(Layout<At>);

impl RingReader {
    /// Opens the ring in a region, of which the writer knows the same size; `None` if no record
    /// fits into it.
    #[must_use]
    pub fn open(at: VirtAddr, bytes: u64) -> Option<Self> {
        Layout::of_region(At(at), bytes).map(Self)
    }

    /// Returns how many records were written since the start.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.0.load_header(0) / STRIDE
    }

    /// Returns the number of records of which the last are there.
    #[must_use]
    pub const fn capacity(&self) -> u64 {
        (self.0.mask / STRIDE).saturating_add(1)
    }

    /// Returns how many ticks a second has, if the writer knows that.
    #[must_use]
    pub fn ticks_per_second(&self) -> Option<u64> {
        Some(self.0.load_header(1)).filter(|ticks| *ticks > 0)
    }

    /// Returns the record with this number, counted from the start; `None` if it is not written yet
    /// or not there any more. What was overwritten while it was read is not there any more: it was
    /// as soon as the record that has its place could be under way.
    #[must_use]
    pub fn record(&self, number: u64) -> Option<Record> {
        let is_written = number < self.written();
        let place = number.wrapping_mul(STRIDE);
        let words: [u64; WORDS] = core::array::from_fn(|word| self.0.load(place, word));
        let is_whole = self.written().saturating_sub(number) < self.capacity();
        (is_written && is_whole).then(|| Record::of_words(words))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::record::{Cause, HEADER_BYTES, RECORD_BYTES};
    use crate::ring::Ring;

    /// Returns a region with room for so many records, and its size in bytes.
    fn region(records: u64) -> (VirtAddr, u64) {
        let memory = {
            let bytes = HEADER_BYTES + records * RECORD_BYTES;
            vec![0_u64; usize::try_from(bytes / 8).unwrap()].leak()
        };
        let bytes = u64::try_from(size_of_val(memory)).unwrap();
        let at = u64::try_from(memory.as_mut_ptr().expose_provenance()).unwrap();
        (VirtAddr::new(at).unwrap(), bytes)
    }

    fn both(records: u64) -> (Ring<At>, RingReader) {
        let (at, bytes) = region(records);
        (Ring::open(At(at), bytes, 5).unwrap(), RingReader::open(at, bytes).unwrap())
    }

    fn sample(number: u64) -> Record {
        Record {
            begin: number * 10,
            end: number * 10 + 9,
            cause: Cause::Request(3),
            label: number + 1,
            status: number + 2,
            registers: [number, 7, 8, 9],
            result: number + 3,
        }
    }

    fn begin(ring: &Ring<At>, record: &Record) {
        ring.begin(record.begin, record.cause.word(), record.label, record.registers);
    }

    fn write(ring: &mut Ring<At>, record: &Record) {
        begin(ring, record);
        ring.end(record.end, record.status, record.result);
    }

    fn read(reader: &RingReader) -> Vec<Record> {
        (0..reader.written()).filter_map(|number| reader.record(number)).collect()
    }

    #[test]
    fn records_come_back_as_they_were_written() {
        let (mut ring, reader) = both(8);
        assert_eq!((reader.written(), reader.record(0)), (0, None));
        let records: Vec<Record> = (0..5).map(sample).collect();
        records.iter().for_each(|record| write(&mut ring, record));
        assert_eq!(read(&reader), records);
        assert_eq!((reader.capacity(), reader.ticks_per_second()), (8, Some(5)));
    }

    /// One place is that of a record that may be under way.
    #[test]
    fn a_full_ring_has_its_last_records_but_for_one_place() {
        for count in 0..40 {
            let (mut ring, reader) = both(8);
            (0..count).for_each(|number| write(&mut ring, &sample(number)));
            let kept: Vec<Record> = (count.saturating_sub(7)..count).map(sample).collect();
            assert_eq!((reader.written(), read(&reader)), (count, kept));
        }
    }

    #[test]
    fn a_record_is_there_when_it_has_ended_and_takes_none_with_it_before() {
        let (mut ring, reader) = both(4);
        (0..7).for_each(|number| write(&mut ring, &sample(number)));
        let before = read(&reader);
        begin(&ring, &sample(7));
        assert_eq!((reader.record(7), read(&reader)), (None, before));
        // A server that was sent to its recovery entry begins anew.
        write(&mut ring, &sample(8));
        assert_eq!(reader.record(7), Some(sample(8)));
    }

    #[test]
    fn a_ring_goes_on_after_a_recovery() {
        let (at, bytes) = region(4);
        write(&mut Ring::open(At(at), bytes, 0).unwrap(), &sample(0));
        write(&mut Ring::open(At(at), bytes, 0).unwrap(), &sample(1));
        let reader = RingReader::open(at, bytes).unwrap();
        assert_eq!(read(&reader), [sample(0), sample(1)]);
        assert_eq!(reader.ticks_per_second(), None);
    }

    #[test]
    fn a_region_without_room_for_a_record_has_no_ring() {
        let (at, bytes) = region(1);
        assert!(Ring::open(At(at), bytes, 0).is_some());
        assert!(Ring::open(At(at), bytes - 1, 0).is_none());
        assert!(RingReader::open(at, 0).is_none());
        // What does not make up a power of two is not used.
        let (at, bytes) = region(7);
        assert_eq!(RingReader::open(at, bytes).unwrap().capacity(), 4);
    }
}
