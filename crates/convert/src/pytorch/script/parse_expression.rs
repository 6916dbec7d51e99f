//! From tokens to expressions.

use super::parse::{Parser, Result};
use super::syntax::{Call, Expression};
use super::token::Kind;

/// Operators that stand between, from those that bind least; each level's marks and names.
const LEVELS: [&[(&str, &str)]; 7] = [
    &[("==", "eq"), ("!=", "ne"), ("<=", "le"), (">=", "ge"), ("<", "lt"), (">", "gt")],
    &[("|", "__or__")],
    &[("^", "__xor__")],
    &[("&", "__and__")],
    &[("<<", "__lshift__"), (">>", "__rshift__")],
    &[("+", "add"), ("-", "sub")],
    &[("*", "mul"), ("//", "floordiv"), ("/", "div"), ("%", "remainder"), ("@", "matmul")],
];

/// Arguments by position, and by name.
type Arguments = (Vec<Expression>, Vec<(String, Expression)>);

impl Parser {
    /// An expression.
    pub(super) fn expression(&mut self) -> Result<Expression> {
        self.deeper(|parser| {
            let value = parser.either()?;
            if !parser.skip_word("if") {
                return Ok(value);
            }
            let condition = parser.either()?;
            if !parser.skip_word("else") {
                return Err(parser.unexpected("'else'"));
            }
            let other = parser.expression()?;
            Ok(Expression::Choice(Box::new((condition, value, other))))
        })
    }

    /// Counts a term of a chain: each lies one level deeper in the tree.
    fn one_more(&self, terms: &mut usize) -> Result<()> {
        const MOST_TERMS: usize = 500;
        *terms += 1;
        match *terms > MOST_TERMS {
            true => Err(self.unexpected("an expression of at most 500 terms")),
            false => Ok(()),
        }
    }

    fn either(&mut self) -> Result<Expression> {
        let mut value = self.both()?;
        let mut terms = 0;
        while self.skip_word("or") {
            self.one_more(&mut terms)?;
            value = Expression::Lazy(true, Box::new((value, self.both()?)));
        }
        Ok(value)
    }

    fn both(&mut self) -> Result<Expression> {
        let mut value = self.negated()?;
        let mut terms = 0;
        while self.skip_word("and") {
            self.one_more(&mut terms)?;
            value = Expression::Lazy(false, Box::new((value, self.negated()?)));
        }
        Ok(value)
    }

    fn negated(&mut self) -> Result<Expression> {
        if self.skip_word("not") {
            let value = self.deeper(Parser::negated)?;
            return Ok(Expression::Unary("__not__", Box::new(value)));
        }
        self.level(0)
    }

    fn level(&mut self, level: usize) -> Result<Expression> {
        let Some(operators) = LEVELS.get(level) else { return self.unary() };
        let mut value = self.level(level + 1)?;
        let mut terms = 0;
        loop {
            let found = operators.iter().find(|(mark, _)| self.is(mark)).copied();
            let name = match found {
                Some((mark, name)) => {
                    self.skip(mark);
                    name
                }
                None if level == 0 && self.skip_word("is") => match self.skip_word("not") {
                    true => "__isnot__",
                    false => "__is__",
                },
                None => return Ok(value),
            };
            self.one_more(&mut terms)?;
            let other = self.level(level + 1)?;
            value = Expression::Binary(name, Box::new((value, other)));
        }
    }

    fn unary(&mut self) -> Result<Expression> {
        for (mark, name) in [("-", "neg"), ("+", "pos"), ("~", "bitwise_not")] {
            if self.skip(mark) {
                let value = self.deeper(Parser::unary)?;
                return Ok(match (name, value) {
                    ("neg", Expression::Int(value)) => Expression::Int(value.wrapping_neg()),
                    ("neg", Expression::Float(value)) => Expression::Float(-value),
                    (name, value) => Expression::Unary(name, Box::new(value)),
                });
            }
        }
        let base = self.postfix()?;
        if self.skip("**") {
            let exponent = self.deeper(Parser::unary)?;
            return Ok(Expression::Binary("pow", Box::new((base, exponent))));
        }
        Ok(base)
    }

    /// Attributes, indices and calls.
    fn postfix(&mut self) -> Result<Expression> {
        let mut value = self.atom()?;
        let mut links = 0;
        loop {
            // Each link is one level of the tree: whoever walks it goes as deep.
            if links == 100 {
                return Err(self.fault("more than 100 attributes, indices and calls in a row"));
            }
            links += 1;
            let line = self.line();
            if self.skip(".") {
                value = Expression::Attribute(Box::new(value), self.name()?);
            } else if self.skip("(") {
                let (positional, named) = self.arguments()?;
                let call = Call { line, function: value, positional, named };
                value = Expression::Call(Box::new(call));
            } else if self.skip("[") {
                value = self.index(value)?;
            } else {
                return Ok(value);
            }
        }
    }

