//! What `forward` takes: tensors of the sizes that were asked for, values that are fixed.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use modelyard_graph::ElementType;
use modelyard_tensor::Dim;

use super::interpret::Interpreter;
use super::syntax::{Expression, Function, Parameter};
use super::value::{Seen, Value};
use super::words::SIZE;
use crate::pytorch::graph::Size;
use crate::{ConvertError, Options};

/// An input of the program.
#[derive(Clone, Debug)]
pub(super) struct Input {
    pub(super) name: String,
    pub(super) element_type: ElementType,
    pub(super) sizes: Vec<Size>,
}

/// What free sizes are in the worlds, by symbol.
pub(super) type Symbols = BTreeMap<String, Vec<usize>>;

/// Types of inputs that were found or asked for.
pub(super) type Types = HashMap<String, ElementType>;

/// In how many worlds sizes are those that models are used with. In the others each free size is 1
/// once: such a world shows what depends on a size that looks the same for larger ones, and is left
/// where the model does not go along.
pub(super) const SURE: usize = 2;

/// What the free sizes are tried with: those of leading axes small, the others from `base` on; then
/// all those of leading axes as 1, then all others as 1.
pub(super) fn symbols(options: &Options, base: usize) -> Symbols {
    let (mut leading, mut inner) = (Symbols::new(), Symbols::new());
    for (name, dims) in &options.shapes {
        for (axis, dim) in dims.iter().enumerate() {
            let Some(symbol) = symbol(name, axis, dim) else { continue };
            if leading.contains_key(&symbol) || inner.contains_key(&symbol) {
                continue;
            }
            let number = leading.len() + inner.len();
            match axis {
                // Odd and even, so that what depends on a remainder shows.
                0 => {
                    let at = leading.len() + 1;
                    leading.insert(symbol, vec![1 + 2 * at, 8 + 8 * at]);
                }
                // Even, and apart from each other.
                _ => {
                    let sizes = vec![base + base / 4 * number, base * 3 / 2 + base / 2 * number];
                    inner.insert(symbol, sizes);
                }
            }
        }
    }
    let probed = [!leading.is_empty(), !inner.is_empty()];
    for (own, sizes) in leading
        .values_mut()
        .map(|sizes| (0, sizes))
        .chain(inner.values_mut().map(|sizes| (1, sizes)))
    {
        let first = sizes.first().copied().unwrap_or(1);
        for (axis, _) in probed.iter().enumerate().filter(|(_, is_probed)| **is_probed) {
            sizes.push(if axis == own { 1 } else { first });
        }
    }
    leading.append(&mut inner);
    leading
}

/// What people know free sizes as, by symbol: `dimension 1 of input 'x' (length)`.
pub(super) fn subjects(options: &Options) -> HashMap<String, String> {
    let mut subjects = HashMap::new();
    for (name, dims) in &options.shapes {
        for (axis, dim) in dims.iter().enumerate() {
            let Some(symbol) = symbol(name, axis, dim) else { continue };
            subjects.entry(symbol).or_insert_with(|| match dim {
                Dim::Symbol(symbol) => format!("{SIZE}{axis} of input '{name}' ({symbol})"),
                _ => format!("{SIZE}{axis} of input '{name}'"),
            });
        }
    }
    subjects
}

/// Whether a size other than those of leading axes is free.
pub(super) fn has_inner(options: &Options) -> bool {
    options.shapes.values().any(|dims| dims.iter().skip(1).any(|dim| !matches!(dim, Dim::Fixed(_))))
}

fn symbol(name: &str, axis: usize, dim: &Dim) -> Option<String> {
    match dim {
        Dim::Fixed(_) => None,
        Dim::Symbol(symbol) => Some(symbol.clone()),
        Dim::Free => Some(format!("{name}_{axis}")),
    }
}

/// Makes the arguments of `forward`.
pub(super) struct Inputs<'i, 'l> {
    pub(super) interpreter: &'i mut Interpreter<'l>,
    pub(super) options: &'i Options,
    pub(super) symbols: &'i Symbols,
    pub(super) types: &'i Types,
    /// The inputs so far.
    pub(super) found: Vec<Input>,
    /// Inputs that nothing is known of: name, and what to give.
    lacking: Vec<String>,
    /// Names of options that were used.
    used: HashSet<String>,
}

