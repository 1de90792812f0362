// SPDX-License-Identifier: BSD-2-Clause
//! Compares figures with the accepted ones.

use crate::figures::Figures;

/// More than so many hundredths above the accepted figure is worse.
const TOLERANCE_PERCENT: u32 = 2;

/// Returns a line for each row that got worse or vanished.
pub(crate) fn worse(accepted: &Figures, now: &Figures) -> Vec<String> {
    let mut lines = Vec::new();
    for before in &accepted.rows {
        let Some(row) = now.row(&before.name) else {
            lines.push(format!("{} has vanished", before.name));
            continue;
        };
        let is_comparable = (row.batch, row.per_frame) == (before.batch, before.per_frame);
        if !is_comparable || is_worse(before.instructions, row.instructions) {
            let unit = if row.per_frame { " a frame" } else { "" };
            lines.push(format!(
                "{}: {} instructions{unit}, accepted are {}",
                row.name, row.instructions, before.instructions
            ));
        }
    }
    if is_worse(accepted.boot.instructions, now.boot.instructions) {
        let (was, is) = (accepted.boot.instructions, now.boot.instructions);
        lines.push(format!("boot: {is} instructions, accepted are {was}"));
    }
    lines
}

fn is_worse(accepted: u32, now: u32) -> bool {
    let hundredths = |figure: u32, of: u32| u64::from(figure).saturating_mul(of.into());
    hundredths(now, 100) > hundredths(accepted, TOLERANCE_PERCENT.saturating_add(100))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transcript::figures;

    fn of(instructions: u32) -> Figures {
        let row = "batch=256 per_frame=1 floor=1 copied=0";
        figures("board", &format!("row map {row} instructions={instructions}\n")).unwrap()
    }

    #[test]
    fn two_percent_are_accepted_and_more_is_not() {
        assert!(worse(&of(1000), &of(1020)).is_empty());
        assert!(worse(&of(1000), &of(500)).is_empty());
        assert_eq!(worse(&of(1000), &of(1021)).len(), 1);
    }

    #[test]
    fn a_row_may_not_vanish_or_become_another() {
        let mut other = of(1000);
        other.rows.iter_mut().for_each(|row| row.batch = 1);
        assert_eq!(worse(&of(1000), &other).len(), 1);
        other.rows.clear();
        assert_eq!(worse(&of(1000), &other), ["map has vanished"]);
        assert!(worse(&other, &of(1000)).is_empty());
    }
}