    fn arguments(&mut self) -> Result<Arguments> {
        let (mut positional, mut named) = (Vec::new(), Vec::new());
        while !self.skip(")") {
            let is_named = matches!((self.peek(), self.ahead(1)), (Kind::Name(_), Kind::Mark("=")));
            if is_named {
                let name = self.name()?;
                self.expect("=")?;
                named.push((name, self.expression()?));
            } else {
                positional.push(self.expression()?);
            }
            if !self.skip(",") && !self.is(")") {
                return Err(self.unexpected("',' or ')'"));
            }
        }
        Ok((positional, named))
    }

    fn index(&mut self, of: Expression) -> Result<Expression> {
        let mut parts: [Option<Expression>; 3] = [None, None, None];
        let mut place = 0;
        let mut is_tuple = Vec::new();
        loop {
            if self.skip("]") {
                break;
            }
            if self.skip(":") {
                place += 1;
                if place > 2 {
                    return Err(self.fault("a slice has three parts at most"));
                }
            } else if self.skip(",") {
                is_tuple.extend(parts[0].take());
            } else {
                let value = self.expression()?;
                if parts[place].is_some() {
                    return Err(self.unexpected("']'"));
                }
                parts[place] = Some(value);
            }
        }
        if place > 0 {
            return Ok(Expression::Slice(Box::new(of), Box::new(parts)));
        }
        let [only, ..] = parts;
        let index = match (is_tuple.is_empty(), only) {
            (true, Some(only)) => only,
            (true, None) => return Err(self.fault("an index is missing")),
            (false, last) => {
                is_tuple.extend(last);
                Expression::Tuple(is_tuple)
            }
        };
        Ok(Expression::Index(Box::new(of), Box::new(index)))
    }

    fn atom(&mut self) -> Result<Expression> {
        Ok(match self.peek().clone() {
            Kind::Int(value) => self.taken(Expression::Int(value)),
            Kind::Float(value) => self.taken(Expression::Float(value)),
            Kind::Text(text) => {
                self.next();
                let mut text = text;
                while let Kind::Text(more) = self.peek().clone() {
                    self.next();
                    text.push_str(&more);
                }
                Expression::Text(text)
            }
            Kind::Name(name) => {
                let value = match name.as_str() {
                    "None" => Expression::None,
                    "True" => Expression::Bool(true),
                    "False" => Expression::Bool(false),
                    "inf" | "infj" => Expression::Float(f64::INFINITY),
                    "nan" => Expression::Float(f64::NAN),
                    "lambda" => return Err(self.unexpected("an expression of TorchScript")),
                    _ => Expression::Name(name),
                };
                self.taken(value)
            }
            Kind::Mark("(") => self.tuple()?,
            Kind::Mark("[") => {
                self.next();
                Expression::List(self.items("]")?)
            }
            Kind::Mark("{") => self.dict()?,
            Kind::Mark("...") => self.taken(Expression::Name("Ellipsis".into())),
            _ => return Err(self.unexpected("an expression")),
        })
    }

    fn taken(&mut self, value: Expression) -> Expression {
        self.next();
        value
    }

    /// Items up to a closing mark, which is taken too.
    fn items(&mut self, end: &str) -> Result<Vec<Expression>> {
        let mut items = Vec::new();
        while !self.skip(end) {
            items.push(self.expression()?);
            if !self.skip(",") && !self.is(end) {
                return Err(self.unexpected(&format!("',' or '{end}'")));
            }
        }
        Ok(items)
    }

    /// `(a)` is a, `(a,)` and `(a, b)` are tuples.
    fn tuple(&mut self) -> Result<Expression> {
        self.next();
        let mut items = Vec::new();
        let mut commas = 0;
        while !self.skip(")") {
            items.push(self.expression()?);
            if self.skip(",") {
                commas += 1;
            } else if !self.is(")") {
                return Err(self.unexpected("',' or ')'"));
            }
        }
        match (items.pop(), commas) {
            (Some(only), 0) => Ok(only),
            (last, _) => {
                items.extend(last);
                Ok(Expression::Tuple(items))
            }
        }
    }

    fn dict(&mut self) -> Result<Expression> {
        self.next();
        let mut entries = Vec::new();
        while !self.skip("}") {
            let key = self.expression()?;
            self.expect(":")?;
            entries.push((key, self.expression()?));
            if !self.skip(",") && !self.is("}") {
                return Err(self.unexpected("',' or '}'"));
            }
        }
        Ok(Expression::Dict(entries))
    }
}
