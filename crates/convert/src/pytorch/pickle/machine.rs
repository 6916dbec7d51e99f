//! The operations of pickles (Python's `pickletools` describes each): a stack of values, marks on
//! it, and a memo.

use std::collections::HashMap;

use bytes::Bytes;

use super::{Id, Node, Object, Pickle, damaged};
use crate::{ConvertError, Limits};

/// Reads pickles that stand one behind the other.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    bytes: Bytes,
    position: usize,
    limit: u64,
    /// How many values a pickle may have.
    most: usize,
    nodes: Vec<Node>,
    stack: Vec<Id>,
    /// How high the stack was at each mark.
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
}

type Result<T> = std::result::Result<T, ConvertError>;

impl Machine {
    /// A machine that stands at the start of `bytes`.
    pub(crate) fn new(bytes: Bytes, limits: &Limits) -> Machine {
        Machine {
            bytes,
            position: 0,
            limit: limits.description_bytes,
            most: limits.nodes.saturating_mul(8),
            nodes: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
        }
    }

    /// Where the next pickle begins.
    pub(crate) fn position(&self) -> usize {
        self.position
    }

    /// Reads the next pickle, up to its end.
    pub(crate) fn pickle(&mut self) -> Result<Pickle> {
        self.nodes.clear();
        self.stack.clear();
        self.marks.clear();
        self.memo.clear();
        let start = self.position;
        loop {
            let read = (self.position - start) as u64;
            if read > self.limit {
                let place = "a pickle".into();
                let limit = self.limit;
                return Err(ConvertError::TooLarge { place, what: "bytes", found: read, limit });
            }
            let code = self.byte()?;
            if code == b'.' {
                let root = self.pop()?.0;
                return Ok(Pickle { nodes: std::mem::take(&mut self.nodes), root });
            }
            self.operation(code)?;
            if self.nodes.len() > self.most || self.stack.len() > self.most {
                let (found, limit) = (self.nodes.len().max(self.stack.len()), self.most as u64);
                let place = "a pickle".into();
                return Err(ConvertError::TooLarge {
                    place,
                    what: "values",
                    found: found as u64,
                    limit,
                });
            }
        }
    }

    fn operation(&mut self, code: u8) -> Result<()> {
        match code {
            0x80 => self.protocol(),
            0x95 => self.take(8).map(|_| ()),
            b'N' => self.push(Node::None),
            0x88 => self.push(Node::Bool(true)),
            0x89 => self.push(Node::Bool(false)),
            b'I' | b'L' | b'J' | b'K' | b'M' | 0x8a | 0x8b => self.integer(code),
            b'F' | b'G' => self.float(code),
            b'S' | b'T' | b'U' | b'V' | b'X' | 0x8c | 0x8d => self.string(code),
            b'B' | b'C' | 0x8e | 0x96 => self.byte_string(code),
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            b'0' | b'1' | b'2' => self.stack_operation(code),
            b'g' | b'h' | b'j' | b'p' | b'q' | b'r' | 0x94 => self.memo_operation(code),
            b')' | b't' | 0x85 | 0x86 | 0x87 | b'l' | b']' | b'd' | b'}' | 0x8f | 0x91 => {
                self.collection(code)
            }
            b'a' | b'e' | b's' | b'u' | 0x90 => self.fill(code),
            b'c' | 0x93 => self.global(code),
            b'P' | b'Q' => self.persistent(code),
            b'R' | 0x81 | 0x92 | b'i' | b'o' => self.call(code),
            b'b' => self.build(),
            _ => Err(self.damaged(format!("operation {code:#04x} is not one of weights"))),
        }
    }

    fn protocol(&mut self) -> Result<()> {
        match self.byte()? {
            0..=5 => Ok(()),
            found => {
                let message = format!("expected protocol 0 to 5, found protocol {found}");
                Err(self.damaged(message))
            }
        }
    }

    fn integer(&mut self, code: u8) -> Result<()> {
        let node = match code {
            b'K' => Node::Int(self.byte()?.into()),
            b'M' => Node::Int(u16::from_le_bytes(self.array()?).into()),
            b'J' => Node::Int(i32::from_le_bytes(self.array()?).into()),
            0x8a => {
                let len = self.byte()?;
                long(self.take(len.into())?)
            }
            0x8b => {
                let len = self.length(4)?;
                long(self.take(len)?)
            }
            _ => {
                let line = self.line()?;
                match (code, line.as_str()) {
                    (b'I', "00") => Node::Bool(false),
                    (b'I', "01") => Node::Bool(true),
                    _ => {
                        let digits = line.strip_suffix('L').unwrap_or(&line);
                        let value = digits.parse();
                        Node::Int(
                            value.map_err(|_| self.damaged(format!("'{digits}' is no integer")))?,
                        )
                    }
                }
            }
        };
        self.push(node)
    }

