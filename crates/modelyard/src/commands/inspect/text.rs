//! The report for people.

use super::report::{EngineVerdict, Report, Spec};

/// Nodes that are named for each engine; `--json` has them all.
const STOPS_MAX: usize = 12;
/// Characters of one metadata value.
const VALUE_MAX: usize = 100;

impl Report {
    /// The report for people.
    pub(super) fn text(&self) -> String {
        let mut lines = vec![format!("{}  {}", self.file, bytes(self.file_bytes))];
        self.origin_lines(&mut lines);
        if let Some(reason) = &self.not_servable {
            section("not servable", &mut lines);
            lines.push(format!("  {reason}"));
        } else {
            spec_lines(&self.inputs, &self.outputs, &mut lines);
        }
        self.operator_lines(&mut lines);
        self.cost_lines(&mut lines);
        section("engines", &mut lines);
        self.engines.iter().for_each(|verdict| engine_lines(verdict, &mut lines));
        if !self.metadata.is_empty() {
            section("metadata", &mut lines);
            let pairs = self.metadata.iter().map(|(key, value)| (key.clone(), cut(value)));
            table(pairs.collect(), &mut lines);
        }
        lines.join("\n")
    }

    fn origin_lines(&self, lines: &mut Vec<String>) {
        if !self.doc.is_empty() {
            lines.push(format!("  {}", cut(&self.doc)));
        }
        let opset = |(domain, version): (&String, &i64)| match domain.as_str() {
            "" => format!("opset {version}"),
            domain => format!("{domain} {version}"),
        };
        let opsets: Vec<String> = self.opsets.iter().map(opset).collect();
        let producer = if self.producer.is_empty() { "unknown" } else { &self.producer };
        lines.push(format!(
            "  written by {producer}; ONNX IR {}, {}",
            self.ir_version,
            opsets.join(", ")
        ));
        if !self.external_files.is_empty() {
            lines.push(format!("  with weights in {}", self.external_files.join(", ")));
        }
    }

    fn operator_lines(&self, lines: &mut Vec<String>) {
        let nodes: usize = self.operators.values().sum();
        section(&format!("operators ({nodes} nodes)"), lines);
        let mut operators: Vec<(&String, &usize)> = self.operators.iter().collect();
        operators.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), *name));
        let width = operators.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        let columns = (76 / (width + 9)).max(1);
        for row in operators.chunks(columns) {
            let cells = row.iter().map(|(name, count)| format!("  {name:<width$} {count:>6}"));
            lines.push(cells.collect());
        }
    }

    fn cost_lines(&self, lines: &mut Vec<String>) {
        let cost = &self.cost;
        let given = cost.dims.iter().map(|(name, size)| format!("{name} = {size}"));
        let shapes = cost.shapes.iter().map(|(name, shape)| format!("{name} {shape:?}"));
        let assumed = cost.assumed_one.iter().map(|name| format!("{name} = 1"));
        let dims: Vec<String> = given.chain(shapes).chain(assumed).collect();
        match dims.is_empty() {
            true => section("cost of one run (estimate)", lines),
            false => section(&format!("cost of one run (estimate, {})", dims.join(", ")), lines),
        }
        let mut parameters =
            format!("{} ({})", grouped(cost.parameters), bytes(cost.parameter_bytes));
        if cost.generated_parameters > 0 {
            let generated = grouped(cost.generated_parameters);
            parameters.push_str(&format!(", and {generated} made by nodes"));
        }
        let pairs = [
            ("parameters", parameters),
            ("FLOPs", format!("{} ({})", scaled(cost.flops), grouped(cost.flops))),
            ("activations", bytes(cost.activation_bytes)),
            ("memory", bytes(cost.memory_bytes)),
        ];
        table(pairs.map(|(name, value)| (name.to_owned(), value)).into(), lines);
        for unknown in &cost.unknown {
            lines.push(format!(
                "  not counted: {} x {} (first '{}')",
                unknown.nodes, unknown.operator, unknown.first
            ));
        }
    }
}

fn section(title: &str, lines: &mut Vec<String>) {
    lines.push(String::new());
    lines.push(title.to_owned());
}

fn spec_lines(inputs: &[Spec], outputs: &[Spec], lines: &mut Vec<String>) {
    let specs = || inputs.iter().chain(outputs);
    let width = specs().map(|spec| spec.name.chars().count()).max().unwrap_or(0);
    for (title, specs) in [("inputs", inputs), ("outputs", outputs)] {
        section(title, lines);
        for spec in specs {
            let (name, datatype, shape) = (&spec.name, spec.datatype, &spec.shape_text);
            lines.push(format!("  {name:<width$}  {datatype:<6}  {shape}"));
        }
    }
}

fn engine_lines(verdict: &EngineVerdict, lines: &mut Vec<String>) {
    let verdict_text = match (&verdict.unusable, verdict.refusals.len()) {
        (Some(reason), _) => format!("not usable: {reason}"),
        (None, 0) => "runs it".to_owned(),
        (None, 1) => "cannot run it, because of".to_owned(),
        (None, count) => format!("cannot run it, because of {count} nodes"),
    };
    lines.push(format!("  {:<12} {verdict_text}", verdict.engine));
    for stop in verdict.refusals.iter().take(STOPS_MAX) {
        lines.push(format!("    {} at node '{}': {}", stop.operator, stop.node, stop.reason));
    }
    if verdict.refusals.len() > STOPS_MAX {
        lines.push(format!("    ... and {} more (--json)", verdict.refusals.len() - STOPS_MAX));
    }
}

/// Names and values in two columns.
fn table(pairs: Vec<(String, String)>, lines: &mut Vec<String>) {
    let width = pairs.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    lines.extend(pairs.iter().map(|(name, value)| format!("  {name:<width$}  {value}")));
}

/// One line of at most [`VALUE_MAX`] characters.
fn cut(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(VALUE_MAX) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

/// 1234567 as `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Three figures with a unit: `5.26 G`.
fn scaled(number: u64) -> String {
    let mut value = number as f64;
    let mut unit = "";
    for next in ["k", "M", "G", "T", "P"] {
        if value < 999.5 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    format!("{} {unit}", figures(value, unit.is_empty())).trim_end().to_owned()
}

/// Bytes in powers of 1024.
fn bytes(number: u64) -> String {
    let mut value = number as f64;
    let mut unit = "bytes";
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1023.5 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    format!("{} {unit}", figures(value, unit == "bytes"))
}

fn figures(value: f64, whole: bool) -> String {
    match value {
        _ if whole => format!("{value:.0}"),
        value if value < 9.995 => format!("{value:.2}"),
        value if value < 99.95 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(grouped(999), "999");
        assert_eq!(scaled(203_530), "204 k");
        assert_eq!(scaled(999_999), "1.00 M");
        assert_eq!(scaled(7), "7");
        assert_eq!(bytes(407_742), "398 KiB");
        assert_eq!(bytes(1023), "1023 bytes");
        assert_eq!(bytes(10 << 30), "10.0 GiB");
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        assert_eq!(cut("a\n  b"), "a b");
        assert_eq!(cut(&"ü".repeat(101)), format!("{}...", "ü".repeat(100)));
    }
}
