//! `ConvLSTM1D` to `ConvLSTM3D`: an LSTM over images, whose products are convolutions.

use modelyard_graph::ElementType;
use modelyard_tensor::Dim;

use crate::EvaluateError;
use crate::emitter::node;
use crate::keras::activations::Activation;
use crate::keras::argument::Arguments;
use crate::keras::config::Config;
use crate::keras::converter::Converter;
use crate::keras::evaluator::{Evaluator, Sample};
use crate::keras::fault::Fault;
use crate::keras::layer::{Layer, Masks, Operation};
use crate::keras::layers::convolution::{self, outputs_first};
use crate::keras::layers::window::{Padding, Window, channels_first};
use crate::keras::reader::Context;
use crate::keras::value::Value;
use crate::keras::variables::Variables;
use crate::keras::weight::Weight;
use crate::reference::convolution::convolve;
use crate::reference::elementwise::{add, mul};
use crate::reference::{Array, normalize, shape};

/// An LSTM over images.
#[derive(Debug)]
struct ConvLstm {
    /// Of what comes in.
    window: Window,
    filters: usize,
    activation: Activation,
    recurrent_activation: Activation,
    use_bias: bool,
    channels_first: bool,
    return_sequences: bool,
    return_state: bool,
    go_backwards: bool,
}

/// As many steps are written out; more would make a graph that nobody wants.
const STEPS_MAX: usize = 256;

/// Reads one.
pub(crate) fn read(
    class: &str,
    config: &Config,
    context: &mut Context<'_>,
) -> Result<Box<dyn Operation>, Fault> {
    let rank = super::rank_of(class);
    let major = context.reader.major;
    let activation = |name: &str, default: &str| match config.get(&[name]) {
        Some(json) => Activation::read(Some(json), major),
        None => Activation::named(default, major),
    };
    Ok(Box::new(ConvLstm {
        window: convolution::window(config, rank)?,
        filters: config.size(&["filters", "nb_filter"])?,
        activation: activation("activation", "tanh")?,
        recurrent_activation: activation("recurrent_activation", "hard_sigmoid")?,
        use_bias: config.flag(&["use_bias"], true)?,
        channels_first: channels_first(config)?,
        return_sequences: config.flag(&["return_sequences"], false)?,
        return_state: config.flag(&["return_state"], false)?,
        go_backwards: config.flag(&["go_backwards"], false)?,
    }))
}

impl ConvLstm {
    fn cell(&self, layer: &Layer) -> Variables {
        let base = Variables {
            label: layer.label.clone(),
            path: format!("{}/cell", layer.path),
            trainable: layer.trainable,
            ..Variables::default()
        };
        base.trained(match self.use_bias {
            true => &["kernel", "recurrent_kernel", "bias"],
            false => &["kernel", "recurrent_kernel"],
        })
    }

    /// The window over the state, which keeps its size.
    fn recurrent(&self) -> Window {
        let ones = vec![1; self.window.size.len()];
        Window {
            size: self.window.size.clone(),
            strides: ones.clone(),
            dilations: ones,
            padding: Padding::Same,
        }
    }

    fn kernel(&self, weight: &Weight) -> Result<Weight, Fault> {
        let weight = outputs_first(weight, self.window.size.len())?;
        if weight.dims[0] != 4 * self.filters || weight.dims[2..] != self.window.size[..] {
            let found = &weight.dims;
            return Err(Fault::malformed(format!("a kernel {found:?} does not fit the layer")));
        }
        Ok(weight)
    }

    /// The axes of a sequence of images with the channels after the steps.
    fn order(&self, rank: usize) -> Vec<usize> {
        match self.channels_first {
            true => (0..rank).collect(),
            false => [0, 1, rank - 1].into_iter().chain(2..rank - 1).collect(),
        }
    }

    /// An image or a sequence back with its channels where they were.
    fn back(&self, rank: usize, channels: usize) -> Vec<usize> {
        if self.channels_first {
            return (0..rank).collect();
        }
        (0..channels).chain(channels + 1..rank).chain([channels]).collect()
    }
}

/// The parts of a step that are written: input, forget, cell, output.
fn gates(z: &Value, filters: usize, to: &mut Converter<'_>) -> Vec<Value> {
    let sizes = to.emitter.integers("sizes", &[filters as i64; 4]);
    let split = node("Split", &[&z.name, &sizes]).with("axis", 1);
    let mut dims = z.dims.clone();
    dims[1] = Dim::Fixed(filters);
    let names = to.emitter.add_many(split, 4);
    names.into_iter().map(|name| to.value(name, dims.clone(), z.element_type)).collect()
}

impl Operation for ConvLstm {
    fn variables(&self, base: Variables) -> Variables {
        let cell = Variables {
            label: base.label.clone(),
            path: format!("{}/cell", base.path),
            trainable: base.trainable,
            ..Variables::default()
        };
        let cell = cell.trained(match self.use_bias {
            true => &["kernel", "recurrent_kernel", "bias"],
            false => &["kernel", "recurrent_kernel"],
        });
        base.with(cell)
    }

    fn masks(&self) -> Masks {
        Masks::Own
    }

