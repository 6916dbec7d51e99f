//! Calls of functions, methods and classes of the archive.

use std::collections::HashMap;
use std::rc::Rc;

use super::interpret::{Flow, Frame, Interpreter, Result};
use super::library::Library;
use super::syntax::{Class, Function};
use super::value::{Callee, Object, Value};

/// How deep calls may nest.
const CALLS: usize = 100;

impl Interpreter<'_> {
    /// Calls a function with these arguments.
    pub(super) fn invoke(
        &mut self,
        (file, function, path): (Rc<str>, &Rc<Function>, String),
        positional: Vec<Value>,
        named: Vec<(String, Value)>,
    ) -> Result<Value> {
        if self.frames.len() >= CALLS {
            return Err(self.wrong(format!("calls nest deeper than {CALLS} levels")));
        }
        let line = function.body.first().map_or(0, |statement| statement.line);
        self.frames.push(Frame {
            file,
            function: function.name.as_str().into(),
            path,
            line,
            variables: HashMap::new(),
        });
        let variables = self.bind(function, positional, named)?;
        if let Some(frame) = self.frames.last_mut() {
            frame.variables = variables;
        }
        // The frame stays where the code stops: it says where that was.
        let flow = self.block(&function.body)?;
        self.frames.pop();
        Ok(match flow {
            Flow::Return(value) => value,
            _ => Value::None,
        })
    }

    fn bind(
        &mut self,
        function: &Function,
        positional: Vec<Value>,
        named: Vec<(String, Value)>,
    ) -> Result<HashMap<String, Value>> {
        let mut variables = HashMap::new();
        let given = positional.len();
        if given > function.parameters.len() {
            let message = format!("'{}' is called with {given} arguments", function.name);
            return Err(self.wrong(message));
        }
        let mut values = positional.into_iter();
        for parameter in &function.parameters {
            let by_name = named.iter().find(|(name, _)| *name == parameter.name);
            let value = match (values.next(), by_name, &parameter.default) {
                (Some(value), ..) => value,
                (None, Some((_, value)), _) => value.clone(),
                (None, None, Some(default)) => self.evaluate(default)?,
                (None, None, None) => {
                    let message = format!(
                        "'{}' is called without argument '{}'",
                        function.name, parameter.name
                    );
                    return Err(self.wrong(message));
                }
            };
            variables.insert(parameter.name.clone(), value);
        }
        Ok(variables)
    }

    /// A callable as a value, and what it is called with.
    pub(super) fn call(
        &mut self,
        callee: Callee,
        positional: Vec<Value>,
        named: Vec<(String, Value)>,
    ) -> Result<Value> {
        let path = self.frames.last().map_or(String::new(), |frame| frame.path.clone());
        match callee {
            Callee::Function(file, function) => {
                self.invoke((file, &function, path), positional, named)
            }
            Callee::Method(object, function) => {
                let file = Library::file_name(&object.class_name).into();
                let path = if object.path.is_empty() { path } else { object.path.clone() };
                let mut all = vec![Value::Object(object)];
                all.extend(positional);
                self.invoke((file, &function, path), all, named)
            }
            Callee::Class(name, class) if class.base == "NamedTuple" => {
                let mut items = positional;
                for field in class.fields.iter().skip(items.len()) {
                    match named.iter().find(|(name, _)| *name == field.name) {
                        Some((_, value)) => items.push(value.clone()),
                        None => return Err(self.wrong(format!("'{name}' without all its fields"))),
                    }
                }
                self.nested(&items)?;
                Ok(Value::Tuple(Rc::new(items), Some(class)))
            }
            Callee::Class(class_name, class) => {
                let object = self.instance(class_name, class);
                let method = object.class.method("__init__").cloned();
                if let Some(method) = method {
                    let callee = Callee::Method(Rc::clone(&object), method);
                    self.call(callee, positional, named)?;
                }
                Ok(Value::Object(object))
            }
            Callee::Builtin(name) => self.builtin(&name, positional, named),
        }
    }

    /// An object without attributes.
    pub(super) fn instance(&self, class_name: Rc<str>, class: Rc<Class>) -> Rc<Object> {
        Rc::new(Object { class_name, class, path: String::new(), attributes: Default::default() })
    }
}
