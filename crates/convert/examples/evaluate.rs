//! Evaluates one model on inputs in a file: `evaluate SOURCE IN.safetensors OUT.safetensors`, with
//! tensors `in.<name>` and `out.<name>`. For comparing a source with its framework by hand.

use std::path::Path;
use std::time::Instant;

use modelyard_convert::{Limits, Options, convert, open};
use modelyard_tensor::{DataType, Shape, Tensor};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

const TYPES: [(DataType, Dtype); 8] = [
    (DataType::Fp32, Dtype::F32),
    (DataType::Int8, Dtype::I8),
    (DataType::Uint8, Dtype::U8),
    (DataType::Int16, Dtype::I16),
    (DataType::Int32, Dtype::I32),
    (DataType::Int64, Dtype::I64),
    (DataType::Bool, Dtype::BOOL),
    (DataType::Fp16, Dtype::F16),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [source, given, out, ..] = arguments.as_slice() else {
        return Err("usage: evaluate SOURCE IN.safetensors OUT.safetensors".into());
    };
    let options = Options::default();
    let source = open(Path::new(source), &options, &Limits::default())?;
    let conversion = convert(source.as_ref(), &options)?;
    let signature = conversion.model.signature()?;
    let bytes = std::fs::read(given)?;
    let file = SafeTensors::deserialize(&bytes)?;
    let mut inputs = Vec::new();
    for spec in &signature.inputs {
        let view = file.tensor(&format!("in.{}", spec.name))?;
        let kind = TYPES.iter().find(|(_, dtype)| *dtype == view.dtype()).ok_or("type")?.0;
        inputs.push(Tensor::new(kind, Shape::new(view.shape()), view.data().to_vec().into())?);
    }
    let start = Instant::now();
    let outputs = source.evaluate(&inputs)?;
    println!("{:?}", start.elapsed());
    let named = signature.outputs.iter().zip(&outputs).map(|(spec, tensor)| {
        let found = TYPES.iter().find(|(kind, _)| *kind == tensor.data_type());
        let dtype = found.map_or(Dtype::F32, |found| found.1);
        let view = TensorView::new(dtype, tensor.shape().dims().to_vec(), tensor.data());
        (format!("out.{}", spec.name), view)
    });
    let views: Result<Vec<_>, _> =
        named.map(|(name, view)| view.map(|view| (name, view))).collect();
    std::fs::write(out, safetensors::serialize(views?, None)?)?;
    Ok(())
}
