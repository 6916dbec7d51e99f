//! What is in the way when a model is to be written otherwise.

use std::fmt;

/// One node that cannot be written as wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// The operator.
    pub operator: String,
    /// The node: its name, or its first output where it has none.
    pub place: String,
    /// What of it is in the way, such as `reduction 'max'`.
    pub reason: String,
    /// The nearest way out.
    pub way_out: String,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at '{}': {}", self.operator, self.place, self.reason)?;
        if self.way_out.is_empty() { Ok(()) } else { write!(f, "; {}", self.way_out) }
    }
}

/// Why a model cannot be written as wanted: everything that is in the way, in the order of the
/// model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to {action}:{}", Listed(.obstacles))]
pub struct Unadaptable {
    /// What was attempted, such as `convert the model to opset 13`.
    pub action: String,
    /// What is in the way; at least one.
    pub obstacles: Vec<Obstacle>,
}

/// The obstacles, a line for each kind.
struct Listed<'a>(&'a [Obstacle]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts =
            |it: &Obstacle| [&it.operator, &it.place, &it.reason, &it.way_out].map(String::clone);
        let parts: Vec<[String; 4]> = self.0.iter().map(parts).collect();
        for line in lines(&parts, "") {
            write!(f, "\n  {line}")?;
        }
        Ok(())
    }
}

/// One line for all that are alike but for their place. Each is an operator, its place, a reason and
/// a way out; `said` goes behind the reason.
pub fn lines(obstacles: &[[String; 4]], said: &str) -> Vec<String> {
    const LINES: usize = 50;
    const PLACES: usize = 3;
    let mut kinds: Vec<(&[String; 4], Vec<&str>)> = Vec::new();
    for obstacle in obstacles {
        let [operator, place, reason, way_out] = obstacle;
        let alike =
            |kind: &[String; 4]| kind[0] == *operator && kind[2] == *reason && kind[3] == *way_out;
        match kinds.iter_mut().find(|(kind, _)| alike(kind)) {
            Some((_, places)) => places.push(place),
            None => kinds.push((obstacle, vec![place])),
        }
    }
    let line = |(kind, places): &(&[String; 4], Vec<&str>)| {
        let [operator, _, reason, way_out] = kind;
        let shown: Vec<String> =
            places.iter().take(PLACES).map(|place| format!("'{place}'")).collect();
        let more = match places.len().saturating_sub(PLACES) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let way_out = if way_out.is_empty() { String::new() } else { format!("; {way_out}") };
        format!("{operator} at {}{more}: {reason}{said}{way_out}", shown.join(", "))
    };
    let mut lines: Vec<String> = kinds.iter().take(LINES).map(line).collect();
    if kinds.len() > LINES {
        lines.push(format!("and {} more", kinds.len() - LINES));
    }
    lines
}
