// SPDX-License-Identifier: BSD-2-Clause
//! Draws what reading costs, by size: each way as a line.

use plotters::backend::SVGBackend;
use plotters::chart::{ChartBuilder, SeriesLabelPosition};
use plotters::coord::combinators::IntoLogRange;
use plotters::drawing::IntoDrawingArea;
use plotters::element::{Circle, PathElement};
use plotters::series::LineSeries;
use plotters::style::{BLACK, Color, RGBColor, WHITE};

use crate::figures::Figures;

const SIZE: (u32, u32) = (800, 500);
/// Sizes in KiB, as they are in names.
const SIZES: &[(f64, &str)] =
    &[(4.0, "4k"), (64.0, "64k"), (256.0, "256k"), (1024.0, "1m"), (2048.0, "2m")];
/// A way of reading: its label, where its figures are, its colour.
type Way = (&'static str, fn(&Figures, &str) -> Option<f64>, RGBColor);
const WAYS: &[Way] = &[
    ("copying rival", |of, size| floor(of, &format!("rival_{size}")), RGBColor(90, 90, 90)),
    (
        "rival, used in place",
        |of, size| floor(of, &format!("rival_in_place_{size}")),
        RGBColor(170, 170, 170),
    ),
    ("strict", |of, size| row(of, &format!("read_{size}_strict")), RGBColor(200, 60, 40)),
    ("standing", |of, size| row(of, &format!("read_{size}_standing")), RGBColor(40, 110, 190)),
    ("lent", |of, size| row(of, &format!("read_{size}_lent")), RGBColor(30, 140, 70)),
];

/// Returns the name of a board's plot.
pub(crate) fn name(board: &str) -> String {
    format!("reading-{board}.svg")
}

/// Returns the plot: instructions per KiB, both scales logarithmic.
pub(crate) fn reading(figures: &Figures) -> Result<String, String> {
    let mut svg = String::new();
    draw(figures, &mut svg).map_err(|error| format!("the plot of reading: {error}"))?;
    Ok(svg)
}

fn draw(figures: &Figures, svg: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let caption = format!("Reading a cached file, {}: instructions per KiB", figures.board);
    let mut chart = ChartBuilder::on(&area)
        .caption(caption, ("sans-serif", 18))
        .margin(15)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d((3.0..3000.0_f64).log_scale(), (50.0..100_000.0_f64).log_scale())?;
    chart
        .configure_mesh()
        .x_desc("KiB in one read")
        .y_desc("instructions per KiB")
        .x_label_formatter(&|kib| format!("{kib:.0}"))
        .y_label_formatter(&|each| format!("{each:.0}"))
        .draw()?;
    for (label, of, colour) in WAYS {
        let points: Vec<(f64, f64)> = SIZES
            .iter()
            .filter_map(|(kib, size)| of(figures, size).map(|all| (*kib, all / kib)))
            .collect();
        let dots = points.iter().map(|point| Circle::new(*point, 3, colour.filled()));
        chart.draw_series(dots)?;
        let colour = *colour;
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
            .label(*label)
            .legend(move |(x, y)| PathElement::new([(x, y), (x.saturating_add(20), y)], colour));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE)
        .border_style(BLACK)
        .draw()?;
    area.present()?;
    drop(chart);
    Ok(())
}

fn floor(figures: &Figures, name: &str) -> Option<f64> {
    figures.floors.get(name).map(|figure| f64::from(*figure))
}

fn row(figures: &Figures, name: &str) -> Option<f64> {
    figures.row(name).map(|row| f64::from(row.instructions))
}