    fn convert(
        &self,
        layer: &Layer,
        call: &Arguments<Value>,
        to: &mut Converter<'_>,
    ) -> Result<Vec<Value>, Fault> {
        let rank = self.window.size.len();
        let x = to.float(super::of_rank(call.input()?, rank + 3)?);
        if call.all_values().len() > 1 || x.mask.is_some() {
            return Err(Fault::unsupported("a mask or a state to begin with", "leave them out"));
        }
        let steps =
            x.size(1).filter(|&steps| (1..=STEPS_MAX).contains(&steps)).ok_or_else(|| {
                Fault::unsupported(
                    format!("a number of steps that is not fixed, or more than {STEPS_MAX},"),
                    "give the input of the model a fixed number of steps",
                )
            })?;
        let x = to.transpose(&x, &self.order(rank + 3));
        let of = self.cell(layer);
        let (kernel, _) = to.weight_as(&of, "kernel", |weight| self.kernel(&weight))?;
        let (recurrent, _) =
            to.weight_as(&of, "recurrent_kernel", |weight| self.kernel(&weight))?;
        let bias = if self.use_bias { Some(to.weight(&of, "bias")?.0) } else { None };
        let mut state: Option<(Value, Value)> = None;
        let mut outputs = Vec::with_capacity(steps);
        for index in 0..steps {
            let step = if self.go_backwards { steps - 1 - index } else { index } as i64;
            let image = to.slice(&x, 1, (step, step + 1, 1));
            let image = to.squeeze(&image, &[1]);
            let mut inputs = vec![image.name.clone(), kernel.clone()];
            inputs.extend(bias.clone());
            let conv = self.window.on(node("Conv", &inputs), &image.dims[2..]);
            let name = to.add(conv);
            let mut dims = vec![image.dims[0].clone(), Dim::Fixed(4 * self.filters)];
            dims.extend(self.window.output(&image.dims[2..]));
            let mut z = to.value(name, dims, ElementType::Float32);
            if let Some((h, _)) = &state {
                let conv = node("Conv", &[&h.name, &recurrent]);
                let name = to.add(self.recurrent().on(conv, &h.dims[2..]));
                let inner = to.like(&z, name);
                z = to.binary("Add", &z, &inner)?;
            }
            let gates = gates(&z, self.filters, to);
            let input = self.recurrent_activation.convert(&gates[0], to)?;
            let new = self.activation.convert(&gates[2], to)?;
            let mut c = to.binary("Mul", &input, &new)?;
            if let Some((_, before)) = &state {
                let forget = self.recurrent_activation.convert(&gates[1], to)?;
                let kept = to.binary("Mul", &forget, before)?;
                c = to.binary("Add", &kept, &c)?;
            }
            let open = self.recurrent_activation.convert(&gates[3], to)?;
            let inner = self.activation.convert(&c, to)?;
            let h = to.binary("Mul", &open, &inner)?;
            if self.return_sequences {
                outputs.push(to.unsqueeze(&h, &[1]));
            }
            state = Some((h, c));
        }
        let (h, c) = state.ok_or_else(|| Fault::malformed("expected at least one step"))?;
        let image = self.back(rank + 2, 1);
        let mut results = vec![match self.return_sequences {
            true => {
                let all = to.concat(&outputs, 1)?;
                to.transpose(&all, &self.back(rank + 3, 2))
            }
            false => to.transpose(&h, &image),
        }];
        if self.return_state {
            results.push(to.transpose(&h, &image));
            results.push(to.transpose(&c, &image));
        }
        Ok(results)
    }

    fn evaluate(
        &self,
        layer: &Layer,
        call: &Arguments<Sample>,
        with: &Evaluator<'_>,
    ) -> Result<Vec<Sample>, EvaluateError> {
        let rank = self.window.size.len();
        let x = super::floats(&call.input()?.array)?;
        if x.rank() != rank + 3 {
            return Err(EvaluateError::new("expected a sequence of images"));
        }
        let images = shape::unstack(&x, 1)?;
        let of = self.cell(layer);
        let kernel = self.kernel(&with.read(&of, "kernel")?)?.array()?;
        let recurrent = self.kernel(&with.read(&of, "recurrent_kernel")?)?.array()?;
        let bias = if self.use_bias { Some(with.weight(&of, "bias")?) } else { None };
        let mut state: Option<(Array, Array)> = None;
        let mut outputs = Vec::new();
        for index in 0..images.len() {
            let step = if self.go_backwards { images.len() - 1 - index } else { index };
            let image = match self.channels_first {
                true => images[step].clone(),
                false => normalize::channels_first(&images[step])?,
            };
            let how = super::walking(&self.window, &image.dims()[2..], 1)?;
            let mut z = convolve(&image, &kernel, bias.as_ref(), &how)?;
            // The state begins as zeros, which add nothing.
            let (h, c) = match state {
                Some(state) => state,
                None => {
                    let mut dims = z.dims().to_vec();
                    dims[1] = self.filters;
                    let zeros = Array::floats(&dims, vec![0.0; dims.iter().product()])?;
                    (zeros.clone(), zeros)
                }
            };
            let how = super::walking(&self.recurrent(), &h.dims()[2..], 1)?;
            z = add(&z, &convolve(&h, &recurrent, None, &how)?)?;
            let z = shape::split(&z, 1, &[self.filters; 4])?;
            let gate = |index: usize| self.recurrent_activation.evaluate(&z[index]);
            let new = mul(&gate(0)?, &self.activation.evaluate(&z[2])?)?;
            let c = add(&mul(&gate(1)?, &c)?, &new)?;
            let h = mul(&gate(3)?, &self.activation.evaluate(&c)?)?;
            outputs.push(h.clone());
            state = Some((h, c));
        }
        let (h, c) = state.ok_or_else(|| EvaluateError::new("expected at least one step"))?;
        let back = |image: &Array| match self.channels_first {
            true => Ok(image.clone()),
            false => normalize::channels_last(image),
        };
        let mut results = vec![match self.return_sequences {
            true => {
                let all: Result<Vec<Array>, EvaluateError> = outputs.iter().map(back).collect();
                shape::stack(&all?.iter().collect::<Vec<_>>(), 1)?
            }
            false => back(&h)?,
        }];
        if self.return_state {
            results.push(back(&h)?);
            results.push(back(&c)?);
        }
        Ok(results.into_iter().map(Sample::new).collect())
    }
}
