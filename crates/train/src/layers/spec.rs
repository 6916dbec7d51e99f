//! Layers as they are written: names with arguments.
//!
//! ```text
//! layers    = layer { "," layer }
//! layer     = name [ "(" [ argument { "," argument } ] ")" ]
//! argument  = [ name "=" ] ( number | name | layer )
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};

use super::LayerError;

/// Layers inside layers at most.
const DEPTH_MAX: usize = 16;

/// Layers of one description at most.
const LAYERS_MAX: usize = 4096;

/// One layer as it is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerSpec {
    /// Its kind, such as `dense`.
    pub name: String,
    /// Arguments without a name, in order.
    pub positional: Vec<Argument>,
    /// Arguments with a name.
    pub named: Vec<(String, Argument)>,
}

/// What stands between the parentheses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Argument {
    /// A number.
    Number(f64),
    /// A word: an activation, a kind of padding, true or false.
    Word(String),
    /// A layer with arguments of its own.
    Layer(LayerSpec),
}

impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Argument::Number(number) => number.fmt(f),
            Argument::Word(word) => f.write_str(word),
            Argument::Layer(layer) => layer.fmt(f),
        }
    }
}

/// As it is written.
impl fmt::Display for LayerSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        let positional = self.positional.iter().map(Argument::to_string);
        let named = self.named.iter().map(|(name, argument)| format!("{name}={argument}"));
        let arguments: Vec<String> = positional.chain(named).collect();
        if arguments.is_empty() { Ok(()) } else { write!(f, "({})", arguments.join(", ")) }
    }
}

/// Reads layers as they are written on the command line.
pub fn parse(text: &str) -> Result<Vec<LayerSpec>, LayerError> {
    let mut parser = Parser { text, position: 0, layers: 0 };
    let mut layers = Vec::new();
    loop {
        layers.push(parser.layer(0)?);
        match parser.next_char() {
            None => return Ok(layers),
            Some(',') => parser.position += 1,
            Some(_) => return Err(parser.expected("',' or the end")),
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    /// In bytes, always at the start of a character.
    position: usize,
    layers: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.position..]
    }

    /// The next character that is no white space.
    fn next_char(&mut self) -> Option<char> {
        let rest = self.rest();
        self.position += rest.len() - rest.trim_start().len();
        self.rest().chars().next()
    }

    fn expected(&self, what: &str) -> LayerError {
        let found: String = self.rest().chars().take(20).collect();
        let found = if found.is_empty() { "the end".into() } else { format!("'{found}'") };
        LayerError::new(format!(
            "layers: expected {what} at character {}, found {found}",
            self.position + 1
        ))
    }

    fn layer(&mut self, depth: usize) -> Result<LayerSpec, LayerError> {
        let name = self.word()?;
        self.arguments(name, depth)
    }

    /// A run of letters, digits, `_` and `-`.
    fn word(&mut self) -> Result<String, LayerError> {
        self.next_char();
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"_-.".contains(c));
        let word = &rest[..end.unwrap_or(rest.len())];
        if word.is_empty() {
            return Err(self.expected("a name or number"));
        }
        self.position += word.len();
        Ok(word.to_owned())
    }

    fn arguments(&mut self, name: String, depth: usize) -> Result<LayerSpec, LayerError> {
        self.layers += 1;
        if depth > DEPTH_MAX || self.layers > LAYERS_MAX {
            return Err(LayerError::new(format!(
                "layers: expected at most {LAYERS_MAX} layers, {DEPTH_MAX} inside each other"
            )));
        }
        let mut layer = LayerSpec { name, positional: Vec::new(), named: Vec::new() };
        if self.next_char() != Some('(') {
            return Ok(layer);
        }
        self.position += 1;
        if self.next_char() == Some(')') {
            self.position += 1;
            return Ok(layer);
        }
        loop {
            let word = self.word()?;
            if self.next_char() == Some('=') {
                self.position += 1;
                let value = self.word()?;
                let value = self.argument(value, depth)?;
                layer.named.push((word, value));
            } else {
                let argument = self.argument(word, depth)?;
                layer.positional.push(argument);
            }
            match self.next_char() {
                Some(',') => self.position += 1,
                Some(')') => {
                    self.position += 1;
                    return Ok(layer);
                }
                _ => return Err(self.expected("',' or ')'")),
            }
        }
    }

    fn argument(&mut self, word: String, depth: usize) -> Result<Argument, LayerError> {
        if self.next_char() == Some('(') {
            return Ok(Argument::Layer(self.arguments(word, depth + 1)?));
        }
        match word.parse::<f64>() {
            // Words such as `inf` and `nan` are numbers to Rust.
            Ok(number) if number.is_finite() => Ok(Argument::Number(number)),
            _ => Ok(Argument::Word(word)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_it_writes() {
        let text = "dense(128, relu), residual(conv2d(8, 3, padding=same), batchnorm, \
                    activation=relu), dropout(0.5), flatten";
        let layers = parse(text).unwrap();
        let written: Vec<String> = layers.iter().map(LayerSpec::to_string).collect();
        assert_eq!(written.join(", "), text);
        assert_eq!(layers[0].positional[0], Argument::Number(128.0));
        assert_eq!(layers[1].named[0].0, "activation");
        assert_eq!(parse(" dense ( 1 ) ,flatten()").unwrap().len(), 2);
    }

    #[test]
    fn mistakes_are_pointed_at() {
        let check = |text: &str, expected: &str| {
            assert_eq!(
                parse(text).unwrap_err().to_string(),
                format!("layers: expected {expected}")
            );
        };
        check("dense(128", "',' or ')' at character 10, found the end");
        check("dense(128) relu", "',' or the end at character 12, found 'relu'");
        check("dense(,)", "a name or number at character 7, found ',)'");
        check("", "a name or number at character 1, found the end");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[a-z0-9(),= é]{0,40}") {
            let _ = parse(&text);
        }

        #[test]
        fn deep_nesting_is_refused(depth in 17usize..2000) {
            let text = "residual(".repeat(depth);
            prop_assert!(parse(&text).is_err());
        }
    }
}