impl<'i, 'l> Inputs<'i, 'l> {
    pub(super) fn new(
        interpreter: &'i mut Interpreter<'l>,
        options: &'i Options,
        symbols: &'i Symbols,
        types: &'i Types,
    ) -> Inputs<'i, 'l> {
        let (found, lacking, used) = (Vec::new(), Vec::new(), HashSet::new());
        Inputs { interpreter, options, symbols, types, found, lacking, used }
    }

    /// The arguments of a function, but for `self`; an error that names all that is missing.
    pub(super) fn arguments(
        mut self,
        function: &Function,
    ) -> Result<(Vec<Value>, Vec<Input>), ConvertError> {
        let mut values = Vec::new();
        for parameter in function.parameters.iter().skip(1) {
            values.push(self.argument(parameter)?);
        }
        if !self.lacking.is_empty() {
            return Err(ConvertError::Option(format!(
                "TorchScript does not say what shapes inputs have; {} takes\n  {}\nadd these options \
                 with the sizes that you use; a name instead of a number, as in \
                 x=batch,3,224,224, is a free size",
                function.name,
                self.lacking.join("\n  ")
            )));
        }
        let given = self.options.shapes.keys().chain(self.options.types.keys());
        for name in given.chain(self.options.values.keys()) {
            if !self.used.contains(name) {
                let known: Vec<&str> = function
                    .parameters
                    .iter()
                    .skip(1)
                    .map(|parameter| parameter.name.as_str())
                    .collect();
                let message =
                    format!("there is no input '{name}'; the model has {}", known.join(", "));
                return Err(ConvertError::Option(message));
            }
        }
        Ok((values, self.found))
    }

    fn argument(&mut self, parameter: &Parameter) -> Result<Value, ConvertError> {
        let name = parameter.name.as_str();
        let tensor = Expression::Name("Tensor".into());
        let kind = parameter.kind.as_ref().unwrap_or(&tensor);
        if let Some(text) = self.options.values.get(name) {
            self.used.insert(name.to_owned());
            return fixed(name, text, kind);
        }
        if let Some(value) = self.given(name, kind)? {
            return Ok(value);
        }
        if let Some(default) = &parameter.default {
            let value = self.interpreter.evaluate(default);
            return value.map_err(|_| {
                ConvertError::Option(format!("the default of input '{name}' is not known"))
            });
        }
        match kind {
            // An optional one that nothing was said of is left out.
            Expression::Index(of, _) if of.dotted().as_deref() == Some("Optional") => {
                Ok(Value::None)
            }
            _ => {
                self.lack(name, kind);
                Ok(Value::None)
            }
        }
    }

    /// The value of an input whose shapes were given.
    fn given(&mut self, name: &str, kind: &Expression) -> Result<Option<Value>, ConvertError> {
        if self.options.shapes.contains_key(name) {
            return self.tensor(name).map(Some);
        }
        let Expression::Index(of, inner) = kind else { return Ok(None) };
        let inner = inner.as_ref();
        match of.dotted().as_deref() {
            Some("Optional") => self.given(name, inner),
            Some("Tuple") => {
                let kinds = match inner {
                    Expression::Tuple(kinds) => kinds.as_slice(),
                    one => std::slice::from_ref(one),
                };
                let parts = self.parts(name);
                if parts.is_empty() {
                    return Ok(None);
                }
                let mut items = Vec::new();
                for (index, kind) in kinds.iter().enumerate() {
                    let name = format!("{name}.{index}");
                    match self.given(&name, kind)? {
                        Some(value) => items.push(value),
                        None => {
                            self.lack(&name, kind);
                            items.push(Value::None);
                        }
                    }
                }
                Ok(Some(Value::tuple(items)))
            }
            Some("List") => {
                let count = self.parts(name).len();
                let mut items = Vec::new();
                for index in 0..count {
                    items.extend(self.given(&format!("{name}.{index}"), inner)?);
                }
                Ok((count > 0).then(|| Value::list(items)))
            }
            Some("Dict") => {
                let parts = self.parts(name);
                let mut entries = Vec::new();
                for part in &parts {
                    let value = self.tensor(&format!("{name}.{part}"))?;
                    entries.push((Value::text(part), value));
                }
                Ok((!parts.is_empty()).then(|| Value::dict(entries)))
            }
            _ => Ok(None),
        }
    }

