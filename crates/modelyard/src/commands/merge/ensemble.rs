//! One graph of all models, with weights as asked or fitted.

use modelyard_optimize::merge::fit::{self, Answers, Truth};
use modelyard_optimize::merge::{
    Gives, Member, Merged, Options, Rule, ensemble, normalized, reading,
};

use super::options::Mode;
use super::trial::{Asked, Trial};
use super::{Args, Made, refused};
use crate::exit::{Exit, ExitWith};

/// The ensemble, and what its members answered.
pub(super) fn make(
    args: &Args,
    members: &mut [Member],
    trial: Option<&Trial<'_>>,
) -> anyhow::Result<(Made, Vec<Asked>)> {
    let count = members.len();
    let classes = trial.map_or_else(
        || members.iter().any(|member| member.labels.is_some()),
        Trial::is_classification,
    );
    let options = Options { of: args.merge.of(), classes };
    let mut weights = normalized(&args.merge.weights(count), count).exit_with(Exit::Usage)?;
    // Models that do not fit are refused before any is run.
    let equal = Rule::Average(vec![1.0; count]);
    ensemble(members, &equal, &Options { of: None, ..options }).map_err(refused)?;
    let mut asked = Vec::new();
    let mut stack = None;
    if let Some(trial) = trial {
        for member in members.iter_mut() {
            if trial.looks_like_probabilities(&member.model)? {
                member.gives = Some(Gives::Probabilities);
            }
        }
        let (answered, gives) = ask(members, &options, trial)?;
        asked = answered;
        if args.merge.mode == Mode::Stack {
            let (answers, truth) = fitted_on(&asked, gives)?;
            stack = Some(fit::stack(&answers, truth, args.merge.l2).exit_with(Exit::Usage)?);
        } else if args.merge.fits() {
            weights = fitted(args.merge.mode, &asked, gives)?;
        }
    }
    let rule = match (args.merge.mode, stack) {
        (_, Some(stack)) => Rule::Stack(stack),
        (Mode::Vote, _) => Rule::Vote(weights.clone()),
        _ => Rule::Average(weights.clone()),
    };
    let merged = ensemble(members, &rule, &options).map_err(refused)?;
    let notes = notes(&merged);
    let weights = (!matches!(rule, Rule::Stack(_))).then_some(weights);
    Ok((Made { model: merged.model, weights, gives: Some(merged.gives), notes }, asked))
}

/// What each member gives to the ensemble, all in one form.
fn ask(
    members: &[Member],
    options: &Options,
    trial: &Trial<'_>,
) -> anyhow::Result<(Vec<Asked>, Gives)> {
    // Alone, a member would give what it has; together they may have to give probabilities.
    let is_mixed =
        members.iter().map(|member| reading(member, options)).collect::<Result<Vec<_>, _>>();
    let gives: Vec<Gives> = is_mixed.map_err(refused)?.iter().map(|merged| merged.gives).collect();
    let together = match gives.contains(&Gives::Probabilities) {
        true => Gives::Probabilities,
        false => Gives::Scores,
    };
    let of =
        options.of.or((together == Gives::Probabilities)
            .then_some(modelyard_optimize::merge::Of::Probabilities));
    let options = Options { of, ..*options };
    let mut asked = Vec::new();
    for member in members {
        let merged = reading(member, &options).map_err(refused)?;
        asked.push(trial.ask(&merged.model, None)?);
    }
    Ok((asked, together))
}

/// Weights by the answers to the examples to fit on.
fn fitted(mode: Mode, asked: &[Asked], gives: Gives) -> anyhow::Result<Vec<f64>> {
    let (answers, truth) = fitted_on(asked, gives)?;
    match (mode, truth) {
        (Mode::Vote, Truth::Classes(classes)) => fit::votes(&answers, classes),
        (_, truth) => fit::average(&answers, truth),
    }
    .exit_with(Exit::Usage)
}

fn fitted_on(asked: &[Asked], gives: Gives) -> anyhow::Result<(Answers<'_>, Truth<'_>)> {
    let fit: Option<Vec<_>> = asked.iter().map(|asked| asked.fit.as_ref()).collect();
    let fit = fit.filter(|fit| !fit.is_empty());
    let fit = fit.ok_or_else(|| anyhow::anyhow!("no examples to fit on: give --data"));
    let fit = fit.exit_with(Exit::Usage)?;
    let answers = Answers {
        members: fit.iter().map(|answered| answered.values.as_slice()).collect(),
        width: fit[0].width,
        gives,
    };
    let truth = match fit[0].truth.is_empty() {
        true => Truth::Classes(&fit[0].classes),
        false => Truth::Values(&fit[0].truth),
    };
    Ok((answers, truth))
}

fn notes(merged: &Merged) -> Vec<String> {
    let list = |names: &[String]| format!("'{}'", names.join("', '"));
    let mut notes = Vec::new();
    if !merged.activated.is_empty() {
        notes.push(format!(
            "{} gave logits: they go through a Softmax or Sigmoid first",
            list(&merged.activated)
        ));
    }
    if !merged.bared.is_empty() {
        notes.push(format!(
            "logits of {} are taken from before the last Softmax or Sigmoid",
            list(&merged.bared)
        ));
    }
    if !merged.left_out.is_empty() {
        notes.push(format!("left out, for a weight of zero: {}", list(&merged.left_out)));
    }
    notes
}
