//! Contenders taking turns, round by round.

use anyhow::{Context, ensure};

use crate::check;
use crate::contender::Contender;
use crate::env::Env;
use crate::load::{self, Figures};

/// One load: its name, and what the generator gets.
pub(crate) struct Load {
    /// In tables.
    pub(crate) name: String,
    /// Arguments of the generator.
    pub(crate) arguments: Vec<String>,
    /// Cores to pin the generator to.
    pub(crate) cores: Option<&'static str>,
}

impl Load {
    /// So many callers that wait for their answers.
    pub(crate) fn callers(callers: usize) -> Self {
        let arguments = vec!["--concurrency".into(), callers.to_string()];
        Load { name: format!("c={callers}"), arguments, cores: None }
    }

    /// The same load from these cores.
    pub(crate) fn on(self, cores: &'static str) -> Self {
        Load { cores: Some(cores), ..self }
    }
}

/// What came of it: `figures[contender][load][round]`.
#[derive(serde::Serialize)]
pub(crate) struct Comparison {
    /// Names of the contenders.
    pub(crate) contenders: Vec<String>,
    /// Names of the loads.
    pub(crate) loads: Vec<String>,
    /// Everything measured.
    pub(crate) figures: Vec<Vec<Vec<Figures>>>,
    /// Resident memory after the loads of the last round, and the peak, in megabytes.
    pub(crate) memory_mb: Vec<(f64, f64)>,
}

/// Starts each contender anew in each round, checks its predictions, and puts each load on it.
pub(crate) fn compare(
    env: &Env,
    contenders: &[Contender],
    loads: &[Load],
) -> anyhow::Result<Comparison> {
    compare_beside(env, contenders, loads, || Ok(()))
}

/// The same; `beside` measures something else in each round, before the contenders.
pub(crate) fn compare_beside(
    env: &Env,
    contenders: &[Contender],
    loads: &[Load],
    mut beside: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<Comparison> {
    let mut figures = vec![vec![Vec::new(); loads.len()]; contenders.len()];
    let mut memory_mb = vec![(0.0, 0.0); contenders.len()];
    let mut expected = None;
    for round in 0..env.options.rounds {
        beside()?;
        for (number, contender) in contenders.iter().enumerate() {
            let context = || format!("{}, round {}", contender.name, round + 1);
            eprintln!("{}", context());
            let server = contender.start(env).with_context(context)?;
            verify(contender, &server.http, &mut expected).with_context(context)?;
            for (load, figures) in loads.iter().zip(&mut figures[number]) {
                let mut arguments = contender.talk.arguments(&server);
                arguments.extend(load.arguments.iter().cloned());
                let found = load::run(env, Some(&server), &arguments, load.cores);
                let found = found.with_context(context)?;
                ensure!(found.failed == 0, "{}: {} under load", context(), found.failures);
                figures.push(found);
            }
            verify(contender, &server.http, &mut expected).with_context(context)?;
            memory_mb[number] = (server.resident_mb(), server.peak_mb());
        }
    }
    let contenders = contenders.iter().map(|contender| contender.name.clone()).collect();
    let loads = loads.iter().map(|load| load.name.clone()).collect();
    Ok(Comparison { contenders, loads, figures, memory_mb })
}

/// Checks that the contender predicts what is known, and what the first one predicted.
fn verify(
    contender: &Contender,
    address: &str,
    expected: &mut Option<Vec<f64>>,
) -> anyhow::Result<()> {
    let Some(question) = &contender.question else { return Ok(()) };
    let found = check::predict(address, question)?;
    check::agree(&contender.name, &found, expected.get_or_insert_with(|| found.clone()))
}

/// A figure over rounds.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(crate) struct Spread {
    /// The middle one.
    pub(crate) median: f64,
    /// The smallest.
    pub(crate) min: f64,
    /// The largest.
    pub(crate) max: f64,
}

impl Spread {
    /// Of these values.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_unstable_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        let last = values.len().saturating_sub(1);
        let median = (at(last / 2) + at(values.len() / 2).min(at(last))) / 2.0;
        let median = if values.is_empty() { f64::NAN } else { median };
        Spread { median, min: at(0), max: at(last) }
    }

    /// `ratio` with two decimals and its spread.
    pub(crate) fn ratio(self) -> String {
        format!("{:.2}× ({:.2}..{:.2})", self.median, self.min, self.max)
    }
}

impl Comparison {
    /// One figure of one contender at one load, over the rounds.
    pub(crate) fn spread(&self, contender: usize, load: usize, of: fn(&Figures) -> f64) -> Spread {
        Spread::of(self.figures[contender][load].iter().map(of))
    }

    /// One figure of one contender over the same of another, round by round.
    pub(crate) fn ratio(
        &self,
        (over, under): (usize, usize),
        load: usize,
        of: fn(&Figures) -> f64,
    ) -> Spread {
        let pairs = self.figures[over][load].iter().zip(&self.figures[under][load]);
        Spread::of(pairs.map(|(over, under)| of(over) / of(under)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]).median, 2.0);
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]).median, 2.5);
        assert_eq!(Spread::of([7.0]).median, 7.0);
        assert!(Spread::of([]).median.is_nan());
    }
}