    /// What follows `name.` in the shapes that were given: `0` of `states.0.1`.
    fn parts(&self, name: &str) -> Vec<String> {
        let mut parts: Vec<String> = Vec::new();
        for key in self.options.shapes.keys() {
            let rest = key.strip_prefix(name).and_then(|rest| rest.strip_prefix('.'));
            if let Some(part) = rest.and_then(|rest| rest.split('.').next())
                && !parts.iter().any(|other| other == part)
            {
                parts.push(part.to_owned());
            }
        }
        parts
    }

    fn tensor(&mut self, name: &str) -> Result<Value, ConvertError> {
        self.used.insert(name.to_owned());
        let dims = self.options.shapes.get(name).map_or(&[][..], Vec::as_slice);
        let element_type = self.types.get(name).copied().unwrap_or(ElementType::Float32);
        let input = Input {
            name: name.to_owned(),
            element_type,
            sizes: dims
                .iter()
                .enumerate()
                .map(|(axis, dim)| match (symbol(name, axis, dim), dim) {
                    (Some(symbol), _) => Size::Symbol(symbol),
                    (None, Dim::Fixed(size)) => Size::from(*size),
                    (None, _) => Size::Unknown,
                })
                .collect(),
        };
        let value = input_value(self.interpreter, &input, self.symbols);
        self.found.push(input);
        Ok(value)
    }

    fn lack(&mut self, name: &str, kind: &Expression) {
        let option = match kind {
            Expression::Name(kind) if kind == "Tensor" => {
                format!("--shape {name}=SIZES, such as --shape {name}=1,3,224,224")
            }
            Expression::Index(of, inner) => match (of.dotted().as_deref(), inner.as_ref()) {
                (Some("Tuple"), Expression::Tuple(kinds)) => {
                    let all = (0..kinds.len()).map(|at| format!("--shape {name}.{at}=SIZES"));
                    all.collect::<Vec<_>>().join(" ")
                }
                (Some("List"), _) => format!("--shape {name}.0=SIZES, and so on for each item"),
                (Some("Dict"), _) => format!("--shape {name}.KEY=SIZES for each key"),
                _ => format!("--shape {name}=SIZES"),
            },
            _ => format!("--value {name}=VALUE, which fixes it"),
        };
        self.lacking.push(format!("{name} ({}): {option}", type_text(kind)));
    }
}

/// A tensor that is an input.
pub(super) fn input_value(
    interpreter: &mut Interpreter<'_>,
    input: &Input,
    symbols: &Symbols,
) -> Value {
    let world = |world: usize| Seen {
        element_type: input.element_type,
        dims: input
            .sizes
            .iter()
            .map(|size| match size {
                Size::Known(size) => usize::try_from(*size).unwrap_or(0),
                Size::Symbol(symbol) => {
                    symbols.get(symbol).and_then(|all| all.get(world)).copied().unwrap_or(1)
                }
                _ => 1,
            })
            .collect(),
        known: None,
    };
    let worlds = (0..interpreter.worlds).map(world).collect();
    interpreter.names.fresh(&input.name);
    interpreter.origins.insert(input.name.clone(), input.name.clone());
    interpreter.keep(input.name.clone(), worlds, Rc::new(Cell::new(false)))
}

/// A value that the caller fixes.
fn fixed(name: &str, text: &str, kind: &Expression) -> Result<Value, ConvertError> {
    let kind = match kind {
        Expression::Index(of, inner) if of.dotted().as_deref() == Some("Optional") => inner,
        other => other,
    };
    let value = match (kind.dotted().as_deref(), text) {
        (_, "None" | "none") => Some(Value::None),
        (Some("int"), text) => text.parse().ok().map(Value::Int),
        (Some("float"), text) => text.parse().ok().map(Value::Float),
        (Some("bool"), "true" | "True" | "1") => Some(Value::Bool(true)),
        (Some("bool"), "false" | "False" | "0") => Some(Value::Bool(false)),
        (Some("str"), text) => Some(Value::text(text)),
        _ => None,
    };
    value.ok_or_else(|| {
        let kind = type_text(kind);
        ConvertError::Option(format!("'{text}' is no value for input '{name}', which is {kind}"))
    })
}

/// A type as the code has it.
fn type_text(kind: &Expression) -> String {
    match kind {
        Expression::None => "None".into(),
        Expression::Index(of, inner) => format!("{}[{}]", type_text(of), type_text(inner)),
        Expression::Tuple(kinds) | Expression::List(kinds) => {
            kinds.iter().map(type_text).collect::<Vec<_>>().join(", ")
        }
        other => other.dotted().unwrap_or_else(|| "another type".into()),
    }
}
