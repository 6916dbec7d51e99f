//! Symbolic sizes: the text that SymPy writes of them, as people read it.
//!
//! `Add(FloorDiv(Symbol('s77', positive=True, integer=True), Integer(2)), Integer(72))` becomes
//! `s77//2 + 72`. Older files have the short form already.

use crate::pytorch::graph::Size;

/// How deep calls may nest.
const DEPTH: usize = 40;

/// The size that an expression stands for.
pub(super) fn size(text: &str) -> Size {
    let text = text.trim();
    if let Ok(value) = text.parse() {
        return Size::Known(value);
    }
    if is_word(text) {
        return Size::Symbol(text.into());
    }
    let mut parser = Parser { rest: text };
    match parser.term(DEPTH) {
        Some(Term::Integer(value)) if parser.rest.is_empty() => Size::Known(value),
        Some(Term::Symbol(name)) if parser.rest.is_empty() => Size::Symbol(name),
        Some(term) if parser.rest.is_empty() => Size::Expression(term.text()),
        _ => Size::Expression(text.into()),
    }
}

fn is_word(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && chars.all(|other| other.is_ascii_alphanumeric() || other == '_')
}

enum Term {
    Integer(i64),
    Symbol(String),
    /// Text, and whether it needs no brackets around.
    Other(String, bool),
}

impl Term {
    fn text(self) -> String {
        match self {
            Term::Integer(value) => value.to_string(),
            Term::Symbol(name) => name,
            Term::Other(text, _) => text,
        }
    }

    fn bracketed(self) -> String {
        match self {
            Term::Other(text, false) => format!("({text})"),
            other => other.text(),
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    /// A number, or a call and what it stands for.
    fn term(&mut self, depth: usize) -> Option<Term> {
        let depth = depth.checked_sub(1)?;
        self.rest = self.rest.trim_start();
        if self.rest.starts_with(|first: char| first.is_ascii_digit() || first == '-') {
            return self.word().parse().ok().map(Term::Integer);
        }
        let name = self.word();
        if name.is_empty() {
            return None;
        }
        if !self.take('(') {
            return Some(Term::Other(name.to_owned(), true));
        }
        if name == "Symbol" {
            return self.symbol();
        }
        let mut terms = Vec::new();
        while !self.take(')') {
            terms.push(self.term(depth)?);
            self.take(',');
        }
        Some(call(name, terms))
    }

    /// What follows `Symbol(`: its name and what is assumed of it.
    fn symbol(&mut self) -> Option<Term> {
        let (inside, rest) = self.rest.split_once(')')?;
        self.rest = rest;
        let quoted = inside.split(['\'', '"']).nth(1)?;
        is_word(quoted).then(|| Term::Symbol(quoted.into()))
    }

    fn word(&mut self) -> &'a str {
        let is_part = |each: char| each.is_ascii_alphanumeric() || "_.-".contains(each);
        let end = self.rest.find(|each| !is_part(each)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn take(&mut self, expected: char) -> bool {
        let trimmed = self.rest.trim_start();
        match trimmed.strip_prefix(expected) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }
}

/// Operators that have a sign.
fn call(name: &str, mut terms: Vec<Term>) -> Term {
    if name == "Integer"
        && let [Term::Integer(value)] = terms.as_slice()
    {
        return Term::Integer(*value);
    }
    let sign = match name {
        "Add" => " + ",
        "Mul" => "*",
        "Pow" => "**",
        "FloorDiv" | "CleanDiv" => "//",
        "Mod" | "PythonMod" => "%",
        _ => "",
    };
    if sign.is_empty() || terms.is_empty() {
        let inner: Vec<String> = terms.into_iter().map(Term::text).collect();
        return Term::Other(format!("{name}({})", inner.join(", ")), true);
    }
    if matches!(name, "Add" | "Mul") {
        // SymPy's order of summands and factors is its own; numbers read best at the end of sums.
        let is_number = |term: &Term| matches!(term, Term::Integer(_));
        terms.sort_by_key(|term| is_number(term) == (name == "Add"));
    }
    let inner: Vec<String> = terms.into_iter().map(Term::bracketed).collect();
    Term::Other(inner.join(sign), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(size(text).to_string(), expected);
    }

    #[test]
    fn expressions_read_as_people_write_them() {
        check("Symbol('s77', positive=True, integer=True)", "s77");
        check(
            "Add(FloorDiv(Symbol('s77', positive=True, integer=True), Integer(2)), Integer(72))",
            "(s77//2) + 72",
        );
        check("Mul(Integer(4), Symbol('s0', positive=True))", "4*s0");
        check("Max(Integer(1), Symbol('u0', integer=True))", "Max(1, u0)");
        check("Integer(-3)", "-3");
        check("s0*4", "s0*4");
        assert_eq!(size("s0"), Size::symbol("s0"));
    }

    #[test]
    fn what_is_no_expression_stays_as_it_is() {
        check("Add(Add(", "Add(Add(");
        check(&"Add(".repeat(5000), &"Add(".repeat(5000));
    }
}
