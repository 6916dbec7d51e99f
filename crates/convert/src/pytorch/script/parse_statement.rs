//! From tokens to classes, functions and statements.

use std::rc::Rc;

use super::parse::{Parser, Result};
use super::syntax::{Class, Expression, Field, Function, Parameter, Statement, What};
use super::token::Kind;

impl Parser {
    pub(super) fn class(&mut self) -> Result<Class> {
        self.at += 1;
        let name = self.name()?;
        let mut base = String::new();
        if self.skip("(") {
            if !self.is(")") {
                base = self.expression()?.dotted().unwrap_or_default();
            }
            self.expect(")")?;
        }
        let mut class = Class { name, base, fields: Vec::new(), methods: Vec::new() };
        self.expect(":")?;
        if !self.skip_kind(&Kind::Newline) {
            // `class A: pass` on one line.
            self.skip_line();
            return Ok(class);
        }
        if !self.skip_kind(&Kind::Indent) {
            return Ok(class);
        }
        while !self.skip_kind(&Kind::Dedent) {
            match self.peek() {
                Kind::End => break,
                Kind::Newline => self.at += 1,
                Kind::Name(word) if word == "def" => class.methods.push(Rc::new(self.function()?)),
                Kind::Name(word) if word == "pass" => self.at += 1,
                _ => class.fields.push(self.field()?),
            }
        }
        Ok(class)
    }

    /// `name : type`, `name = value`, `name : type = value`, `__annotations__["0"] = type`.
    fn field(&mut self) -> Result<Field> {
        let name = self.name()?;
        if name == "__annotations__" && self.skip("[") {
            let Kind::Text(name) = self.next() else { return Err(self.unexpected("a text")) };
            self.expect("]")?;
            self.expect("=")?;
            let kind = Some(self.expression()?);
            return Ok(Field { name, kind, value: None });
        }
        let kind = if self.skip(":") { Some(self.expression()?) } else { None };
        let value = if self.skip("=") { Some(self.expression()?) } else { None };
        if kind.is_none() && value.is_none() {
            return Err(self.unexpected("':' or '='"));
        }
        Ok(Field { name, kind, value })
    }

    pub(super) fn function(&mut self) -> Result<Function> {
        self.at += 1;
        let mut name = self.name()?;
        while self.skip(".") {
            name = format!("{name}.{}", self.name()?);
        }
        self.expect("(")?;
        let mut parameters = Vec::new();
        while !self.skip(")") {
            let starred = self.skip("*");
            if !(starred && self.is(",")) {
                let name = self.name()?;
                let kind = if self.skip(":") { Some(self.expression()?) } else { None };
                let default = if self.skip("=") { Some(self.expression()?) } else { None };
                parameters.push(Parameter { name, kind, default });
            }
            if !self.skip(",") && !self.is(")") {
                return Err(self.unexpected("',' or ')'"));
            }
        }
        if self.skip("->") {
            self.expression()?;
        }
        self.expect(":")?;
        let body = self.block()?;
        Ok(Function { name, parameters, body })
    }

    /// What follows a colon.
    fn block(&mut self) -> Result<Vec<Statement>> {
        self.deeper(|parser| {
            let mut statements = Vec::new();
            if !parser.skip_kind(&Kind::Newline) {
                statements.push(parser.statement()?);
                return Ok(statements);
            }
            if !parser.skip_kind(&Kind::Indent) {
                return Err(parser.unexpected("a block"));
            }
            while !parser.skip_kind(&Kind::Dedent) {
                match parser.peek() {
                    Kind::End => break,
                    Kind::Newline => parser.at += 1,
                    _ => statements.push(parser.statement()?),
                }
            }
            Ok(statements)
        })
    }

    fn statement(&mut self) -> Result<Statement> {
        let line = self.line();
        let what = match self.peek_name() {
            Some("pass") => self.word(What::Pass),
            Some("break") => self.word(What::Break),
            Some("continue") => self.word(What::Continue),
            Some("if") => self.branch()?,
            Some("for") => {
                self.at += 1;
                let target = self.targets()?;
                if !self.skip_word("in") {
                    return Err(self.unexpected("'in'"));
                }
                let over = self.expression()?;
                self.expect(":")?;
                What::For(target, over, self.block()?)
            }
            Some("while") => {
                self.at += 1;
                let condition = self.expression()?;
                self.expect(":")?;
                What::While(condition, self.block()?)
            }
            Some("with") => {
                self.at += 1;
                self.expression()?;
                if self.skip_word("as") {
                    self.expression()?;
                }
                self.expect(":")?;
                What::With(self.block()?)
            }
            Some("return") => {
                self.at += 1;
                let none = matches!(self.peek(), Kind::Newline | Kind::End);
                What::Return(if none { None } else { Some(self.targets()?) })
            }
            Some("assert") => {
                self.at += 1;
                let condition = self.expression()?;
                if self.skip(",") {
                    self.expression()?;
                }
                What::Assert(condition)
            }
            Some("raise") => {
                self.at += 1;
                What::Raise(self.expression()?)
            }
            Some("def" | "class" | "del" | "import" | "lambda") => {
                return Err(self.unexpected("a statement of TorchScript"));
            }
            _ => self.assignment()?,
        };
        if !matches!(self.peek(), Kind::Dedent | Kind::End)
            && !self.skip_kind(&Kind::Newline)
            && !matches!(what, What::If(..) | What::For(..) | What::While(..) | What::With(..))
        {
            return Err(self.unexpected("the end of the line"));
        }
        Ok(Statement { line, what })
    }

    fn word(&mut self, what: What) -> What {
        self.at += 1;
        what
    }

    fn branch(&mut self) -> Result<What> {
        self.at += 1;
        let condition = self.expression()?;
        self.expect(":")?;
        let yes = self.block()?;
        let line = self.line();
        let no = match self.peek_name() {
            Some("else") => {
                self.at += 1;
                self.expect(":")?;
                self.block()?
            }
            Some("elif") => {
                let what = self.deeper(Parser::branch)?;
                vec![Statement { line, what }]
            }
            _ => Vec::new(),
        };
        Ok(What::If(condition, yes, no))
    }

    fn assignment(&mut self) -> Result<What> {
        let target = self.targets()?;
        if self.skip(":") {
            // `name : type = value`
            self.expression()?;
        }
        for (mark, operator) in [("+=", "add"), ("-=", "sub"), ("*=", "mul"), ("/=", "div")] {
            if self.skip(mark) {
                let both = Box::new((target.clone(), self.expression()?));
                return Ok(What::Assign(target, Expression::Binary(operator, both)));
            }
        }
        if !self.skip("=") {
            return Ok(What::Expression(target));
        }
        Ok(What::Assign(target, self.targets()?))
    }

    /// Expressions with commas between: a tuple where there is a comma.
    fn targets(&mut self) -> Result<Expression> {
        let first = self.expression()?;
        if !self.is(",") {
            return Ok(first);
        }
        let mut all = vec![first];
        while self.skip(",") {
            let ended = matches!(self.peek(), Kind::Newline | Kind::End | Kind::Mark("=" | ":"))
                || self.peek_name() == Some("in");
            if ended {
                break;
            }
            all.push(self.expression()?);
        }
        Ok(Expression::Tuple(all))
    }
}