    fn float(&mut self, code: u8) -> Result<()> {
        let value = if code == b'G' {
            f64::from_be_bytes(self.array()?)
        } else {
            let line = self.line()?;
            line.parse().map_err(|_| self.damaged(format!("'{line}' is no number")))?
        };
        self.push(Node::Float(value))
    }

    fn string(&mut self, code: u8) -> Result<()> {
        let bytes = match code {
            b'U' | 0x8c => {
                let len = self.byte()?;
                self.take(len.into())?
            }
            b'T' | b'X' => {
                let len = self.length(4)?;
                self.take(len)?
            }
            0x8d => {
                let len = self.length(8)?;
                self.take(len)?
            }
            _ => {
                let line = self.line()?;
                let inner = match code {
                    b'S' => {
                        unquoted(&line).ok_or_else(|| self.damaged(format!("{line} is no text")))?
                    }
                    _ => &line,
                };
                return self.push(Node::Text(inner.to_owned()));
            }
        };
        match String::from_utf8(bytes.to_vec()) {
            Ok(text) => self.push(Node::Text(text)),
            // Python 2 wrote bytes as strings.
            Err(_) => self.push(Node::Bytes(bytes)),
        }
    }

    fn byte_string(&mut self, code: u8) -> Result<()> {
        let len = match code {
            b'C' => self.byte()?.into(),
            b'B' => self.length(4)?,
            _ => self.length(8)?,
        };
        let bytes = self.take(len)?;
        self.push(Node::Bytes(bytes))
    }

    fn stack_operation(&mut self, code: u8) -> Result<()> {
        match code {
            // A mark is on the stack like a value.
            b'0' if self.marks.last() == Some(&self.stack.len()) => {
                self.marks.pop();
                Ok(())
            }
            b'0' => self.pop().map(|_| ()),
            b'1' => self.marked().map(|_| ()),
            _ => {
                let top = self.pop()?;
                self.stack.extend([top, top]);
                Ok(())
            }
        }
    }

    fn memo_operation(&mut self, code: u8) -> Result<()> {
        let key = match code {
            b'h' | b'q' => self.byte()?.into(),
            b'j' | b'r' => u32::from_le_bytes(self.array()?).into(),
            0x94 => self.memo.len() as u64,
            _ => {
                let line = self.line()?;
                line.parse()
                    .map_err(|_| self.damaged(format!("'{line}' is no place of the memo")))?
            }
        };
        if matches!(code, b'g' | b'h' | b'j') {
            let found = self.memo.get(&key).copied();
            let id =
                found.ok_or_else(|| self.damaged(format!("nothing is at {key} of the memo")))?;
            self.stack.push(id);
        } else {
            let top = self.pop()?;
            self.stack.push(top);
            self.memo.insert(key, top);
        }
        Ok(())
    }

    fn collection(&mut self, code: u8) -> Result<()> {
        let node = match code {
            b')' => Node::Tuple(Vec::new()),
            b']' => Node::List(Vec::new()),
            b'}' => Node::Dict(Vec::new()),
            0x8f => Node::Set(Vec::new()),
            b't' => Node::Tuple(self.marked()?),
            b'l' => Node::List(self.marked()?),
            0x91 => Node::Set(self.marked()?),
            b'd' => {
                let items = self.marked()?;
                Node::Dict(self.paired(items)?)
            }
            _ => {
                let count = usize::from(code - 0x84);
                let mut items = (0..count).map(|_| self.pop()).collect::<Result<Vec<_>>>()?;
                items.reverse();
                Node::Tuple(items)
            }
        };
        self.push(node)
    }

    /// Puts values into the list, set, dict or object below them.
    fn fill(&mut self, code: u8) -> Result<()> {
        let values = match code {
            b'a' => vec![self.pop()?],
            b's' => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
            _ => self.marked()?,
        };
        let pairs = matches!(code, b's' | b'u');
        let target = self.top()?;
        if pairs {
            let pairs = self.paired(values)?;
            match self.nodes.get_mut(target.0) {
                Some(Node::Dict(entries)) => entries.extend(pairs),
                Some(Node::Object(object)) => object.entries.extend(pairs),
                _ => return Err(self.damaged("entries are put into what is no dict")),
            }
        } else {
            match self.nodes.get_mut(target.0) {
                Some(Node::List(items) | Node::Set(items)) => items.extend(values),
                Some(Node::Object(object)) => object.items.extend(values),
                _ => return Err(self.damaged("items are appended to what is no list")),
            }
        }
        Ok(())
    }

    fn global(&mut self, code: u8) -> Result<()> {
        let (module, name) = if code == b'c' {
            (self.line()?, self.line()?)
        } else {
            let (name, module) = (self.pop()?, self.pop()?);
            match (&self.nodes[module.0], &self.nodes[name.0]) {
                (Node::Text(module), Node::Text(name)) => (module.clone(), name.clone()),
                _ => return Err(self.damaged("a function is named by what is no text")),
            }
        };
        self.push(Node::Global(module, name))
    }

