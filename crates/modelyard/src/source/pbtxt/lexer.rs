//! Text to tokens.

use super::parser::SyntaxError;

/// One token.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A name, a number or a word such as `true` or `TYPE_FP32`.
    Word(String),
    /// Quoted bytes with their escapes resolved.
    Text(Vec<u8>),
    /// One of `{ } < > [ ] : , ; -`.
    Mark(u8),
}

/// Tokens one by one.
pub(super) struct Lexer<'a> {
    rest: &'a [u8],
    line: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Lexer { rest: text.as_bytes(), line: 1 }
    }

    pub(super) fn line(&self) -> usize {
        self.line
    }

    pub(super) fn error(&self, message: impl Into<String>) -> SyntaxError {
        SyntaxError { line: self.line, message: message.into() }
    }

    /// The next token; `None` at the end.
    pub(super) fn token(&mut self) -> Result<Option<Token>, SyntaxError> {
        self.skip_blank();
        let Some(&first) = self.rest.first() else { return Ok(None) };
        match first {
            b'{' | b'}' | b'<' | b'>' | b'[' | b']' | b':' | b',' | b';' | b'-' => {
                self.advance(1);
                Ok(Some(Token::Mark(first)))
            }
            b'"' | b'\'' => self.text(first).map(Some),
            first if is_word(first) => {
                let end = self.rest.iter().position(|byte| !is_word(*byte));
                let word = &self.rest[..end.unwrap_or(self.rest.len())];
                let token = Token::Word(String::from_utf8_lossy(word).into_owned());
                self.advance(word.len());
                Ok(Some(token))
            }
            other => Err(self.error(format!("unexpected '{}'", other.escape_ascii()))),
        }
    }

    fn advance(&mut self, count: usize) {
        self.rest = &self.rest[count..];
    }

    fn skip_blank(&mut self) {
        let mut comment = false;
        while let Some(&byte) = self.rest.first() {
            match byte {
                b'\n' => {
                    self.line += 1;
                    comment = false;
                }
                b'#' => comment = true,
                byte if comment || byte.is_ascii_whitespace() => {}
                _ => return,
            }
            self.advance(1);
        }
    }

    fn text(&mut self, quote: u8) -> Result<Token, SyntaxError> {
        self.advance(1);
        let mut bytes = Vec::new();
        loop {
            let Some(&byte) = self.rest.first() else {
                return Err(self.error("text without a closing quote"));
            };
            self.advance(1);
            match byte {
                b'\n' => return Err(self.error("text without a closing quote")),
                b'\\' => self.escape(&mut bytes)?,
                byte if byte == quote => return Ok(Token::Text(bytes)),
                byte => bytes.push(byte),
            }
        }
    }

    fn escape(&mut self, bytes: &mut Vec<u8>) -> Result<(), SyntaxError> {
        let Some(&byte) = self.rest.first() else {
            return Err(self.error("text without a closing quote"));
        };
        self.advance(1);
        let plain = match byte {
            b'a' => 7,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 11,
            b'\\' | b'\'' | b'"' | b'?' => byte,
            b'0'..=b'7' => self.digits(8, 2, u32::from(byte - b'0'))? as u8,
            b'x' | b'X' => self.digits(16, 2, 0)? as u8,
            b'u' | b'U' => {
                let code = self.digits(16, if byte == b'u' { 4 } else { 8 }, 0)?;
                let Some(character) = char::from_u32(code) else {
                    return Err(self.error("escape that is no Unicode character"));
                };
                bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            other => {
                return Err(self.error(format!("unknown escape '\\{}'", other.escape_ascii())));
            }
        };
        bytes.push(plain);
        Ok(())
    }

    /// Up to `most` digits after those already in `value`.
    fn digits(&mut self, radix: u32, most: usize, value: u32) -> Result<u32, SyntaxError> {
        let mut value = value;
        for _ in 0..most {
            let Some(digit) = self.rest.first().and_then(|byte| char::from(*byte).to_digit(radix))
            else {
                break;
            };
            self.advance(1);
            value = value.checked_mul(radix).map_or(u32::MAX, |value| value | digit);
        }
        if radix == 8 && value > 255 {
            return Err(self.error("octal escape above 377"));
        }
        Ok(value)
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'+' | b'/')
}
