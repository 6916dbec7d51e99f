//! What `...` stands for: the axes of an operand that have no letter, those of several operands
//! counted from the last.

use crate::error::OpError;

/// The equation with letters instead of ellipses, for operands of these ranks.
pub(super) fn spelled_out(text: &str, ranks: &[usize]) -> Result<String, OpError> {
    let (inputs, result) = match text.split_once("->") {
        Some((inputs, result)) => (inputs, Some(result)),
        None => (text, None),
    };
    let operands: Vec<&str> = inputs.split(',').collect();
    let hidden = operands.iter().zip(ranks).map(|(operand, &rank)| hidden(operand, rank));
    let hidden = hidden.collect::<Result<Vec<usize>, OpError>>()?;
    let most = hidden.iter().copied().max().unwrap_or(0);
    let unused = ('a'..='z').chain('A'..='Z').filter(|&letter| !text.contains(letter));
    let letters: String = unused.take(most).collect();
    if letters.len() < most {
        return Err(OpError::new(format!("{most} axes under an ellipsis are not covered")));
    }
    let spelled: Vec<String> = operands
        .iter()
        .zip(hidden)
        .map(|(operand, hidden)| operand.replacen("...", &letters[most - hidden..], 1))
        .collect();
    let result = match result {
        Some(result) => result.replacen("...", &letters, 1),
        None => format!("{letters}{}", once(inputs)),
    };
    Ok(format!("{}->{result}", spelled.join(",")))
}

/// How many axes the ellipsis of an operand stands for.
fn hidden(operand: &str, rank: usize) -> Result<usize, OpError> {
    let named = operand.chars().filter(char::is_ascii_alphabetic).count();
    match rank.checked_sub(named) {
        Some(hidden) if hidden == 0 || operand.contains("...") => Ok(hidden),
        _ => Err(OpError::new(format!("operand '{}' has {rank} axes", operand.trim()))),
    }
}

/// Letters that stand once, sorted: the result where none is given.
fn once(inputs: &str) -> String {
    let mut letters: Vec<char> = inputs.chars().filter(char::is_ascii_alphabetic).collect();
    letters.sort_unstable();
    let alone = |letter: &char| inputs.matches(*letter).count() == 1;
    letters.into_iter().filter(alone).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_without_a_letter_are_aligned_from_the_last() {
        for (text, ranks, expected) in [
            ("...ij,...jk->...ik", [3, 3], "aij,ajk->aik"),
            ("...ij, jk -> ...ik", [4, 2], "abij, jk -> abik"),
            ("...a,...a->...", [2, 3], "ca,bca->bc"),
            ("...ij,...jk", [3, 2], "aij,jk->aik"),
            ("i...,i...->i...", [1, 1], "i,i->i"),
        ] {
            assert_eq!(spelled_out(text, &ranks).unwrap(), expected);
        }
    }

    #[test]
    fn ranks_that_do_not_fit_are_refused() {
        for ranks in [[1, 2], [2, 3], [60, 2]] {
            assert!(spelled_out("...ij,jk->...ik", &ranks).is_err());
        }
    }
}
