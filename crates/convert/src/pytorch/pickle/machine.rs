//! The operations of pickles (Python's `pickletools` describes each): a stack of values, marks on
//! it, and a memo.

mod operations;

use std::collections::HashMap;

use bytes::Bytes;

use super::{Id, Node, Pickle, damaged};
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
