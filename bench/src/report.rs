//! Tables on a terminal, as Markdown, and everything measured as JSON.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::compare::{Comparison, Spread};
use crate::env::Env;

/// The result of a suite.
pub(crate) struct Report {
    suite: &'static str,
    machine: Value,
    tables: Vec<Table>,
    notes: Vec<String>,
    data: Vec<Value>,
}

/// Cells under headings.
pub(crate) struct Table {
    title: String,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub(crate) fn new(title: impl Into<String>, heading: &[&str]) -> Self {
        let heading = heading.iter().map(ToString::to_string).collect();
        Table { title: title.into(), rows: vec![heading] }
    }

    /// One row more.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// What every comparison shows; ratios are of the first contender over each.
    pub(crate) fn of(title: impl Into<String>, comparison: &Comparison) -> Self {
        let heading =
            ["server", "load", "requests/s", "p50", "p99", "server CPU", "RSS, peak", "first/this"];
        let mut table = Table::new(title, &heading);
        for (number, contender) in comparison.contenders.iter().enumerate() {
            for (load, name) in comparison.loads.iter().enumerate() {
                let spread = |of| comparison.spread(number, load, of);
                let (resident, peak) = comparison.memory_mb[number];
                table.row([
                    contender.clone(),
                    name.clone(),
                    rate(spread(|figures| figures.per_second)),
                    micros(spread(|figures| figures.p50_us).median),
                    micros(spread(|figures| figures.p99_us).median),
                    micros(spread(|figures| figures.cpu_us).median),
                    format!("{resident:.0}, {peak:.0} MB"),
                    match number {
                        0 => String::new(),
                        _ => comparison.ratio((0, number), load, |f| f.per_second).ratio(),
                    },
                ]);
            }
        }
        table
    }
}

impl Report {
    /// An empty report.
    pub(crate) fn new(suite: &'static str, env: &Env) -> Self {
        let machine = machine(env);
        Report { suite, machine, tables: Vec::new(), notes: Vec::new(), data: Vec::new() }
    }

    /// Adds a table.
    pub(crate) fn table(&mut self, table: Table) {
        self.tables.push(table);
    }

    /// Adds a sentence.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Adds a sentence on a figure to reach, with the verdict.
    pub(crate) fn target(&mut self, what: &str, found: f64, reached: bool) {
        let verdict = if reached { "reached" } else { "NOT reached" };
        self.notes.push(format!("{what}: {found:.3}: {verdict}"));
    }

    /// Adds what was measured, for the JSON.
    pub(crate) fn data(&mut self, name: &str, data: impl serde::Serialize) {
        let data = serde_json::to_value(data).unwrap_or(Value::Null);
        self.data.push(json!({ "name": name, "data": data }));
    }

    /// Adds a comparison with its table.
    pub(crate) fn comparison(&mut self, title: &str, comparison: &Comparison) {
        self.table(Table::of(title, comparison));
        self.data(title, comparison);
    }

    /// For a terminal.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("# {}\n", self.suite);
        for table in &self.tables {
            text.push_str(&format!("\n{}\n", table.title));
            let columns = table.rows[0].len();
            let width =
                |column: usize| table.rows.iter().map(move |row| row[column].chars().count());
            let widths: Vec<usize> =
                (0..columns).map(|column| width(column).max().unwrap_or(0)).collect();
            for row in &table.rows {
                let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
                text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
                text.push('\n');
            }
        }
        text.push('\n');
        for note in &self.notes {
            text.push_str(&format!("{note}\n"));
        }
        text
    }

    /// For a page.
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("## {}\n\n{}\n", self.suite, self.machine_line());
        for table in &self.tables {
            text.push_str(&format!("\n### {}\n\n", table.title));
            for (number, row) in table.rows.iter().enumerate() {
                text.push_str(&format!("| {} |\n", row.join(" | ")));
                if number == 0 {
                    text.push_str(&format!("|{}\n", "---|".repeat(row.len())));
                }
            }
        }
        text.push('\n');
        for note in &self.notes {
            text.push_str(&format!("* {note}\n"));
        }
        text
    }

    fn machine_line(&self) -> String {
        let text = |key: &str| self.machine[key].to_string().replace('"', "");
        format!(
            "{}, {} cores, commit {}, {} rounds of {} s; median (min..max).",
            text("cpu"),
            text("cores"),
            text("commit"),
            text("rounds"),
            text("seconds")
        )
    }

    /// Writes the JSON beside those of other suites.
    pub(crate) fn write(&self, folder: &Path) -> anyhow::Result<PathBuf> {
        let tables = self.tables.iter().map(|t| json!({ "title": t.title, "rows": t.rows }));
        let json = json!({
            "suite": self.suite,
            "machine": self.machine,
            "notes": self.notes,
            "tables": tables.collect::<Vec<_>>(),
            "data": self.data,
        });
        let path = folder.join(format!("{}.json", self.suite));
        std::fs::write(&path, serde_json::to_string_pretty(&json)?)?;
        Ok(path)
    }
}

/// Requests a second and how far the rounds lie apart.
pub(crate) fn rate(spread: Spread) -> String {
    format!("{} ({}..{})", thousands(spread.median), thousands(spread.min), thousands(spread.max))
}

fn thousands(value: f64) -> String {
    match value {
        value if value >= 10_000.0 => format!("{:.1}k", value / 1e3),
        value if value >= 100.0 => format!("{value:.0}"),
        value => format!("{value:.1}"),
    }
}

/// Microseconds, or milliseconds from one on.
pub(crate) fn micros(value: f64) -> String {
    match value {
        value if value >= 1e3 => format!("{:.2} ms", value / 1e3),
        value => format!("{value:.1} µs"),
    }
}

fn machine(env: &Env) -> Value {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let cpu = info.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let commit = std::process::Command::new("git")
        .current_dir(&env.root)
        .args(["rev-parse", "--short", "HEAD"])
        .output();
    let commit = commit.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    json!({
        "cpu": cpu.unwrap_or("unknown"),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "unix_time": since.as_secs(),
        "load_average": read("/proc/loadavg").trim(),
        "commit": commit.unwrap_or_default(),
        "rounds": env.options.rounds,
        "seconds": env.options.seconds,
        "library": env.library.file_name().map(|name| name.to_string_lossy()),
    })
}
