//! Weights of votes: the most right answers.

use super::{Answers, Truth};
use crate::OptimizeError;
use crate::merge::Gives;

/// Weights that are tried for one member, where the others have one or as much.
const TRIED: [f64; 9] = [0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0];

/// Times that all members are gone through at most.
const MOST_ROUNDS: usize = 20;

/// The weights, of sum one, with which votes are right most often: from equal ones, or from the best
/// member alone where that is better, one member's weight after the other is changed as long as that
/// helps.
pub fn votes(answers: &Answers<'_>, classes: &[usize]) -> Result<Vec<f64>, OptimizeError> {
    answers.check(Truth::Classes(classes))?;
    let count = answers.members.len();
    let ballots: Vec<Vec<usize>> =
        answers.members.iter().map(|values| ballot(values, answers)).collect();
    let right = |weights: &[f64]| right(&ballots, classes, weights);
    let mut best = vec![1.0; count];
    let mut most = right(&best);
    for member in 0..count {
        let mut alone = vec![0.0; count];
        alone[member] = 1.0;
        let found = right(&alone);
        if found > most {
            (best, most) = (alone, found);
        }
    }
    for _ in 0..MOST_ROUNDS {
        let before = most;
        for member in 0..count {
            for weight in TRIED {
                let mut tried = best.clone();
                tried[member] = weight;
                let found = right(&tried);
                if found > most {
                    (best, most) = (tried, found);
                }
            }
        }
        if most == before {
            break;
        }
    }
    crate::merge::normalized(&best, count)
}

/// The class that a member votes for in each example: the first of equal ones.
fn ballot(values: &[f32], answers: &Answers<'_>) -> Vec<usize> {
    let border = if answers.gives == Gives::Probabilities { 0.5 } else { 0.0 };
    let class = |row: &[f32]| match row {
        [second] => usize::from(*second > border),
        row => (1..row.len()).fold(0, |best, at| if row[at] > row[best] { at } else { best }),
    };
    values.chunks_exact(answers.width).map(class).collect()
}

/// How many examples are answered right.
fn right(ballots: &[Vec<usize>], classes: &[usize], weights: &[f64]) -> usize {
    let mut shares: Vec<(usize, f64)> = Vec::with_capacity(ballots.len());
    let is_right = |example: &usize| {
        shares.clear();
        for (ballot, &weight) in ballots.iter().zip(weights) {
            let class = ballot[*example];
            match shares.iter_mut().find(|(other, _)| *other == class) {
                Some((_, share)) => *share += weight,
                None => shares.push((class, weight)),
            }
        }
        let won = shares.iter().copied().reduce(|best, next| {
            let better = next.1 > best.1 || (next.1 == best.1 && next.0 < best.0);
            if better { next } else { best }
        });
        won.is_some_and(|(class, _)| class == classes[*example])
    };
    (0..classes.len()).filter(is_right).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_right_more_often_outvotes_the_others() {
        // The first is always right, the others always vote for class 2 together.
        let one = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0];
        let other = [0.0, 0.0, 1.0, 0.0, 0.0, 1.0];
        let answers =
            Answers { members: vec![&one, &other, &other], width: 3, gives: Gives::Probabilities };
        let weights = votes(&answers, &[0, 1]).unwrap();
        assert!(weights[0] > weights[1] + weights[2], "{weights:?}");
        // Where nothing helps, weights stay equal.
        let answers = Answers { members: vec![&one, &one], width: 3, gives: Gives::Scores };
        assert_eq!(votes(&answers, &[0, 1]).unwrap(), [0.5, 0.5]);
    }

    #[test]
    fn ties_go_to_the_lowest_class() {
        let ballots = [vec![2, 0], vec![1, 1]];
        assert_eq!(right(&ballots, &[1, 0], &[0.5, 0.5]), 2);
        assert_eq!(right(&ballots, &[2, 1], &[0.5, 0.5]), 0);
    }
}