    fn persistent(&mut self, code: u8) -> Result<()> {
        if code == b'P' {
            let line = self.line()?;
            self.push(Node::Text(line))?;
        }
        let id = self.pop()?;
        self.push(Node::Persistent(id))
    }

    /// A call: noted, not made.
    fn call(&mut self, code: u8) -> Result<()> {
        let (class, arguments) = match code {
            b'i' => {
                self.global(b'c')?;
                let class = self.pop()?;
                let arguments = self.marked()?;
                (class, self.node(Node::Tuple(arguments)))
            }
            b'o' => {
                let mut marked = self.marked()?;
                if marked.is_empty() {
                    return Err(self.damaged("a class is missing on the stack"));
                }
                (marked.remove(0), self.node(Node::Tuple(marked)))
            }
            0x92 => {
                // Arguments by name are kept behind those by position.
                let (named, arguments) = (self.pop()?, self.pop()?);
                let class = self.pop()?;
                (class, self.node(Node::Tuple(vec![arguments, named])))
            }
            _ => {
                let arguments = self.pop()?;
                (self.pop()?, arguments)
            }
        };
        let (items, entries) = (Vec::new(), Vec::new());
        self.push(Node::Object(Box::new(Object { class, arguments, state: None, items, entries })))
    }

    fn build(&mut self) -> Result<()> {
        let state = self.pop()?;
        let target = self.top()?;
        match self.nodes.get_mut(target.0) {
            Some(Node::Object(object)) => object.state = Some(state),
            // State dicts carry metadata as an attribute; nothing else is told about itself.
            Some(_) => {}
            None => return Err(self.damaged("the stack is empty")),
        }
        Ok(())
    }

    fn node(&mut self, node: Node) -> Id {
        self.nodes.push(node);
        Id(self.nodes.len() - 1)
    }

    fn push(&mut self, node: Node) -> Result<()> {
        let id = self.node(node);
        self.stack.push(id);
        Ok(())
    }

    fn pop(&mut self) -> Result<Id> {
        // Values below a mark are out of reach.
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(self.damaged("a value is missing on the stack"));
        }
        self.stack.pop().ok_or_else(|| self.damaged("the stack is empty"))
    }

    fn top(&self) -> Result<Id> {
        self.stack.last().copied().ok_or_else(|| self.damaged("the stack is empty"))
    }

    /// The values above the last mark.
    fn marked(&mut self) -> Result<Vec<Id>> {
        let mark = self.marks.pop().ok_or_else(|| self.damaged("a mark is missing"))?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn paired(&self, items: Vec<Id>) -> Result<Vec<(Id, Id)>> {
        let (pairs, rest) = items.as_chunks();
        if !rest.is_empty() {
            return Err(self.damaged("a key has no value"));
        }
        Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let bytes = self.take(N)?;
        bytes.first_chunk().copied().ok_or_else(|| self.damaged("it ends too early"))
    }

    fn length(&mut self, width: usize) -> Result<usize> {
        let mut bytes = [0; 8];
        bytes[..width].copy_from_slice(&self.take(width)?);
        let len = usize::try_from(u64::from_le_bytes(bytes));
        len.map_err(|_| self.damaged("a length overflows"))
    }

    fn take(&mut self, len: usize) -> Result<Bytes> {
        let end = self.position.checked_add(len).filter(|&end| end <= self.bytes.len());
        let end = end.ok_or_else(|| {
            let left = self.bytes.len() - self.position;
            self.damaged(format!("it ends too early: expected {len} bytes, found {left}"))
        })?;
        let bytes = self.bytes.slice(self.position..end);
        self.position = end;
        Ok(bytes)
    }

    fn line(&mut self) -> Result<String> {
        let rest = &self.bytes[self.position..];
        let len = rest.iter().position(|&byte| byte == b'\n');
        let len = len.ok_or_else(|| self.damaged("it ends too early, inside a line"))?;
        let line = String::from_utf8_lossy(&rest[..len]).into_owned();
        self.position += len + 1;
        Ok(line)
    }

    fn damaged(&self, message: impl Into<String>) -> ConvertError {
        damaged(format!("byte {}", self.position), message)
    }
}

/// An integer of any length in two's complement.
fn long(bytes: Bytes) -> Node {
    match bytes.last() {
        None => Node::Int(0),
        Some(last) if bytes.len() <= 8 => {
            let fill = if last & 0x80 == 0 { 0 } else { 0xff };
            let mut all = [fill; 8];
            all[..bytes.len()].copy_from_slice(&bytes);
            Node::Int(i64::from_le_bytes(all))
        }
        Some(_) => Node::Long(bytes),
    }
}

fn unquoted(line: &str) -> Option<&str> {
    let quote = line.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
    line.strip_prefix(quote)?.strip_suffix(quote)
}
