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
            let mut height = parser.height;
            let condition = parser.either()?;
            height = height.max(parser.height);
            if !parser.skip_word("else") {
                return Err(parser.unexpected("'else'"));
            }
            let other = parser.expression()?;
            parser.above(height)?;
            Ok(Expression::Choice(Box::new((condition, value, other))))
        })
    }

    fn either(&mut self) -> Result<Expression> {
        let mut value = self.both()?;
        while self.skip_word("or") {
            let height = self.height;
            value = Expression::Lazy(true, Box::new((value, self.both()?)));
            self.above(height)?;
        }
        Ok(value)
    }

    fn both(&mut self) -> Result<Expression> {
        let mut value = self.negated()?;
        while self.skip_word("and") {
            let height = self.height;
            value = Expression::Lazy(false, Box::new((value, self.negated()?)));
            self.above(height)?;
        }
        Ok(value)
    }

    fn negated(&mut self) -> Result<Expression> {
        if self.skip_word("not") {
            let value = self.deeper(Parser::negated)?;
            self.above(0)?;
            return Ok(Expression::Unary("__not__", Box::new(value)));
        }
        self.level(0)
    }

    fn level(&mut self, level: usize) -> Result<Expression> {
        let Some(operators) = LEVELS.get(level) else { return self.unary() };
        let mut value = self.level(level + 1)?;
        loop {
            let height = self.height;
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
            let other = self.level(level + 1)?;
            self.above(height)?;
            value = Expression::Binary(name, Box::new((value, other)));
        }
    }

    fn unary(&mut self) -> Result<Expression> {
        for (mark, name) in [("-", "neg"), ("+", "pos"), ("~", "bitwise_not")] {
            if self.skip(mark) {
                let value = self.deeper(Parser::unary)?;
                self.above(0)?;
                return Ok(match (name, value) {
                    ("neg", Expression::Int(value)) => Expression::Int(value.wrapping_neg()),
                    ("neg", Expression::Float(value)) => Expression::Float(-value),
                    (name, value) => Expression::Unary(name, Box::new(value)),
                });
            }
        }
        let base = self.postfix()?;
        if self.skip("**") {
            let height = self.height;
            let exponent = self.deeper(Parser::unary)?;
            self.above(height)?;
            return Ok(Expression::Binary("pow", Box::new((base, exponent))));
        }
        Ok(base)
    }

    /// Attributes, indices and calls.
    fn postfix(&mut self) -> Result<Expression> {
        let mut value = self.atom()?;
        loop {
            let (line, height) = (self.line(), self.height);
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
            // Each link is one level of the tree.
            self.above(height)?;
        }
    }

    fn arguments(&mut self) -> Result<Arguments> {
        let (mut positional, mut named) = (Vec::new(), Vec::new());
        let mut highest = 0;
        self.height = 0;
        while !self.skip(")") {
            let is_named = matches!((self.peek(), self.ahead(1)), (Kind::Name(_), Kind::Mark("=")));
            if is_named {
                let name = self.name()?;
                self.expect("=")?;
                named.push((name, self.expression()?));
            } else {
                positional.push(self.expression()?);
            }
            highest = self.height.max(highest);
            if !self.skip(",") && !self.is(")") {
                return Err(self.unexpected("',' or ')'"));
            }
        }
        self.height = highest;
        Ok((positional, named))
    }

    fn index(&mut self, of: Expression) -> Result<Expression> {
        let mut parts: [Option<Expression>; 3] = [None, None, None];
        let mut place = 0;
        let mut is_tuple = Vec::new();
        let mut highest = 0;
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
                highest = self.height.max(highest);
                if parts[place].is_some() {
                    return Err(self.unexpected("']'"));
                }
                parts[place] = Some(value);
            }
        }
        self.height = highest + 1;
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
        self.height = 0;
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
        let mut highest = 0;
        while !self.skip(end) {
            items.push(self.expression()?);
            highest = self.height.max(highest);
            if !self.skip(",") && !self.is(end) {
                return Err(self.unexpected(&format!("',' or '{end}'")));
            }
        }
        self.above(highest)?;
        Ok(items)
    }

    /// `(a)` is a, `(a,)` and `(a, b)` are tuples.
    fn tuple(&mut self) -> Result<Expression> {
        self.next();
        let mut items = Vec::new();
        let mut commas = 0;
        let mut highest = 0;
        while !self.skip(")") {
            items.push(self.expression()?);
            highest = self.height.max(highest);
            if self.skip(",") {
                commas += 1;
            } else if !self.is(")") {
                return Err(self.unexpected("',' or ')'"));
            }
        }
        self.above(highest)?;
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
        let mut highest = 0;
        while !self.skip("}") {
            let key = self.expression()?;
            highest = self.height.max(highest);
            self.expect(":")?;
            entries.push((key, self.expression()?));
            highest = self.height.max(highest);
            if !self.skip(",") && !self.is("}") {
                return Err(self.unexpected("',' or '}'"));
            }
        }
        self.above(highest)?;
        Ok(Expression::Dict(entries))
    }
}
