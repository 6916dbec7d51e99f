//! From text to statements. Nothing is executed; blocks and brackets nest only so deep.

use std::rc::Rc;

use super::syntax::{Fault, File};
use super::token::{Kind, Token, tokens};

/// How deep blocks and brackets may nest.
const DEPTH: usize = 100;

/// How high the tree of an expression may be: whoever walks it, or drops it, goes as deep.
const HEIGHT: usize = 250;

pub(super) type Result<T> = std::result::Result<T, Fault>;

/// Parses a file.
pub(super) fn parse(text: &str) -> Result<File> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0, height: 0 };
    let mut file = File::default();
    loop {
        if parser.skip_kind(&Kind::End) {
            return Ok(file);
        }
        if parser.skip_kind(&Kind::Newline) {
            continue;
        }
        match parser.peek_name() {
            Some("class") => file.classes.push(Rc::new(parser.class()?)),
            Some("def") => file.functions.push(Rc::new(parser.function()?)),
            // `op_version_set = 1`, `import ...` of old versions.
            Some("op_version_set" | "import" | "from") => parser.skip_line(),
            _ => return Err(parser.unexpected("a class or function")),
        }
    }
}

pub(super) struct Parser {
    tokens: Vec<Token>,
    pub(super) at: usize,
    depth: usize,
    /// How high the tree of the expression is that was parsed last.
    pub(super) height: usize,
}

impl Parser {
    pub(super) fn peek(&self) -> &Kind {
        self.ahead(0)
    }

    pub(super) fn ahead(&self, by: usize) -> &Kind {
        self.tokens.get(self.at + by).map_or(&Kind::End, |token| &token.kind)
    }

    pub(super) fn peek_name(&self) -> Option<&str> {
        match self.peek() {
            Kind::Name(name) => Some(name),
            _ => None,
        }
    }

    pub(super) fn line(&self) -> u32 {
        let token = self.tokens.get(self.at).or_else(|| self.tokens.last());
        token.map_or(0, |token| token.line)
    }

    pub(super) fn next(&mut self) -> Kind {
        let kind = self.peek().clone();
        self.at += 1;
        kind
    }

    pub(super) fn skip_kind(&mut self, kind: &Kind) -> bool {
        let found = self.peek() == kind;
        self.at += usize::from(found);
        found
    }

    pub(super) fn skip(&mut self, mark: &str) -> bool {
        let found = matches!(self.peek(), Kind::Mark(other) if *other == mark);
        self.at += usize::from(found);
        found
    }

    pub(super) fn skip_word(&mut self, word: &str) -> bool {
        let found = self.peek_name() == Some(word);
        self.at += usize::from(found);
        found
    }

    pub(super) fn is(&self, mark: &str) -> bool {
        matches!(self.peek(), Kind::Mark(other) if *other == mark)
    }

    pub(super) fn expect(&mut self, mark: &str) -> Result<()> {
        if self.skip(mark) { Ok(()) } else { Err(self.unexpected(&format!("'{mark}'"))) }
    }

    pub(super) fn name(&mut self) -> Result<String> {
        match self.peek() {
            Kind::Name(name) => {
                let name = name.clone();
                self.at += 1;
                Ok(name)
            }
            _ => Err(self.unexpected("a name")),
        }
    }

    pub(super) fn skip_line(&mut self) {
        while !matches!(self.peek(), Kind::Newline | Kind::End) {
            self.at += 1;
        }
    }

    pub(super) fn fault(&self, message: impl Into<String>) -> Fault {
        Fault { line: self.line(), message: message.into() }
    }

    pub(super) fn unexpected(&self, expected: &str) -> Fault {
        let found = match self.peek() {
            Kind::Name(name) => format!("'{name}'"),
            Kind::Int(value) => value.to_string(),
            Kind::Float(value) => value.to_string(),
            Kind::Text(_) => "a text".into(),
            Kind::Mark(mark) => format!("'{mark}'"),
            Kind::Newline => "the end of the line".into(),
            Kind::Indent => "a block".into(),
            Kind::Dedent => "the end of the block".into(),
            Kind::End => "the end of the file".into(),
        };
        self.fault(format!("expected {expected}, found {found}"))
    }

    /// Runs a step one level deeper.
    pub(super) fn deeper<T>(&mut self, step: impl FnOnce(&mut Parser) -> Result<T>) -> Result<T> {
        if self.depth == DEPTH {
            return Err(self.fault(format!("it nests deeper than {DEPTH} levels")));
        }
        self.depth += 1;
        let result = step(self);
        self.depth -= 1;
        result
    }

