//! Products of tensors by an equation.

use super::super::site::{Ruled, Site};
use super::super::space::Role;

/// Axes of the same letter are the same.
pub(super) fn einsum(site: &mut Site<'_, '_>) -> Ruled {
    let equation = site.node.string("equation").unwrap_or_default().replace(' ', "");
    let Some((left, right)) = equation.split_once("->") else {
        return Err(format!("'{equation}' does not name what it gives"));
    };
    if equation.contains('.') {
        return Err(format!("'{equation}' leaves dimensions out"));
    }
    let names: Vec<&str> = site.node.inputs.iter().map(String::as_str).collect();
    let terms: Vec<&str> = left.split(',').collect();
    if terms.len() != names.len() {
        return Err(format!("'{equation}' is for {} inputs", terms.len()));
    }
    let y = site.output()?;
    for (&name, term) in names.iter().zip(&terms).chain([(&y, &right)]) {
        if site.rank(name)? != term.chars().count() {
            return Err(format!("'{equation}' does not fit '{name}'"));
        }
    }
    let mut seen: Vec<(char, (&str, usize))> = Vec::new();
    for (&name, term) in names.iter().zip(&terms).chain([(&y, &right)]) {
        for (axis, letter) in term.chars().enumerate() {
            match seen.iter().find(|(known, _)| *known == letter) {
                Some(&(_, first)) => site.space.tie(first, (name, axis)),
                None => seen.push((letter, (name, axis))),
            }
        }
    }
    for (position, (&name, term)) in names.iter().zip(&terms).enumerate() {
        for (axis, letter) in term.chars().enumerate() {
            let elsewhere =
                |(other, term): (usize, &&str)| other != position && term.contains(letter);
            let is_shared = terms.iter().enumerate().any(elsewhere);
            match (right.contains(letter), is_shared) {
                (true, false) => site.role((name, axis), Role::Out),
                (false, true) => site.role((name, axis), Role::In),
                (false, false) => {
                    site.space.freeze((name, axis), &format!("{} adds it up", site.node))
                }
                (true, true) => {}
            }
        }
    }
    Ok(())
}
