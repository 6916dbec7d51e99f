//! A cursor over a JSON text.

use std::borrow::Cow;
use std::fmt;

/// What is wrong with a JSON text, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JsonError {
    /// Bytes before the place.
    pub(crate) at: usize,
    /// Lower-case text that says what was expected or found.
    pub(crate) what: Cow<'static, str>,
    /// Whether it is JSON all the same, only not what is expected there.
    pub(crate) is_json: bool,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.what, self.at)
    }
}

/// A cursor over a JSON text: takes one token after another, no tree, no copy.
///
/// A copy of it is a bookmark.
#[derive(Clone, Copy)]
pub(crate) struct Scanner<'a> {
    pub(super) rest: &'a [u8],
    whole: usize,
    /// How much deeper the text may nest.
    depth: usize,
}

impl<'a> Scanner<'a> {
    /// A cursor at the start of `text`, which may nest `depth` deep.
    pub(crate) fn new(text: &'a [u8], depth: usize) -> Self {
        Scanner { rest: text, whole: text.len(), depth }
    }

    /// Bytes taken so far.
    pub(crate) fn at(&self) -> usize {
        self.whole - self.rest.len()
    }

    /// What is no JSON at this place.
    #[cold]
    pub(super) fn error(&self, what: impl Into<Cow<'static, str>>) -> JsonError {
        JsonError { at: self.at(), what: what.into(), is_json: false }
    }

    /// What is JSON at this place, but does not fit.
    #[cold]
    pub(crate) fn misfit(&self, what: impl Into<Cow<'static, str>>) -> JsonError {
        JsonError { at: self.at(), what: what.into(), is_json: true }
    }

    /// The cursor at the place where only `rest` is left.
    pub(super) fn at_rest(&self, rest: &'a [u8]) -> Self {
        Scanner { rest, ..*self }
    }

    /// Punctuation was expected here.
    #[cold]
    pub(super) fn expected(&self, what: &str) -> JsonError {
        match self.rest.first() {
            None => self.error(format!("expected {what}, but the text ends")),
            Some(byte) => self.error(format!("expected {what}, found '{}'", shown(&[*byte]))),
        }
    }

    /// A value of some kind was expected here.
    #[cold]
    pub(super) fn expected_value(&self, what: &str) -> JsonError {
        match self.value() {
            Ok(found) => self.misfit(format!("expected {what}, found '{}'", shown(found))),
            Err(error) if error.is_json => error,
            Err(_) => self.expected(what),
        }
    }

