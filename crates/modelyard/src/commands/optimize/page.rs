//! The report as one page of HTML that needs nothing else.

use std::fmt::Write as _;

use modelyard_optimize::search::Figures;
use modelyard_optimize::statistics::Difference;

use super::plots;
use super::report::{Line, Outcome, Report};
use crate::chart::escape;
use crate::metrics::confusion;
use crate::optimizing::answers::Score;

const STYLE: &str = "\
body{font:15px/1.5 system-ui,sans-serif;max-width:960px;margin:2rem auto;padding:0 1rem;color:#1f2328;background:#fff}\
h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2.2rem}table{border-collapse:collapse;font-size:14px}\
th,td{text-align:left;padding:.25rem .7rem;border-bottom:1px solid #d0d7de}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}\
tr.front{font-weight:600}tr.over{color:#818b98}.note{color:#9a6700}code{font-size:13px;word-break:break-all}svg{max-width:100%;height:auto;margin:.5rem 0}\
@media(prefers-color-scheme:dark){body{color:#f0f6fc;background:#0d1117}th,td{border-color:#30363d}.note{color:#d29922}}";

/// The page.
pub(super) fn page(report: &Report) -> String {
    let title = format!("{} optimized", escape(&report.model));
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
         <style>{STYLE}</style></head><body><h1>{title}</h1>"
    );
    verdict(&mut html, report);
    for note in &report.notes {
        let _ = write!(html, "<p class=\"note\">{}</p>", escape(note));
    }
    html.push_str("<h2>Candidates</h2>");
    html.push_str(&plots::front(&report.trials, report.goal, report.max_drop));
    table(&mut html, report);
    if !report.sensitivities.is_empty() {
        html.push_str("<h2>Layers</h2>");
        html.push_str(&plots::sensitivities(&report.sensitivities));
    }
    if !report.histograms.is_empty() {
        html.push_str("<h2>Weights and activations</h2>");
        report.histograms.iter().for_each(|layer| html.push_str(&plots::histograms(layer)));
    }
    if !report.confusion.is_empty() {
        html.push_str("<h2>Answers</h2>");
        for (name, found) in &report.confusion {
            html.push_str(&confusion::draw(&format!("Confusion of the {name} model"), found));
        }
    }
    facts(&mut html, report);
    html.push_str("</body></html>\n");
    html
}

fn interval(difference: &Difference, factor: f64, digits: usize) -> String {
    let Difference { estimate, low, high, .. } = difference;
    let [estimate, low, high] = [estimate, low, high].map(|number| number * factor);
    format!("{estimate:.digits$} ({low:.digits$} to {high:.digits$})")
}

fn verdict(html: &mut String, report: &Report) {
    let Some(best) = &report.best else {
        let _ = write!(html, "<p><b>{}.</b></p>", escape(&report.nothing()));
        return;
    };
    let Figures { drop, latency, throughput, bytes, .. } = &best.figures;
    let _ = write!(
        html,
        "<p><b>{}</b>: {} lower by {} % (95 % confidence, {} examples), latency {}×, time per example \
         {}×, {:.3} of {:.3} MB.</p>",
        escape(&best.recipe),
        report.measure,
        interval(drop, 100.0, 2),
        report.examples[0],
        interval(latency, 1.0, 2),
        interval(throughput, 1.0, 2),
        *bytes as f64 / 1e6,
        report.original.bytes as f64 / 1e6
    );
    if let Some(p) = drop.p_value {
        let _ = write!(
            html,
            "<p>McNemar's exact test: a difference of this size or larger has probability {p:.3} where \
             there is none.</p>"
        );
    }
    if let (Some(before), Some(after)) = (&report.original_score, &best.score) {
        let _ = write!(html, "<p>{} → {}.</p>", score(before), score(after));
    }
}

fn score(score: &Score) -> String {
    match score {
        Score::Accuracy(part) => format!("{:.2} % right", 100.0 * part),
        Score::MeanSquaredError(error) => format!("mean squared error {error:.4e}"),
    }
}

fn table(html: &mut String, report: &Report) {
    html.push_str(
        "<table><thead><tr><th>candidate</th><th class=\"n\">drop, %</th><th class=\"n\">latency</th>\
         <th class=\"n\">time per example</th><th class=\"n\">µs</th><th class=\"n\">MB</th></tr></thead><tbody>",
    );
    let _ = write!(
        html,
        "<tr><td>original, beside itself</td><td class=\"n\">0</td><td class=\"n\">{}</td>\
         <td class=\"n\">{}</td><td class=\"n\">{:.1}</td><td class=\"n\">{:.3}</td></tr>",
        interval(&report.original.latency, 1.0, 2),
        interval(&report.original.throughput, 1.0, 2),
        report.original.latency_us,
        report.original.bytes as f64 / 1e6
    );
    report.trials.iter().for_each(|line| row(html, line));
    html.push_str("</tbody></table>");
}

fn row(html: &mut String, line: &Line) {
    let name = escape(&line.recipe);
    match &line.outcome {
        Outcome::Figures(figures) => {
            let class = match (line.is_on_front, line.is_within) {
                (_, false) => "over",
                (true, true) => "front",
                (false, true) => "",
            };
            let _ = write!(
                html,
                "<tr class=\"{class}\"><td>{name}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
                 <td class=\"n\">{}</td><td class=\"n\">{:.1}</td><td class=\"n\">{:.3}</td></tr>",
                interval(&figures.drop, 100.0, 2),
                interval(&figures.latency, 1.0, 2),
                interval(&figures.throughput, 1.0, 2),
                figures.latency_us,
                figures.bytes as f64 / 1e6
            );
        }
        Outcome::Error(error) => {
            let _ = write!(
                html,
                "<tr class=\"over\"><td>{name}</td><td colspan=\"5\">{}</td></tr>",
                escape(error)
            );
        }
    }
}

fn facts(html: &mut String, report: &Report) {
    html.push_str("<h2>How it was measured</h2><table>");
    let mut fact = |name: &str, value: String| {
        let _ = write!(html, "<tr><td>{name}</td><td><code>{}</code></td></tr>", escape(&value));
    };
    fact("model, SHA-256", report.model_sha256.clone());
    fact("data", report.data.clone());
    fact(
        "examples compared",
        format!("{}, SHA-256 {}", report.examples[0], report.examples_sha256[0]),
    );
    fact(
        "examples for ranges",
        format!("{}, SHA-256 {}", report.examples[1], report.examples_sha256[1]),
    );
    fact("seed", report.seed.to_string());
    fact("engine", report.engine.to_owned());
    fact("machine", format!("{}, {} threads", report.machine.processor, report.machine.threads));
    fact("modelyard", report.modelyard.to_owned());
    fact("budget", format!("{} may fall by {:.3} %", report.measure, 100.0 * report.max_drop));
    fact("time", format!("{:.0} s", report.seconds));
    html.push_str(
        "</table><p>Times are medians of ratios to the original, measured in turn with it; intervals are \
         bootstrapped. The winner was made and measured a second time, which is what stands at the top: \
         the best of many measurements is partly luck. \
         A candidate counts as faster where its interval lies below what the original shows beside itself.</p>",
    );
}
