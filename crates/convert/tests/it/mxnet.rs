//! Symbols of MXNet that hold every operator. `fixtures/mxnet.py` made them.

use crate::support::check;

macro_rules! symbols {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            check(concat!("mxnet/", stringify!($name), "-symbol.json"));
        })*
    };
}

symbols! {
    activation arithmetic boxes comparison convolution create deformable dense gluon_lstm gru images
    index lrn lstm many_boxes normalization parts pooling reduce rnn_relu rnn_tanh sequence shapes
    softmax unary
}