    /// The text of the value that stands here, if one does.
    #[cold]
    pub(super) fn value(&self) -> Result<&'a [u8], JsonError> {
        let mut after = *self;
        after.skip()?;
        Ok(&self.rest[..self.rest.len() - after.rest.len()])
    }

    /// Skips white space and looks at the byte behind it; 0 at the end of the text.
    #[inline(always)]
    pub(crate) fn peek(&mut self) -> u8 {
        loop {
            match self.rest {
                [b' ' | b'\n' | b'\r' | b'\t', tail @ ..] => self.rest = tail,
                [byte, ..] => return *byte,
                [] => return 0,
            }
        }
    }

    /// Takes the byte `token` if it comes next, after white space.
    #[inline(always)]
    pub(crate) fn take(&mut self, token: u8) -> bool {
        let found = self.peek() == token && !self.rest.is_empty();
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }

    /// Nothing but white space may be left.
    pub(crate) fn end(&mut self) -> Result<(), JsonError> {
        self.peek();
        if self.rest.is_empty() { Ok(()) } else { Err(self.expected("the end of the text")) }
    }

    /// One level deeper.
    #[inline(always)]
    pub(super) fn descend(&mut self) -> Result<(), JsonError> {
        match self.depth.checked_sub(1) {
            Some(depth) => self.depth = depth,
            None => return Err(self.misfit("arrays and objects nest deeper than allowed")),
        }
        Ok(())
    }

    /// One level up again.
    #[inline(always)]
    pub(super) fn ascend(&mut self) {
        self.depth += 1;
    }

    /// Takes an object: calls `member` for each key with the cursor before the value, which
    /// `member` takes.
    pub(crate) fn object<E: From<JsonError>>(
        &mut self,
        mut member: impl FnMut(&mut Self, &str) -> Result<(), E>,
    ) -> Result<(), E> {
        if !self.take(b'{') {
            return Err(self.expected_value("'{'").into());
        }
        self.descend()?;
        if !self.take(b'}') {
            loop {
                if !self.take(b'"') {
                    return Err(self.expected("'\"'").into());
                }
                let key = self.string_behind_quote()?;
                if !self.take(b':') {
                    return Err(self.expected("':'").into());
                }
                self.peek();
                member(self, &key)?;
                if !self.take(b',') {
                    break;
                }
            }
            if !self.take(b'}') {
                return Err(self.expected("',' or '}'").into());
            }
        }
        self.ascend();
        Ok(())
    }

    /// Takes an array: calls `item` before each element, which `item` takes.
    pub(crate) fn items<E: From<JsonError>>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        if !self.take(b'[') {
            return Err(self.expected_value("'['").into());
        }
        self.descend()?;
        if !self.take(b']') {
            loop {
                self.peek();
                item(self)?;
                if !self.take(b',') {
                    break;
                }
            }
            if !self.take(b']') {
                return Err(self.expected("',' or ']'").into());
            }
        }
        self.ascend();
        Ok(())
    }

    /// Takes a string.
    pub(crate) fn string(&mut self) -> Result<Cow<'a, str>, JsonError> {
        if !self.take(b'"') {
            return Err(self.expected_value("a string"));
        }
        self.string_behind_quote()
    }

    #[inline(always)]
    fn string_behind_quote(&mut self) -> Result<Cow<'a, str>, JsonError> {
        let start = *self;
        let plain = self.rest.iter().position(|&byte| matches!(byte, b'"' | b'\\' | 0..0x20));
        match plain.map(|end| (end, self.rest[end])) {
            Some((end, b'"')) => {
                let text = &self.rest[..end];
                self.rest = &self.rest[end + 1..];
                let text = std::str::from_utf8(text);
                text.map(Cow::Borrowed).map_err(|_| start.error("the string is no UTF-8"))
            }
            Some((_, b'\\')) => self.escaped_string().map(Cow::Owned),
            Some((end, _)) => {
                self.rest = &self.rest[end..];
                Err(self.error("a control character stands in a string unescaped"))
            }
            None => Err(start.error("the string does not end")),
        }
    }

    /// The rest of a string that has escapes.
    #[cold]
    fn escaped_string(&mut self) -> Result<String, JsonError> {
        let start = *self;
        let mut text = Vec::new();
        loop {
            let [byte, tail @ ..] = self.rest else {
                return Err(start.error("the string does not end"));
            };
            match byte {
                b'"' => {
                    self.rest = tail;
                    let text = String::from_utf8(text);
                    return text.map_err(|_| start.error("the string is no UTF-8"));
                }
                b'\\' => {
                    let mut utf8 = [0; 4];
                    let character = self.escape()?;
                    text.extend_from_slice(character.encode_utf8(&mut utf8).as_bytes());
                }
                0..0x20 => {
                    return Err(self.error("a control character stands in a string unescaped"));
                }
                _ => {
                    text.push(*byte);
                    self.rest = tail;
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let start = *self;
        let [b'\\', letter, tail @ ..] = self.rest else {
            return Err(self.expected("an escape"));
        };
        self.rest = tail;
        Ok(match letter {
            b'"' | b'\\' | b'/' => char::from(*letter),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => self.code_point().ok_or_else(|| start.error("invalid \\u escape"))?,
            _ => return Err(start.error("unknown escape in a string")),
        })
    }

    /// What follows `\u`, with a second escape where the first is half of a pair.
    fn code_point(&mut self) -> Option<char> {
        let high = self.hex4()?;
        if !(0xd800..0xdc00).contains(&high) {
            return char::from_u32(high);
        }
        self.rest = self.rest.strip_prefix(b"\\u")?;
        let low = self.hex4().filter(|low| (0xdc00..0xe000).contains(low))?;
        char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00))
    }

    fn hex4(&mut self) -> Option<u32> {
        let (digits, tail) = self.rest.split_first_chunk::<4>()?;
        self.rest = tail;
        digits
            .iter()
            .try_fold(0, |value, &digit| Some(value << 4 | char::from(digit).to_digit(16)?))
    }

    /// Takes an unsigned integer.
    pub(crate) fn unsigned(&mut self, what: &str) -> Result<u64, JsonError> {
        self.peek();
        let start = *self;
        super::Number::take(&mut self.rest)
            .map_err(|_| start.expected_value(&format!("{what} as an unsigned integer")))
    }

    /// Takes a number; `None` for one that is no integer of 64 bits.
    pub(crate) fn integer(&mut self) -> Result<Option<i128>, JsonError> {
        self.peek();
        let (mut signed, mut unsigned) = (self.rest, self.rest);
        if let Ok(number) = <i64 as super::Number>::take(&mut signed) {
            self.rest = signed;
            return Ok(Some(number.into()));
        }
        if let Ok(number) = <u64 as super::Number>::take(&mut unsigned) {
            self.rest = unsigned;
            return Ok(Some(number.into()));
        }
        self.skip().map(|()| None)
    }

    /// Takes `true` or `false`.
    pub(crate) fn boolean(&mut self, what: &str) -> Result<bool, JsonError> {
        self.peek();
        for (token, value) in [(&b"true"[..], true), (b"false", false)] {
            if let Some(tail) = self.rest.strip_prefix(token) {
                self.rest = tail;
                return Ok(value);
            }
        }
        Err(self.expected_value(&format!("{what} as true or false")))
    }

    /// Takes any value and forgets it.
    pub(crate) fn skip(&mut self) -> Result<(), JsonError> {
        match self.peek() {
            b'{' => self.object(|scanner, _| scanner.skip()),
            b'[' => self.items(Scanner::skip),
            b'"' => self.string().map(drop),
            _ => self.skip_scalar(),
        }
    }

    fn skip_scalar(&mut self) -> Result<(), JsonError> {
        for token in [&b"null"[..], b"true", b"false", b"NaN", b"Infinity", b"-Infinity"] {
            if let Some(tail) = self.rest.strip_prefix(token) {
                self.rest = tail;
                return Ok(());
            }
        }
        let start = *self;
        // A number out of range is still a number.
        match <f64 as super::Number>::take(&mut self.rest) {
            Ok(_) | Err(super::Misfit::Range) => Ok(()),
            Err(_) => Err(start.expected("a value")),
        }
    }
}

