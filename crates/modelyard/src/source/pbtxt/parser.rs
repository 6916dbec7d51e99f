//! Tokens to a tree.

use super::lexer::{Lexer, Token};

/// Deepest nesting; a `config.pbtxt` needs five.
const MAX_DEPTH: usize = 32;
/// Most values in one file.
const MAX_VALUES: usize = 1 << 16;

/// What is wrong with the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub(crate) struct SyntaxError {
    /// The line, from 1.
    pub(crate) line: usize,
    /// What is wrong.
    pub(crate) message: String,
}

/// Fields in the order of the text; repeated fields are there several times.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Message {
    /// The fields.
    pub(crate) fields: Vec<Field>,
}

/// One field.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Field {
    /// Its name.
    pub(crate) name: String,
    /// Its line, from 1; 0 where there are none.
    pub(crate) line: usize,
    /// Its value. A list stands for as many fields.
    pub(crate) value: Value,
}

/// The value of a field.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// A number, word or text.
    Scalar(Scalar),
    /// Fields in braces.
    Message(Message),
}

/// A value without parts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Scalar {
    /// A number or a word, with its sign.
    Word(String),
    /// Quoted text.
    Text(Vec<u8>),
    /// A string of JSON, which may be either.
    Either(String),
}

/// Reads a whole text.
pub(crate) fn parse(text: &str) -> Result<Message, SyntaxError> {
    let mut parser = Parser { lexer: Lexer::new(text), peeked: None, values: 0 };
    let message = parser.fields(0)?;
    match parser.next()? {
        None => Ok(message),
        Some(token) => Err(parser.lexer.error(format!("unexpected {}", describe(&token)))),
    }
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    peeked: Option<Token>,
    values: usize,
}

impl Parser<'_> {
    fn next(&mut self) -> Result<Option<Token>, SyntaxError> {
        match self.peeked.take() {
            Some(token) => Ok(Some(token)),
            None => self.lexer.token(),
        }
    }

    fn peek(&mut self) -> Result<Option<&Token>, SyntaxError> {
        if self.peeked.is_none() {
            self.peeked = self.lexer.token()?;
        }
        Ok(self.peeked.as_ref())
    }

    fn eat(&mut self, mark: u8) -> Result<bool, SyntaxError> {
        let found = self.peek()? == Some(&Token::Mark(mark));
        if found {
            self.peeked = None;
        }
        Ok(found)
    }

    fn fields(&mut self, depth: usize) -> Result<Message, SyntaxError> {
        if depth > MAX_DEPTH {
            return Err(self.lexer.error(format!("nested deeper than {MAX_DEPTH}")));
        }
        let mut message = Message::default();
        while let Some(Token::Word(_)) = self.peek()? {
            let line = self.lexer.line();
            let Some(Token::Word(name)) = self.next()? else { break };
            let colon = self.eat(b':')?;
            if self.eat(b'[')? {
                self.list(&name, depth, &mut message)?;
            } else {
                let value = self.value(colon, depth)?;
                message.fields.push(Field { name, line, value });
            }
            if !self.eat(b',')? {
                self.eat(b';')?;
            }
        }
        Ok(message)
    }

    fn list(&mut self, name: &str, depth: usize, message: &mut Message) -> Result<(), SyntaxError> {
        if self.eat(b']')? {
            return Ok(());
        }
        loop {
            self.peek()?;
            let line = self.lexer.line();
            let value = self.value(true, depth)?;
            message.fields.push(Field { name: name.to_owned(), line, value });
            if self.eat(b']')? {
                return Ok(());
            }
            if !self.eat(b',')? {
                return Err(self.lexer.error("expected ',' or ']' in a list"));
            }
        }
    }

    /// A value; without a colon before it, it must be a message.
    fn value(&mut self, colon: bool, depth: usize) -> Result<Value, SyntaxError> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(self.lexer.error(format!("more than {MAX_VALUES} values")));
        }
        match self.next()? {
            Some(Token::Mark(open @ (b'{' | b'<'))) => {
                let message = self.fields(depth + 1)?;
                let close = if open == b'{' { b'}' } else { b'>' };
                if self.eat(close)? {
                    return Ok(Value::Message(message));
                }
                let found = self.found()?;
                let close = char::from(close);
                Err(self.lexer.error(format!("expected a field or '{close}', found {found}")))
            }
            Some(Token::Word(word)) if colon => Ok(Value::Scalar(Scalar::Word(word))),
            Some(Token::Mark(b'-')) if colon => match self.next()? {
                Some(Token::Word(word)) => Ok(Value::Scalar(Scalar::Word(format!("-{word}")))),
                _ => Err(self.lexer.error("expected a number after '-'")),
            },
            Some(Token::Text(mut text)) if colon => {
                while let Some(Token::Text(more)) = self.peek()? {
                    text.extend_from_slice(more);
                    self.peeked = None;
                }
                Ok(Value::Scalar(Scalar::Text(text)))
            }
            found => {
                let found = found.as_ref().map_or("the end".into(), describe);
                let expected = if colon { "a value" } else { "':' or '{'" };
                Err(self.lexer.error(format!("expected {expected}, found {found}")))
            }
        }
    }

    fn found(&mut self) -> Result<String, SyntaxError> {
        Ok(self.peek()?.map_or("the end".into(), describe))
    }
}

