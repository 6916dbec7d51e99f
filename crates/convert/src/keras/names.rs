//! How Keras makes names out of classes.

use std::collections::HashMap;

/// `Conv2DTranspose` as `conv2d_transpose`.
pub(crate) fn snake_case(class: &str) -> String {
    let letters: Vec<char> = class.chars().filter(|c| c.is_alphanumeric() || *c == '_').collect();
    // An underscore before each capital that a lower-case letter follows.
    let mut once = Vec::with_capacity(letters.len() + 8);
    for (index, &letter) in letters.iter().enumerate() {
        let next = letters.get(index + 1);
        let begins_word = letter.is_ascii_uppercase()
            && next.is_some_and(|next| next.is_ascii_lowercase())
            && index > 0;
        if begins_word {
            once.push('_');
        }
        once.push(letter);
    }
    // And between a lower-case letter and a capital.
    let mut twice = String::with_capacity(once.len() + 8);
    for (index, &letter) in once.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|before| once.get(before));
        if letter.is_ascii_uppercase() && before.is_some_and(char::is_ascii_lowercase) {
            twice.push('_');
        }
        twice.push(letter);
    }
    twice.to_lowercase()
}

/// Makes names unique as Keras does where it saves a list of layers: by a number at the end.
#[derive(Debug, Default)]
pub(crate) struct Names(HashMap<String, usize>);

impl Names {
    /// The name of the next layer of this class.
    pub(crate) fn next(&mut self, class: &str) -> String {
        // The one class that Keras calls otherwise inside.
        let class = if class == "GroupQueryAttention" { "GroupedQueryAttention" } else { class };
        let name = snake_case(class);
        match self.0.get_mut(&name) {
            Some(count) => {
                *count += 1;
                format!("{name}_{count}")
            }
            None => {
                self.0.insert(name.clone(), 0);
                name
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_become_names() {
        for (class, name) in [
            ("Dense", "dense"),
            ("Conv2D", "conv2d"),
            ("Conv2DTranspose", "conv2d_transpose"),
            ("SeparableConv2D", "separable_conv2d"),
            ("BatchNormalization", "batch_normalization"),
            ("LSTM", "lstm"),
            ("LSTMCell", "lstm_cell"),
            ("PReLU", "p_re_lu"),
            ("ReLU", "re_lu"),
            ("StackedRNNCells", "stacked_rnn_cells"),
            ("RMSNormalization", "rms_normalization"),
        ] {
            assert_eq!(snake_case(class), name);
        }
    }

    #[test]
    fn names_are_counted() {
        let mut names = Names::default();
        assert_eq!(names.next("Dense"), "dense");
        assert_eq!(names.next("Dense"), "dense_1");
        assert_eq!(names.next("Dropout"), "dropout");
        assert_eq!(names.next("Dense"), "dense_2");
    }
}
