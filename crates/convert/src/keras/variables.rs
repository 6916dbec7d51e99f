//! Which weights a layer has, and in which order Keras keeps them.

/// One weight of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Variable {
    /// Its name: `kernel`, `bias`, `gamma`.
    pub(crate) name: &'static str,
    /// Whether training changes it. Keras keeps those that it does not change after the others.
    pub(crate) trainable: bool,
}

/// How Keras 1, or Keras on Theano, wrote the weights of a layer otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Old {
    /// As today.
    #[default]
    Same,
    /// The kernel of a convolution over so many axes.
    Kernel {
        /// Number of spatial axes.
        rank: usize,
        /// Whether the data has its channels first.
        channels_first: bool,
        /// Whether it is a transposed convolution.
        transposed: bool,
    },
    /// The gates of an LSTM one by one: input, cell, forget, output.
    Lstm,
    /// The gates of a GRU one by one: update, reset, candidate.
    Gru,
}

/// The weights of a layer and of the layers inside it, in the order of Keras.
#[derive(Clone, Debug, Default)]
pub(crate) struct Variables {
    /// The layer's name with those of the layers around it.
    pub(crate) label: String,
    /// Where a `.keras` archive has them.
    pub(crate) path: String,
    /// Whether the layer as a whole is trained.
    pub(crate) trainable: bool,
    /// The layer's own, those that are trained first.
    pub(crate) own: Vec<Variable>,
    /// Those of the layers inside it.
    pub(crate) inner: Vec<Variables>,
    /// How old versions wrote the layer's own.
    pub(crate) old: Old,
}

impl Variables {
    /// The key of a weight of the layer itself: where a `.keras` archive has it.
    pub(crate) fn key(&self, name: &str) -> Option<String> {
        let index = self.own.iter().position(|variable| variable.name == name)?;
        Some(self.key_at(index))
    }

    fn key_at(&self, index: usize) -> String {
        format!("{}/vars/{index}", self.path)
    }

    /// With weights that training changes.
    pub(crate) fn trained(mut self, names: &[&'static str]) -> Variables {
        self.own.extend(names.iter().map(|&name| Variable { name, trainable: true }));
        self
    }

    /// With weights that training does not change.
    pub(crate) fn fixed(mut self, names: &[&'static str]) -> Variables {
        self.own.extend(names.iter().map(|&name| Variable { name, trainable: false }));
        self
    }

    /// With the weights of a layer inside.
    pub(crate) fn with(mut self, inner: Variables) -> Variables {
        self.inner.push(inner);
        self
    }

    /// All weights in the order of an `.h5` file: those that are trained, then the others.
    pub(crate) fn legacy_order(&self) -> Vec<Slot<'_>> {
        let mut all = Vec::new();
        self.collect(true, &mut all);
        let (mut first, second): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|slot| slot.trainable);
        first.extend(second);
        first
    }

    fn collect<'a>(&'a self, trainable: bool, into: &mut Vec<Slot<'a>>) {
        let trainable = trainable && self.trainable;
        into.extend(self.own.iter().enumerate().map(|(index, variable)| Slot {
            owner: self,
            index,
            name: variable.name,
            trainable: trainable && variable.trainable,
        }));
        self.inner.iter().for_each(|inner| inner.collect(trainable, into));
    }
}

/// One weight among those of a layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot<'a> {
    /// The layer that has it.
    pub(crate) owner: &'a Variables,
    index: usize,
    /// Its name.
    pub(crate) name: &'static str,
    /// Whether it is trained, all things considered.
    pub(crate) trainable: bool,
}

impl Slot<'_> {
    /// Its key.
    pub(crate) fn key(&self) -> String {
        self.owner.key_at(self.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_trained_comes_last() {
        let layer = |path: &str, trainable| Variables {
            path: path.into(),
            trainable,
            ..Variables::default()
        };
        let model = layer("m", true)
            .with(layer("m/norm", true).trained(&["gamma"]).fixed(&["mean"]))
            .with(layer("m/frozen", false).trained(&["kernel"]))
            .with(layer("m/dense", true).trained(&["kernel", "bias"]));
        let keys: Vec<String> = model.legacy_order().iter().map(Slot::key).collect();
        let expected = [
            "m/norm/vars/0",
            "m/dense/vars/0",
            "m/dense/vars/1",
            "m/norm/vars/1",
            "m/frozen/vars/0",
        ];
        assert_eq!(keys, expected);
        assert_eq!(model.inner[2].key("bias").as_deref(), Some("m/dense/vars/1"));
    }
}
