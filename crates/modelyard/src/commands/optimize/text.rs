//! What is told of a search, as lines for people.

use modelyard_optimize::search::Figures;

use super::report::{Line, Report};

impl Report {
    /// Why there is no result.
    pub(super) fn nothing(&self) -> String {
        let measured = |line: &&Line| line.figures().is_some();
        let within = self.trials.iter().filter(measured).any(|line| line.is_within);
        let why = if within {
            "no candidate within the budget is better than the original beyond noise".to_owned()
        } else {
            format!("no candidate keeps the budget of {:.2} %", 100.0 * self.max_drop)
        };
        let nearest = self.nearest.map(|number| &self.trials[number]);
        let nearest = nearest.and_then(|line| Some((line, line.figures()?)));
        match nearest {
            Some((line, figures)) if !within => format!(
                "{why}; the closest, '{}', costs {:.2} %: see the report",
                line.recipe,
                100.0 * figures.drop.estimate
            ),
            _ => format!("{why}; nothing was written but the report"),
        }
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        if let Some(best) = &self.best {
            let Figures { drop, latency, throughput, bytes, .. } = &best.figures;
            text.push_str(&format!(
                "wrote {}: {}\n  {} lower by {:.2} % ({:.2} to {:.2} with 95 % confidence, {} examples)\n  \
                 latency {:.2}x ({:.2} to {:.2}), throughput {:.2}x ({:.2} to {:.2}) of the time\n  \
                 {:.3} MB of {:.3} MB ({:.2}x)\n",
                self.output,
                best.recipe,
                self.measure,
                100.0 * drop.estimate,
                100.0 * drop.low,
                100.0 * drop.high,
                self.examples[0],
                latency.estimate,
                latency.low,
                latency.high,
                throughput.estimate,
                throughput.low,
                throughput.high,
                *bytes as f64 / 1e6,
                self.original.bytes as f64 / 1e6,
                *bytes as f64 / self.original.bytes.max(1) as f64,
            ));
        }
        text.push_str(&format!(
            "{} candidates in {:.0} s on {} ({})\n",
            self.trials.len(),
            self.seconds,
            self.engine,
            if self.is_complete { "all that promised anything" } else { "time was up" }
        ));
        for line in self.trials.iter().filter(|line| line.is_on_front) {
            if let Some(figures) = line.figures() {
                text.push_str(&format!(
                    "  drop {:6.2} %  latency {:.2}x  throughput {:.2}x  {:9.3} MB  {}\n",
                    100.0 * figures.drop.estimate,
                    figures.latency.estimate,
                    figures.throughput.estimate,
                    figures.bytes as f64 / 1e6,
                    line.recipe
                ));
            }
        }
        for note in &self.notes {
            text.push_str(&format!("note: {note}\n"));
        }
        text.push_str(&format!("report: {}.report.html", self.output));
        text
    }
}
