//! What each operation of a pickle does to the stack and the memo.

use bytes::Bytes;

use super::super::{Node, Object};
use super::{Machine, Result};

impl Machine {
    pub(super) fn protocol(&mut self) -> Result<()> {
        match self.byte()? {
            0..=5 => Ok(()),
            found => {
                let message = format!("expected protocol 0 to 5, found protocol {found}");
                Err(self.damaged(message))
            }
        }
    }

    pub(super) fn integer(&mut self, code: u8) -> Result<()> {
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

    pub(super) fn float(&mut self, code: u8) -> Result<()> {
        let value = if code == b'G' {
            f64::from_be_bytes(self.array()?)
        } else {
            let line = self.line()?;
            line.parse().map_err(|_| self.damaged(format!("'{line}' is no number")))?
        };
        self.push(Node::Float(value))
    }

    pub(super) fn string(&mut self, code: u8) -> Result<()> {
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

    pub(super) fn byte_string(&mut self, code: u8) -> Result<()> {
        let len = match code {
            b'C' => self.byte()?.into(),
            b'B' => self.length(4)?,
            _ => self.length(8)?,
        };
        let bytes = self.take(len)?;
        self.push(Node::Bytes(bytes))
    }

    pub(super) fn stack_operation(&mut self, code: u8) -> Result<()> {
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

    pub(super) fn memo_operation(&mut self, code: u8) -> Result<()> {
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

    pub(super) fn collection(&mut self, code: u8) -> Result<()> {
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
    pub(super) fn fill(&mut self, code: u8) -> Result<()> {
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

    pub(super) fn global(&mut self, code: u8) -> Result<()> {
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

    pub(super) fn persistent(&mut self, code: u8) -> Result<()> {
        if code == b'P' {
            let line = self.line()?;
            self.push(Node::Text(line))?;
        }
        let id = self.pop()?;
        self.push(Node::Persistent(id))
    }

    /// A call: noted, not made.
    pub(super) fn call(&mut self, code: u8) -> Result<()> {
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

    pub(super) fn build(&mut self) -> Result<()> {
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
