//! The output that answers, as one row of numbers an example.

use anyhow::{Context, bail};
use modelyard_serving::Labels;
use modelyard_tensor::{DataType, Signature, Tensor};

/// Most numbers in an answer: a confusion matrix has so many rows and columns.
const WIDTH_MAX: usize = 4096;

/// The output that is measured.
#[derive(Debug, PartialEq)]
pub(crate) struct Head {
    /// Its position.
    pub(crate) output: usize,
    name: String,
}

impl Head {
    /// The output of this name; or the one whose classes have names; or the first of floats.
    pub(crate) fn find(
        signature: &Signature,
        labels: &Labels,
        wanted: Option<&str>,
    ) -> anyhow::Result<Head> {
        let outputs = &signature.outputs;
        let float = |position: &usize| {
            use DataType::{Bf16, Fp16, Fp32, Fp64};
            matches!(outputs[*position].data_type, Fp32 | Fp64 | Fp16 | Bf16)
        };
        let named = |position: &usize| labels.get(*position).is_some_and(Option::is_some);
        let all = || (0..outputs.len()).filter(float);
        let names = || {
            let names: Vec<&str> = outputs.iter().map(|spec| spec.name.as_str()).collect();
            names.join("', '")
        };
        let output = match wanted {
            Some(name) => signature.output_index(name).with_context(|| {
                format!("the model has no output '{name}', it gives '{}'", names())
            })?,
            None => all().find(named).or_else(|| all().next()).with_context(|| {
                format!("the model gives no floats to measure, only '{}'", names())
            })?,
        };
        let name = outputs[output].name.clone();
        if !float(&output) {
            bail!("output '{name}' gives {}, expected floats", outputs[output].data_type);
        }
        Ok(Head { output, name })
    }
}

/// Answers to some examples.
#[derive(Debug, PartialEq)]
pub(crate) struct Answers {
    /// Row by row.
    pub(crate) values: Vec<f32>,
    /// Numbers in a row.
    pub(crate) width: usize,
}

impl Answers {
    /// The rows of an output over so many examples.
    pub(crate) fn of(output: &Tensor, examples: usize, head: &Head) -> anyhow::Result<Answers> {
        let wrong = || {
            format!(
                "output '{}' has shape {} for {examples} examples, expected one row each",
                head.name,
                output.shape()
            )
        };
        let values = output.to_f64s().with_context(wrong)?;
        let width = values.len() / examples.max(1);
        if width == 0 || width * examples != values.len() {
            bail!(wrong());
        }
        // Dimensions of one say nothing; two larger ones are a picture or a sequence.
        let rest = output.shape().iter().filter(|dim| **dim > 1);
        let rows = usize::from(examples > 1);
        if rest.count() > rows + 1 {
            bail!(wrong());
        }
        if width > WIDTH_MAX {
            bail!("output '{}' gives {width} numbers, more than {WIDTH_MAX}", head.name);
        }
        Ok(Answers { values: values.into_iter().map(|value| value as f32).collect(), width })
    }

    /// The same where an answer may have any shape, such as a sequence or a picture: its numbers are one
    /// row.
    pub(crate) fn whole(output: &Tensor, examples: usize, head: &Head) -> anyhow::Result<Answers> {
        let wrong = || {
            let shape = output.shape();
            format!("output '{}' has shape {shape}, expected {examples} examples", head.name)
        };
        let values = output.to_f64s().with_context(wrong)?;
        let width = values.len() / examples.max(1);
        let is_divided = examples == 1 || output.shape().first() == Some(&examples);
        if width == 0 || !is_divided {
            bail!(wrong());
        }
        Ok(Answers { values: values.into_iter().map(|value| value as f32).collect(), width })
    }

    /// The answers to the first examples.
    pub(crate) fn first(mut self, examples: usize) -> Answers {
        self.values.truncate(self.width * examples);
        self
    }
}

#[cfg(test)]
mod tests {
    use modelyard_tensor::{Shape, TensorSpec};

    use super::*;

    fn signature(outputs: &[(&str, DataType)]) -> Signature {
        let spec = |&(name, data_type): &(&str, DataType)| TensorSpec {
            name: name.to_owned(),
            data_type,
            dims: None,
        };
        Signature { inputs: Vec::new(), outputs: outputs.iter().map(spec).collect() }
    }

    #[test]
    fn the_output_with_names_or_the_first_of_floats_answers() {
        let model = signature(&[
            ("label", DataType::Int64),
            ("features", DataType::Fp32),
            ("scores", DataType::Fp32),
        ]);
        let find = |labels: &Labels, wanted| Head::find(&model, labels, wanted);
        assert_eq!(find(&Vec::new(), None).unwrap().output, 1);
        let labels = vec![None, None, Some(vec!["a".to_owned()].into())];
        assert_eq!(find(&labels, None).unwrap().output, 2);
        assert_eq!(find(&Vec::new(), Some("scores")).unwrap().output, 2);
        let error = find(&Vec::new(), Some("label")).unwrap_err().to_string();
        assert_eq!(error, "output 'label' gives INT64, expected floats");
        assert!(find(&Vec::new(), Some("x")).is_err());
    }

    #[test]
    fn answers_are_rows() {
        let head = Head { output: 0, name: "y".into() };
        let of = |dims: &[usize], examples| {
            let elements = dims.iter().product();
            let tensor = Tensor::from_vec(Shape::new(dims), vec![0f32; elements]).unwrap();
            Answers::of(&tensor, examples, &head).map(|answers| answers.width)
        };
        assert_eq!(of(&[2, 10], 2).unwrap(), 10);
        assert_eq!(of(&[2, 10, 1, 1], 2).unwrap(), 10);
        assert_eq!(of(&[3], 3).unwrap(), 1);
        assert_eq!(of(&[10], 1).unwrap(), 10);
        assert!(of(&[2, 3, 4], 2).is_err() && of(&[3, 4], 1).is_err() && of(&[3], 2).is_err());
        assert!(of(&[1, 5000], 1).is_err());
    }

    #[test]
    fn whole_answers_may_have_any_shape() {
        let head = Head { output: 0, name: "y".into() };
        let whole = |dims: &[usize], examples| {
            let elements = dims.iter().product();
            let tensor = Tensor::from_vec(Shape::new(dims), vec![0f32; elements]).unwrap();
            Answers::whole(&tensor, examples, &head).map(|answers| answers.width)
        };
        assert_eq!(whole(&[2, 64, 384], 2).unwrap(), 64 * 384);
        assert_eq!(whole(&[3, 4], 1).unwrap(), 12);
        assert!(whole(&[4, 3], 2).is_err() && whole(&[2, 0], 2).is_err());
    }
}
