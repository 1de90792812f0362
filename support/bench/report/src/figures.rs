// SPDX-License-Identifier: BSD-2-Clause
//! The figures of one board, as they are in the JSON file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// All figures of a board.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) board: String,
    pub(crate) rows: Vec<Row>,
    /// Instructions that the kernel alone takes, and the rival.
    pub(crate) floors: BTreeMap<String, u32>,
    pub(crate) boot: Boot,
    pub(crate) books: Books,
    /// What fsserver is charged for files, by what the bench calls it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) memory: BTreeMap<String, u32>,
}

/// What an operation costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    /// Frames that it is about; 1 if it is not about frames.
    pub(crate) batch: u32,
    /// Whether the figures are for one of these frames.
    pub(crate) per_frame: bool,
    pub(crate) instructions: u32,
    pub(crate) floor: u32,
    /// Instructions divided by the floor.
    pub(crate) ratio: f64,
    /// Kernel invocations of pmserver; none if they were not counted.
    pub(crate) invocations: Option<f64>,
    /// Protected procedure calls, and faults.
    pub(crate) ipcs: Option<f64>,
    /// Bytes that programs copy.
    pub(crate) copied: u32,
    /// For a row that is not the same in every run.
    #[serde(flatten)]
    pub(crate) spread: Option<Spread>,
}

/// How far measurements differ, and runs may.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    /// How far the middle half of what was measured is apart, in percent of the median.
    pub(crate) spread_percent: f64,
    /// A figure is worse if it is more than so many percent above the accepted one.
    pub(crate) bound_percent: u32,
}

/// What pmserver takes to start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Boot {
    /// Pages of the pool.
    pub(crate) pages: u32,
    pub(crate) instructions: u32,
    pub(crate) instructions_per_page: f64,
}

/// What is charged for a frame that is allocated and mapped, beside the frame, and what pmserver
/// has for itself for each page of the pool, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Books {
    pub(crate) frames: u32,
    pub(crate) records_per_frame: f64,
    pub(crate) tables_per_frame: f64,
    pub(crate) slots_per_frame: f64,
    pub(crate) own_per_page: f64,
}

impl Books {
    /// Returns the name of each figure in bytes, with its value here and there.
    pub(crate) fn beside(&self, other: &Self) -> [(&'static str, f64, f64); 4] {
        [
            ("records_per_frame", self.records_per_frame, other.records_per_frame),
            ("tables_per_frame", self.tables_per_frame, other.tables_per_frame),
            ("slots_per_frame", self.slots_per_frame, other.slots_per_frame),
            ("own_per_page", self.own_per_page, other.own_per_page),
        ]
    }
}

impl Figures {
    pub(crate) fn from_json(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| format!("no figures: {error}"))
    }

    pub(crate) fn to_json(&self) -> Result<String, String> {
        let text = serde_json::to_string_pretty(self).map_err(|error| error.to_string())?;
        Ok(text + "\n")
    }

    /// Returns the row with this name.
    pub(crate) fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }
}

/// Returns a quotient with three decimals; 0 if there is nothing to divide by.
pub(crate) fn quotient(of: u32, by: u32) -> f64 {
    if by == 0 { 0.0 } else { (f64::from(of) / f64::from(by) * 1000.0).round() / 1000.0 }
}
