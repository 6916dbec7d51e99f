//! `modelyard bench`: what can go wrong around a measurement.

use crate::digits;
use crate::harness::{Folder, run};

#[test]
fn a_plot_that_cannot_be_written_costs_no_measurement() {
    let model = digits::model();
    let folder = Folder::new();
    let bench = ["bench", &model, "-c", "1", "--rounds", "1", "--warmup", "0", "--svg"];
    let quick = [&bench[..], &["plot.svg", "--duration", "50ms"]].concat();
    let (code, table, said) = run(&quick, &folder);
    assert_eq!(code, 0, "{said}");
    assert!(table.contains("requests/s") && folder.path("plot.svg").exists(), "{table}");
    // A measurement would take a day.
    let lost = [&bench[..], &["nowhere/plot.svg", "--duration", "24h"]].concat();
    let (code, _, said) = run(&lost, &folder);
    assert_eq!(code, 2);
    assert!(said.contains("cannot write the plot 'nowhere/plot.svg'"), "{said}");
}