    /// The expression parsed last stands below another one, beside some of this height.
    pub(super) fn above(&mut self, height: usize) -> Result<()> {
        self.height = self.height.max(height) + 1;
        match self.height > HEIGHT {
            true => Err(self.fault(format!("an expression nests deeper than {HEIGHT} levels"))),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::syntax::{Expression, What};
    use super::*;

    const CODE: &str = "\
class Net(Module):
  __parameters__ = [\"weight\", ]
  __buffers__ = []
  training : bool
  __annotations__[\"0\"] = __torch__.torch.nn.modules.conv.Conv2d
  dim : Final[int] = 1
  def forward(self: __torch__.Net,
    x: Tensor,
    state: Optional[Tensor]=None) -> Tuple[Tensor, int]:
    _0 = annotate(List[int], [])
    a, b, = torch.chunk(x, 2, dim=1)
    c : Optional[Tensor] = a
    if torch.gt((torch.size(x))[-1], 1):
      d = (getattr(self, \"0\")).forward(x, )
    else:
      ops.prim.RaiseException(\"no\")
      d = x
    for i in range(3):
      _1 = torch.append(_0, -i)
    return (d, len(_0))
def f(x: float=-inf) -> float:
  return x
";

    #[test]
    fn a_file_is_understood() {
        let file = parse(CODE).unwrap();
        let class = &file.classes[0];
        assert_eq!((class.name.as_str(), class.base.as_str()), ("Net", "Module"));
        let fields: Vec<&str> = class.fields.iter().map(|field| field.name.as_str()).collect();
        assert_eq!(fields, ["__parameters__", "__buffers__", "training", "0", "dim"]);
        let forward = class.method("forward").unwrap();
        assert_eq!(forward.parameters.len(), 3);
        assert_eq!(forward.parameters[2].default, Some(Expression::None));
        assert_eq!(forward.body.len(), 6);
        assert!(
            matches!(&forward.body[1].what, What::Assign(Expression::Tuple(both), _) if both.len() == 2)
        );
        assert!(
            matches!(&forward.body[3].what, What::If(_, yes, no) if yes.len() == 1 && no.len() == 2)
        );
        assert_eq!(file.functions[0].name, "f");
    }

    #[test]
    fn what_nests_without_end_is_refused() {
        let error = parse(&format!("def f():\n  a = {}", "(".repeat(100_000))).unwrap_err();
        assert!(error.message.contains("nests deeper"), "{}", error.message);
        let error = parse(&format!("def f():\n  a = {}1", "-".repeat(100_000))).unwrap_err();
        assert!(error.message.contains("nests deeper"), "{}", error.message);
        let mut text = String::from("def f():\n");
        for depth in 1..1000 {
            text.push_str(&format!("{}if a:\n", " ".repeat(depth)));
        }
        assert!(parse(&text).unwrap_err().message.contains("nests deeper"));
    }

    #[test]
    fn trees_fit_a_small_stack() {
        // Brackets, chains of terms and of links each within their bound, and above each other.
        let chain = |inner: &str| format!("({inner}{})", "+a".repeat(40));
        let links = |inner: &str| format!("({inner}{})", ".b".repeat(40));
        for level in [chain as fn(&str) -> String, links] {
            let nested = (0..60).fold("a".to_owned(), |inner, _| level(&inner));
            let text = format!("def f():\n  return {nested}\n");
            let small = std::thread::Builder::new().stack_size(2 << 20);
            let error = small.spawn(move || parse(&text).unwrap_err()).unwrap().join().unwrap();
            assert_eq!(error.message, "an expression nests deeper than 250 levels");
        }
        let deep = format!("def f():\n  return {}a{}\n", "(".repeat(90), ")".repeat(90));
        let small = std::thread::Builder::new().stack_size(2 << 20);
        assert!(small.spawn(move || parse(&deep).is_ok()).unwrap().join().unwrap());
    }

    proptest! {
        #[test]
        fn damaged_text_does_no_harm(at in 0..CODE.len(), byte: u8, cut: bool) {
            let mut bytes = CODE.as_bytes().to_vec();
            if cut { bytes.truncate(at) } else { bytes[at] ^= byte }
            if let Ok(text) = String::from_utf8(bytes) {
                let _ = parse(&text);
            }
        }

        #[test]
        fn random_text_does_no_harm(words in proptest::collection::vec(proptest::sample::select(&[
            "def ", "class ", "f", "(", ")", ":", "\n", "\n  ", "\n    ", "if ", "else", "for ", "in ",
            "return ", "=", ",", "[", "]", "{", "}", "-", "not ", "1", "1.5", "\"a\"", ".", "and ", "*",
        ][..]), 0..60)) {
            let _ = parse(&words.concat());
        }
    }
}