fn describe(token: &Token) -> String {
    match token {
        Token::Word(word) => format!("'{word}'"),
        Token::Text(_) => "text".into(),
        Token::Mark(mark) => format!("'{}'", char::from(*mark)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(name: &str, line: usize, value: &str) -> Field {
        Field { name: name.into(), line, value: Value::Scalar(Scalar::Word(value.into())) }
    }

    #[test]
    fn fields_messages_lists_and_comments() {
        let text = "# a model\nname: \"di\" 'gits'\nmax_batch_size: 8;\n\
                    input [ { dims: [ 784, -1 ] }, < dims: 1 > ]\nempty { } other: []\n";
        let message = parse(text).unwrap();
        let name = Value::Scalar(Scalar::Text(b"digits".to_vec()));
        let first = Message { fields: vec![word("dims", 4, "784"), word("dims", 4, "-1")] };
        let second = Message { fields: vec![word("dims", 4, "1")] };
        let field = |name: &str, line, value| Field { name: name.into(), line, value };
        let expected = vec![
            field("name", 2, name),
            word("max_batch_size", 3, "8"),
            field("input", 4, Value::Message(first)),
            field("input", 4, Value::Message(second)),
            field("empty", 5, Value::Message(Message::default())),
        ];
        assert_eq!(message.fields, expected);
    }

    #[test]
    fn escapes() {
        let Message { fields } = parse(r#"a: "\n\x41\101\u00e9\"\\""#).unwrap();
        let expected = "\nAA\u{e9}\"\\".as_bytes().to_vec();
        assert_eq!(fields[0].value, Value::Scalar(Scalar::Text(expected)));
    }

    #[test]
    fn mistakes_name_their_line() {
        let cases = [
            ("a: 1\nb", "line 2: expected ':' or '{', found the end"),
            ("a {\n b: 1\n", "line 3: expected a field or '}', found the end"),
            ("a: \"x\n\"", "line 1: text without a closing quote"),
            ("a: [1\n2]", "line 2: expected ',' or ']' in a list"),
            ("}", "line 1: unexpected '}'"),
            ("a: }", "line 1: expected a value, found '}'"),
            ("a: $", "line 1: unexpected '$'"),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text).unwrap_err().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let deep = "a {".repeat(100_000);
        assert_eq!(parse(&deep).unwrap_err().message, "nested deeper than 32");
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "[a-c:{}<>\\[\\],;\"'\\\\#\\n 0-9.uxé-]{0,80}") {
            let _ = parse(&text);
        }
    }
}
