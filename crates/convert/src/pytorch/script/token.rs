//! TorchScript's source text as tokens: Python's, with lines and indentation.

use super::syntax::Fault;

/// A token.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Name(String),
    Int(i64),
    Float(f64),
    Text(String),
    /// An operator or bracket.
    Mark(&'static str),
    /// The end of a logical line.
    Newline,
    /// The next line is further in than this one.
    Indent,
    /// The next line is further out by one block.
    Dedent,
    /// The end of the file.
    End,
}

/// A token and the line it stands on, counted from 1.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) line: u32,
}

/// Longer marks before those that they begin with.
const MARKS: [&str; 38] = [
    "...", "**=", "//=", "**", "//", "->", "==", "!=", "<=", ">=", "<<", ">>", "+=", "-=", "*=",
    "/=", "(", ")", "[", "]", "{", "}", ",", ":", ".", "=", "+", "-", "*", "/", "%", "<", ">", "@",
    "&", "|", "^", "~",
];

/// Splits a file into tokens.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Fault> {
    let mut lexer = Lexer { rest: text, line: 1, depth: 0, indents: vec![0], found: Vec::new() };
    lexer.run()?;
    Ok(lexer.found)
}

struct Lexer<'t> {
    rest: &'t str,
    line: u32,
    /// How many brackets are open: lines do not end within them.
    depth: usize,
    /// Columns of the blocks that are open.
    indents: Vec<usize>,
    found: Vec<Token>,
}

