// SPDX-License-Identifier: BSD-2-Clause
//! Compares figures with the accepted ones.

use crate::figures::Figures;

/// More than so many hundredths above the accepted figure is worse, but for rows that say another
/// number: those that are not the same in every run.
const TOLERANCE_PERCENT: u32 = 2;

/// Returns for each row that is compared with a wider bound its name and that.
pub(crate) fn wide(accepted: &Figures) -> Vec<String> {
    let spreads =
        accepted.rows.iter().filter_map(|row| Some((&row.name, row.spread?.bound_percent)));
    let wide = spreads.filter(|(_, bound)| *bound > TOLERANCE_PERCENT);
    wide.map(|(name, bound)| format!("{name} within {bound} %")).collect()
}

/// Returns a line for each row or memory figure that got worse or vanished.
pub(crate) fn worse(accepted: &Figures, now: &Figures) -> Vec<String> {
    let mut lines = Vec::new();
    for before in &accepted.rows {
        let Some(row) = now.row(&before.name) else {
            lines.push(format!("{} has vanished", before.name));
            continue;
        };
        let is_comparable = (row.batch, row.per_frame) == (before.batch, before.per_frame);
        let tolerance = before.spread.map_or(TOLERANCE_PERCENT, |spread| spread.bound_percent);
        if !is_comparable || is_worse(before.instructions, row.instructions, tolerance) {
            let unit = if row.per_frame { " a frame" } else { "" };
            lines.push(format!(
                "{}: {} instructions{unit}, accepted are {}",
                row.name, row.instructions, before.instructions
            ));
        }
    }
    if is_worse(accepted.boot.instructions, now.boot.instructions, TOLERANCE_PERCENT) {
        let (was, is) = (accepted.boot.instructions, now.boot.instructions);
        lines.push(format!("boot: {is} instructions, accepted are {was}"));
    }
    for (name, was, is) in accepted.books.beside(&now.books) {
        if is > was {
            lines.push(format!("{name}: {is} bytes, accepted are {was}"));
        }
    }
    for (name, was) in &accepted.memory {
        match now.memory.get(name) {
            // Of what is cached, more is better.
            Some(is) if name.ends_with("_bytes") == (is > was) && is != was => {
                lines.push(format!("{name}: {is}, accepted are {was}"));
            }
            Some(_) => {}
            None => lines.push(format!("{name} has vanished")),
        }
    }
    lines
}

fn is_worse(accepted: u32, now: u32, tolerance_percent: u32) -> bool {
    let hundredths = |figure: u32, of: u32| u64::from(figure).saturating_mul(of.into());
    hundredths(now, 100) > hundredths(accepted, tolerance_percent.saturating_add(100))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Spread;
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
    fn a_row_may_have_a_bound_of_its_own() {
        let of = |instructions: u32| {
            let mut figures = of(instructions);
            let spread = Spread { spread_percent: 3.0, bound_percent: 5 };
            figures.rows.iter_mut().for_each(|row| row.spread = Some(spread));
            figures
        };
        assert_eq!(wide(&of(1000)), ["map within 5 %"]);
        assert!(worse(&of(1000), &of(1050)).is_empty());
        assert_eq!(worse(&of(1000), &of(1051)).len(), 1);
    }

    #[test]
    fn less_memory_and_more_in_it_is_not_worse() {
        let of = |bytes, cached| {
            let lines = format!("memory a_bytes value={bytes}\nmemory cached value={cached}\n");
            figures(
                "board",
                &format!("row a batch=1 per_frame=0 instructions=1 floor=1 copied=0\n{lines}"),
            )
            .unwrap()
        };
        assert!(worse(&of(10, 10), &of(9, 11)).is_empty());
        assert_eq!(worse(&of(10, 10), &of(11, 9)).len(), 2);
    }

    #[test]
    fn more_bytes_of_books_are_worse() {
        let of = |records_per_frame, own_per_page| {
            let mut figures = of(1000);
            figures.books.records_per_frame = records_per_frame;
            figures.books.own_per_page = own_per_page;
            figures
        };
        assert!(worse(&of(20.0, 39.5), &of(20.0, 39.5)).is_empty());
        assert_eq!(worse(&of(20.0, 39.5), &of(20.1, 39.6)).len(), 2);
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
