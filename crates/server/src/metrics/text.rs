//! Prometheus's text format: families, samples, escaped labels.

use std::fmt::Write;

use modelyard_serving::HistogramSnapshot;

/// What a family is.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// The labels of a sample, escaped: `a="1",b="2"`.
#[derive(Clone, Default)]
pub(super) struct Labels(String);

impl Labels {
    pub(super) fn new(pairs: &[(&str, &str)]) -> Self {
        pairs.iter().fold(Labels::default(), |labels, (name, value)| labels.with(name, value))
    }

    /// These labels and one more.
    pub(super) fn with(&self, name: &str, value: &str) -> Self {
        let mut labels = self.0.clone();
        if !labels.is_empty() {
            labels.push(',');
        }
        labels.push_str(name);
        labels.push_str("=\"");
        for character in value.chars() {
            match character {
                '\\' => labels.push_str("\\\\"),
                '"' => labels.push_str("\\\""),
                '\n' => labels.push_str("\\n"),
                other => labels.push(other),
            }
        }
        labels.push('"');
        Labels(labels)
    }
}

/// The page being written.
#[derive(Default)]
pub(super) struct Text(String);

impl Text {
    /// Begins a family; its samples follow.
    pub(super) fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    /// One sample.
    pub(super) fn sample(&mut self, name: &str, labels: &Labels, value: impl std::fmt::Display) {
        match labels.0.as_str() {
            "" => self.line(format_args!("{name} {value}")),
            labels => self.line(format_args!("{name}{{{labels}}} {value}")),
        }
    }

    /// One histogram in seconds.
    pub(super) fn histogram(&mut self, name: &str, labels: &Labels, histogram: &HistogramSnapshot) {
        let bucket = format!("{name}_bucket");
        for (bound, count) in &histogram.buckets {
            let bound = bound.as_secs_f64().to_string();
            self.sample(&bucket, &labels.with("le", &bound), count);
        }
        self.sample(&bucket, &labels.with("le", "+Inf"), histogram.count);
        self.sample(&format!("{name}_sum"), labels, histogram.sum.as_secs_f64());
        self.sample(&format!("{name}_count"), labels, histogram.count);
    }

    pub(super) fn finish(self) -> String {
        self.0
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn escapes_labels_and_writes_histograms() {
        let mut text = Text::default();
        text.family("h_seconds", Kind::Histogram, "Help");
        let histogram = HistogramSnapshot {
            buckets: vec![(Duration::from_micros(10), 1), (Duration::from_secs(1), 2)],
            count: 3,
            sum: Duration::from_millis(2500),
        };
        text.histogram("h_seconds", &Labels::new(&[("m", "a\"\\\n")]), &histogram);
        assert_eq!(
            text.finish(),
            "# HELP h_seconds Help\n# TYPE h_seconds histogram\n\
             h_seconds_bucket{m=\"a\\\"\\\\\\n\",le=\"0.00001\"} 1\n\
             h_seconds_bucket{m=\"a\\\"\\\\\\n\",le=\"1\"} 2\n\
             h_seconds_bucket{m=\"a\\\"\\\\\\n\",le=\"+Inf\"} 3\n\
             h_seconds_sum{m=\"a\\\"\\\\\\n\"} 2.5\n\
             h_seconds_count{m=\"a\\\"\\\\\\n\"} 3\n"
        );
    }
}
