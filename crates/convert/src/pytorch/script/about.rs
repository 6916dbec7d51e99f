//! What is asked about tensors and known of them, and operations that only the compiler writes.

use std::rc::Rc;

use modelyard_graph::ElementType;

use super::builtin::counted;
use super::interpret::{Interpreter, Result, Stop};
use super::value::{NumberKind, Tensor, Value};
use crate::pytorch::graph::{Argument, Named};

impl Interpreter<'_> {
    /// What is asked about a tensor and known of it.
    pub(super) fn about_tensor(
        &mut self,
        name: &str,
        positional: &[Value],
    ) -> Result<Option<Value>> {
        let Some(Value::Tensor(tensor)) = positional.first() else { return Ok(None) };
        let (element_type, _) = tensor.first();
        let rank = tensor.rank();
        Ok(Some(match name {
            "dim" | "ndim" | "ndimension" => Value::Int(rank as i64),
            "dtype" => match super::codes::type_code(element_type) {
                Some(code) => Value::Int(code),
                None => return Err(self.wrong("a type of elements without a number")),
            },
            "layout" => Value::Int(0),
            "device" => Value::Device("cpu".into()),
            "is_floating_point" => Value::Bool(crate::pytorch::types::is_float(element_type)),
            "is_cuda" | "is_mkldnn" | "is_quantized" | "is_sparse" | "is_complex" | "is_meta"
            | "is_xla" | "is_xpu" | "is_mps" | "is_ort" | "is_vulkan" | "is_nested"
            | "is_sparse_csr" | "is_inference" => Value::Bool(false),
            "requires_grad" => Value::Bool(self.weights.contains_key(&tensor.name)),
            "is_cpu" | "is_leaf" => Value::Bool(true),
            "get_device" => Value::Int(-1),
            "grad" => Value::None,
            "size" | "shape" if positional.len() == 1 => {
                let mut sizes = Vec::new();
                for axis in 0..rank {
                    sizes.push(self.size(tensor, axis)?);
                }
                Value::list(sizes)
            }
            "size" => match positional.get(1) {
                Some(Value::Int(axis)) => match counted(*axis, rank) {
                    Some(axis) => self.size(tensor, axis)?,
                    None => return Err(Stop::Raised(format!("dimension {axis} is out of range"))),
                },
                _ => return Err(self.wrong("a size along an axis that is not known")),
            },
            "len" => match rank {
                0 => return Err(Stop::Raised("len() of a tensor without dimensions".into())),
                _ => self.size(tensor, 0)?,
            },
            "numel" => {
                let mut product = Value::Int(1);
                for axis in 0..rank {
                    let size = self.size(tensor, axis)?;
                    product = self.builtin("torch.mul", vec![product, size], Vec::new())?;
                }
                product
            }
            "__is__" | "__isnot__" => {
                let same = match positional.get(1) {
                    Some(Value::Tensor(other)) => other.name == tensor.name,
                    _ => false,
                };
                Value::Bool(same == (name == "__is__"))
            }
            "Int" | "int" | "Float" | "float" | "Bool" | "bool" | "IntImplicit"
            | "FloatImplicit" | "ScalarImplicit" | "item"
                if positional.len() == 1 =>
            {
                return self.as_number(tensor, name).map(Some);
            }
            "to_mkldnn" | "to_dense" | "data" | "cpu" | "cuda" | "requires_grad_"
            | "pin_memory" | "retain_grad" => positional[0].clone(),
            _ => return Ok(None),
        }))
    }

    /// The one element of a tensor as a number.
    fn as_number(&mut self, tensor: &Rc<Tensor>, name: &str) -> Result<Value> {
        let kind = match name {
            "Int" | "int" | "IntImplicit" => Some(NumberKind::Int),
            "Float" | "float" | "FloatImplicit" => Some(NumberKind::Float),
            "Bool" | "bool" => Some(NumberKind::Bool),
            _ => None,
        };
        let value = Value::Tensor(Rc::clone(tensor));
        let own = super::codes::number_kind(tensor.first().0);
        let argument = self.argument(&value)?;
        let argument = match (kind, own) {
            (Some(NumberKind::Bool), NumberKind::Int | NumberKind::Float) => {
                let zero = Named { name: String::new(), value: Argument::Int(0) };
                let own = Named { name: String::new(), value: argument };
                let result = self.emit("aten.ne.Scalar", vec![own, zero])?;
                let value = result.into_iter().next().unwrap_or(Value::Lost);
                self.argument(&value)?
            }
            _ => argument,
        };
        let own_name = Named { name: String::new(), value: argument };
        let item = self.emit("aten.item.default", vec![own_name])?;
        let item = item.into_iter().next().unwrap_or(Value::Lost);
        match (kind, own) {
            (Some(NumberKind::Int), NumberKind::Float | NumberKind::Bool) => {
                Ok(self.number("int", &[item])?.unwrap_or(Value::Lost))
            }
            (Some(NumberKind::Float), NumberKind::Int | NumberKind::Bool) => {
                Ok(self.number("float", &[item])?.unwrap_or(Value::Lost))
            }
            _ => Ok(item),
        }
    }

    /// Operations that only the compiler writes.
    pub(super) fn prim(&mut self, name: &str, positional: Vec<Value>) -> Result<Value> {
        match (name, positional.as_slice()) {
            ("NumToTensor", [value]) => {
                // Numbers of Python make tensors of 64 bits.
                let element_type = match value {
                    Value::Int(_) => ElementType::Int64,
                    Value::Bool(_) => ElementType::Bool,
                    Value::Number(number) if number.kind == NumberKind::Int => ElementType::Int64,
                    Value::Number(number) if number.kind == NumberKind::Bool => ElementType::Bool,
                    _ => ElementType::Float64,
                };
                let value = Named { name: String::new(), value: self.argument(value)? };
                let dtype = Named { name: "dtype".into(), value: Argument::Type(element_type) };
                let results = self.emit("aten.scalar_tensor.default", vec![value, dtype])?;
                Ok(results.into_iter().next().unwrap_or(Value::Lost))
            }
            ("unchecked_unwrap_optional" | "unchecked_cast", [value]) => Ok(value.clone()),
            ("rangelist", [Value::Int(count)]) if *count <= self.limits.nodes as i64 => {
                let list = Value::list((0..*count).map(Value::Int).collect());
                self.charge(&list).map(|()| list)
            }
            ("type", _) => Ok(Value::text("cpu")),
            _ => {
                let way_out = match name.contains("mkldnn") || name.contains("MKLDNN") {
                    true => {
                        "weights of a model that torch.jit.optimize_for_inference made for \
                             this machine are not in the file; save the model before it"
                    }
                    false => "save the model with torch.export.save instead",
                };
                self.refuse(&format!("prim.{name}"), "the operator", way_out);
                Ok(Value::Lost)
            }
        }
    }
}
