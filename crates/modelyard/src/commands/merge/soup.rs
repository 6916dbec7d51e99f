//! The average of weights: of all models as asked, or of those that do no harm.

use modelyard_optimize::merge::soup::{Soup, greedy, soup};
use modelyard_optimize::merge::{Member, normalized};

use super::trial::{Asked, Trial, goodness};
use super::{Args, Made, refused};
use crate::exit::{Exit, ExitWith};

/// The soup, and what its members answered.
pub(super) fn make(
    args: &Args,
    members: &[Member],
    trial: Option<&Trial<'_>>,
) -> anyhow::Result<(Made, Vec<Asked>)> {
    let count = members.len();
    let mut weights = normalized(&args.merge.weights(count), count).exit_with(Exit::Usage)?;
    // Models that do not fit are refused before any is run.
    let mut found = soup(members, &weights).map_err(refused)?;
    let mut asked = Vec::new();
    if let Some(trial) = trial {
        for member in members {
            let output = &member.model.graph.outputs[member.output].name;
            asked.push(trial.ask(&member.model, Some(output))?);
        }
        if args.merge.fits() {
            (found, weights) = of_the_best(members, &asked, trial)?;
        }
    }
    let notes = notes(&found);
    Ok((Made { model: found.model, weights: Some(weights), gives: None, notes }, asked))
}

/// The greedy soup, by scores on the examples to fit on.
fn of_the_best(
    members: &[Member],
    asked: &[Asked],
    trial: &Trial<'_>,
) -> anyhow::Result<(Soup, Vec<f64>)> {
    let on_fit = |asked: &Asked| goodness(asked.fit.as_ref().unwrap_or(&asked.measured));
    let scores: Vec<f64> = asked.iter().map(on_fit).collect::<anyhow::Result<_>>()?;
    let equal = |taken: &[usize]| {
        let mut weights = vec![0.0; members.len()];
        taken.iter().for_each(|&member| weights[member] = 1.0 / taken.len() as f64);
        weights
    };
    let taken = greedy(&scores, |taken| {
        let tried = soup(members, &equal(taken)).map_err(refused)?.model;
        let output = &members[0].model.graph.outputs[members[0].output].name;
        on_fit(&trial.ask(&tried, Some(output))?)
    })?;
    let weights = equal(&taken);
    Ok((soup(members, &weights).map_err(refused)?, weights))
}

fn notes(soup: &Soup) -> Vec<String> {
    let mut notes = Vec::new();
    if soup.averaged == 0 {
        notes.push("all models have the same weights".into());
    }
    if !soup.statistics.is_empty() {
        let shown: Vec<&str> = soup.statistics.iter().take(4).map(String::as_str).collect();
        let more = if soup.statistics.len() > 4 { ", …" } else { "" };
        notes.push(format!(
            "means and variances of batch normalization were averaged too ({}{more}); they were \
             measured with other weights, so look at the score, and train the soup for an epoch if it \
             is low",
            shown.join(", ")
        ));
    }
    notes
}