impl Lexer<'_> {
    fn run(&mut self) -> Result<(), Fault> {
        self.indentation()?;
        while let Some(next) = self.rest.chars().next() {
            match next {
                '\n' => self.newline()?,
                ' ' | '\t' | '\r' => self.skip(1),
                '\\' if self.rest.starts_with("\\\n") => {
                    self.skip(2);
                    self.line += 1;
                }
                '#' => self.skip(self.rest.find('\n').unwrap_or(self.rest.len())),
                '"' | '\'' => self.text(next)?,
                '0'..='9' => self.number()?,
                '.' if self.rest[1..].starts_with(|next: char| next.is_ascii_digit()) => {
                    self.number()?;
                }
                _ if next.is_alphabetic() || next == '_' => self.name(),
                _ => self.mark()?,
            }
        }
        if !matches!(self.found.last(), None | Some(Token { kind: Kind::Newline, .. })) {
            self.push(Kind::Newline);
        }
        for _ in 1..self.indents.len() {
            self.push(Kind::Dedent);
        }
        self.push(Kind::End);
        Ok(())
    }

    fn push(&mut self, kind: Kind) {
        self.found.push(Token { kind, line: self.line });
    }

    fn fault(&self, message: impl Into<String>) -> Fault {
        Fault { line: self.line, message: message.into() }
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or("");
    }

    fn newline(&mut self) -> Result<(), Fault> {
        if self.depth == 0 {
            if !matches!(
                self.found.last().map(|token| &token.kind),
                None | Some(Kind::Newline | Kind::Indent | Kind::Dedent)
            ) {
                self.push(Kind::Newline);
            }
            self.skip(1);
            self.line += 1;
            return self.indentation();
        }
        self.skip(1);
        self.line += 1;
        Ok(())
    }

    /// At the start of a line: how far it is in. Empty lines count for nothing.
    fn indentation(&mut self) -> Result<(), Fault> {
        let width = self.rest.len() - self.rest.trim_start_matches([' ', '\t', '\r']).len();
        let after = self.rest.get(width..).unwrap_or("");
        if after.is_empty() || after.starts_with(['\n', '#']) {
            self.skip(width);
            return Ok(());
        }
        self.skip(width);
        let current = self.indents.last().copied().unwrap_or(0);
        if width > current {
            self.indents.push(width);
            self.push(Kind::Indent);
        }
        while self.indents.last().is_some_and(|&open| open > width) {
            self.indents.pop();
            self.push(Kind::Dedent);
        }
        match self.indents.last() == Some(&width) {
            true => Ok(()),
            false => Err(self.fault("the line is indented like no block around it")),
        }
    }

    fn name(&mut self) {
        let end = self.rest.find(|next: char| !next.is_alphanumeric() && next != '_');
        let (name, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.push(Kind::Name(name.to_owned()));
        self.rest = rest;
    }

    fn number(&mut self) -> Result<(), Fault> {
        let bytes = self.rest.as_bytes();
        let digits = |from: usize| {
            let count = bytes.iter().skip(from).take_while(|byte| byte.is_ascii_digit()).count();
            from + count
        };
        let mut end = digits(0);
        let mut is_float = false;
        if bytes.get(end) == Some(&b'.') {
            is_float = true;
            end = digits(end + 1);
        }
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            if bytes.get(end + 1 + sign).is_some_and(u8::is_ascii_digit) {
                is_float = true;
                end = digits(end + 1 + sign);
            }
        }
        let (text, rest) = self.rest.split_at(end);
        let wrong = || self.fault(format!("'{text}' is no number"));
        if rest.starts_with('j') {
            return Err(self.fault("complex numbers have no counterpart"));
        }
        let kind = match is_float {
            true => Kind::Float(text.parse().map_err(|_| wrong())?),
            // The smallest integer is written with a sign before it.
            false if text == "9223372036854775808" => Kind::Int(i64::MIN),
            false => Kind::Int(text.parse().map_err(|_| wrong())?),
        };
        self.push(kind);
        self.rest = rest;
        Ok(())
    }

    fn text(&mut self, quote: char) -> Result<(), Fault> {
        let mut text = Vec::new();
        let mut chars = self.rest.char_indices().skip(1);
        loop {
            let Some((at, next)) = chars.next() else {
                return Err(self.fault("a text has no end"));
            };
            match next {
                _ if next == quote => {
                    self.skip(at + 1);
                    break;
                }
                '\n' => return Err(self.fault("a text has no end")),
                '\\' => match chars.next() {
                    Some((_, escaped)) => self.escape(escaped, &mut chars, &mut text)?,
                    None => return Err(self.fault("a text has no end")),
                },
                _ => text.extend(next.encode_utf8(&mut [0; 4]).bytes()),
            }
        }
        self.push(Kind::Text(String::from_utf8_lossy(&text).into_owned()));
        Ok(())
    }

    fn escape(
        &self,
        escaped: char,
        chars: &mut std::iter::Skip<std::str::CharIndices<'_>>,
        text: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let plain = match escaped {
            'n' => b'\n',
            't' => b'\t',
            'r' => b'\r',
            'a' => 7,
            'b' => 8,
            'f' => 12,
            'v' => 11,
            '0'..='7' => {
                // Three octal digits, as PyTorch writes them.
                let mut value = escaped.to_digit(8).unwrap_or(0);
                for _ in 0..2 {
                    let digit = chars.next().and_then(|(_, next)| next.to_digit(8));
                    let digit =
                        digit.ok_or_else(|| self.fault("an escape of a text is cut off"))?;
                    value = value * 8 + digit;
                }
                value as u8
            }
            'x' => {
                let mut value = 0;
                for _ in 0..2 {
                    let digit = chars.next().and_then(|(_, next)| next.to_digit(16));
                    let digit =
                        digit.ok_or_else(|| self.fault("an escape of a text is cut off"))?;
                    value = value * 16 + digit;
                }
                value as u8
            }
            other => {
                text.extend(other.encode_utf8(&mut [0; 4]).bytes());
                return Ok(());
            }
        };
        text.push(plain);
        Ok(())
    }

    fn mark(&mut self) -> Result<(), Fault> {
        let Some(mark) = MARKS.iter().find(|mark| self.rest.starts_with(**mark)) else {
            let found = self.rest.chars().next().unwrap_or(' ');
            return Err(self.fault(format!("'{}' is not expected here", found.escape_default())));
        };
        match *mark {
            "(" | "[" | "{" => self.depth += 1,
            ")" | "]" | "}" => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        self.push(Kind::Mark(mark));
        self.skip(mark.len());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Kind> {
        tokens(text).unwrap().into_iter().map(|token| token.kind).collect()
    }

    #[test]
    fn numbers_and_texts_are_what_they_say() {
        let found = kinds("a = [1, 1.5e-05, .5, \"a\\n\\\"\\303\\244\"]");
        let numbers: Vec<&Kind> = found
            .iter()
            .filter(|kind| matches!(kind, Kind::Int(_) | Kind::Float(_) | Kind::Text(_)))
            .collect();
        let text = Kind::Text("a\n\"ä".into());
        assert_eq!(numbers, [&Kind::Int(1), &Kind::Float(1.5e-5), &Kind::Float(0.5), &text]);
    }

    #[test]
    fn blocks_begin_and_end() {
        let found = kinds("if a:\n  b\n\n  c(\n1)\nd\n");
        let blocks = found.iter().filter(|kind| matches!(kind, Kind::Indent | Kind::Dedent));
        assert_eq!(blocks.collect::<Vec<_>>(), [&Kind::Indent, &Kind::Dedent]);
        assert_eq!(found.iter().filter(|kind| **kind == Kind::Newline).count(), 4);
        assert!(tokens("if a:\n    b\n  c\n").is_err());
    }

    #[test]
    fn what_is_cut_off_is_an_error() {
        for text in ["\"a", "\"a\\", "\"\\30", "1.5j", "a $ b", "99999999999999999999"] {
            assert!(tokens(text).is_err(), "{text}");
        }
    }
}