/// Text of a client's, cut and without control characters. Quotes stay as they are: whoever
/// prints the message escapes them.
pub(super) fn shown(text: &[u8]) -> String {
    const SHOWN: usize = 32;
    let mut shown = String::new();
    for character in String::from_utf8_lossy(&text[..text.len().min(SHOWN)]).chars() {
        match character.is_control() {
            true => shown.extend(character.escape_default()),
            false => shown.push(character),
        }
    }
    if text.len() > SHOWN {
        shown.push_str("...");
    }
    shown
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn skip(text: &[u8]) -> Result<(), JsonError> {
        let mut scanner = Scanner::new(text, 16);
        scanner.skip()?;
        scanner.end()
    }

    #[test]
    fn unescapes_strings() {
        let text = br#" "a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00z" "#;
        let found = Scanner::new(text, 1).string();
        assert_eq!(found.as_deref(), Ok("a\"\\/\u{8}\u{c}\n\r\t\u{e9}\u{1f600}z"));
    }

    #[test]
    fn refuses_what_is_no_string() {
        let cases: [&[u8]; 9] = [
            b"",
            b"a",
            b"\"a",
            b"\"\n\"",
            b"\"\\n\n\"",
            b"\"\\x\"",
            b"\"\\ud800\"",
            b"\"\\udc00\\ud800\"",
            b"\"\xff\"",
        ];
        for text in cases {
            assert!(Scanner::new(text, 1).string().is_err(), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn says_where_and_what() {
        let error = skip(br#"{"a": [1, 2}"#).expect_err("a bracket is missing");
        assert_eq!(error.to_string(), "expected ',' or ']', found '}' at byte 11");
        let error = skip(br#"{"a": tru"#).expect_err("cut off");
        assert_eq!(error.to_string(), "expected a value, found 't' at byte 6");
    }

    #[test]
    fn whole_tokens_are_shown() {
        let dimension = |text: &str| {
            let error = Scanner::new(text.as_bytes(), 1).unsigned("a dimension").unwrap_err();
            (error.is_json, error.what.into_owned())
        };
        let found = |text| (true, format!("expected a dimension as an unsigned integer, {text}"));
        assert_eq!(dimension("1.5,"), found("found '1.5'"));
        assert_eq!(dimension("18446744073709551616]"), found("found '18446744073709551616'"));
        assert_eq!(dimension("\"a \\\" b\"]"), found("found '\"a \\\" b\"'"));
        assert!(!dimension("x").0);
    }

    #[test]
    fn stops_at_the_depth_allowed() {
        assert_eq!(skip("[".repeat(16).as_bytes()).map_err(|e| e.at), Err(16));
        let nested = |depth: usize| ["[".repeat(depth), "]".repeat(depth)].concat();
        assert_eq!(skip(nested(16).as_bytes()), Ok(()));
        let error = skip(nested(17).as_bytes()).expect_err("too deep");
        assert_eq!(error.to_string(), "arrays and objects nest deeper than allowed at byte 17");
        assert!(skip(b"{\"a\":".repeat(100_000).as_slice()).is_err());
    }

    proptest! {
        #[test]
        fn accepts_exactly_what_serde_json_accepts(
            text in "[\\[\\]{},:\"\\\\a0-9.eEtruflsn +-]{0,24}"
        ) {
            // A lone surrogate or a number beyond f64 is where they differ; neither is made here
            // but the latter by a long exponent.
            let other = serde_json::from_str::<serde_json::Value>(&text);
            let ours = skip(text.as_bytes());
            match other {
                Ok(_) => prop_assert!(ours.is_ok(), "{text} {ours:?}"),
                Err(error) => prop_assert!(
                    ours.is_err() || error.to_string().contains("out of range"),
                    "{} {}", text, error
                ),
            }
        }

        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = skip(&bytes);
        }

        #[test]
        fn every_string_survives(text: String) {
            let json = serde_json::to_string(&text).expect("strings have JSON");
            let back = Scanner::new(json.as_bytes(), 1).string();
            prop_assert_eq!(back.as_deref(), Ok(&*text));
        }
    }
}
