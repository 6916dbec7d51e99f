//! Names, shapes and answers of the templates, as torchvision has them: `templates.json` was written
//! by it, with weights that both sides compute from their names.

use std::collections::BTreeMap;

use bytes::Bytes;
use modelyard_graph::ElementType;
use modelyard_tensor::{Dim, Shape, Tensor};
use serde::Deserialize;

use super::*;
use crate::pytorch::evaluate;
use crate::pytorch::weight::{Storage, Weight};

#[derive(Deserialize)]
struct Expected {
    names: BTreeMap<String, Digest>,
    answers: BTreeMap<String, Vec<f64>>,
}

#[derive(Deserialize)]
struct Digest {
    count: usize,
    digest: String,
}

fn expected() -> Expected {
    let text = include_str!("../../../../tests/fixtures/pytorch_weights/templates.json");
    serde_json::from_str(text).unwrap()
}

fn fnv(text: &str) -> u64 {
    let step = |value: u64, byte: u8| (value ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

/// Numbers from 0 to 1 that depend on the name alone: splitmix64.
fn noise(name: &str, count: usize) -> impl Iterator<Item = f64> {
    let start = fnv(name);
    (1..=count as u64).map(move |at| {
        let mut value = start.wrapping_add(at.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^= value >> 31;
        (value >> 40) as f64 / f64::from(1 << 24)
    })
}

fn values(name: &str, shape: &[usize]) -> Vec<f32> {
    let all = noise(name, shape.iter().product());
    let is_scale = name.ends_with("running_var") || name.ends_with(".weight");
    if shape.len() > 1 {
        let factor = (3.0 / shape[1..].iter().product::<usize>() as f64).sqrt();
        all.map(|value| ((2.0 * value - 1.0) * factor) as f32).collect()
    } else if is_scale {
        all.map(|value| (0.5 + value) as f32).collect()
    } else {
        all.map(|value| ((value - 0.5) * 0.2) as f32).collect()
    }
}

fn weights(expected: &BTreeMap<String, Vec<usize>>) -> BTreeMap<String, Weight> {
    let weight = |name: &str, shape: &[usize]| {
        let bytes: Vec<u8> =
            values(name, shape).iter().flat_map(|value| value.to_le_bytes()).collect();
        Weight::dense(Storage::Memory(Bytes::from(bytes)), ElementType::Float32, shape).unwrap()
    };
    expected.iter().map(|(name, shape)| (name.clone(), weight(name, shape))).collect()
}

/// Writes the template with a head of ten classes for images of `size`, and compares its answers.
fn check(name: &str, size: usize, hints: &[(&str, &[usize])], build: impl Fn(&mut Builder<'_>)) {
    let hints = hints.iter().map(|(name, shape)| ((*name).to_owned(), shape.to_vec())).collect();
    let shapes = BTreeMap::from([(
        "x".to_owned(),
        vec![Dim::Fixed(2), Dim::Fixed(3), Dim::Fixed(size), Dim::Fixed(size)],
    )]);
    let with = |weights: &BTreeMap<String, Weight>| {
        let mut to = Builder::new(name, weights);
        to.shapes.clone_from(&shapes);
        build(&mut to);
        to.finish()
    };
    let all = weights(&with(&weights(&hints)).expected);
    let program = with(&all).program;
    let images: Vec<f32> = values(&format!("images.{size}"), &[2, 3, size, size]);
    let images: Vec<f32> = images.into_iter().map(|value| value * 40.0).collect();
    let input = Tensor::from_vec(Shape::new(&[2, 3, size, size]), images).unwrap();
    let found = evaluate::evaluate(&program, &[input]).unwrap().remove(0).to_f64s().unwrap();
    let answers = &expected().answers[name];
    let scale = answers.iter().fold(0.0, |scale: f64, value| scale.max(value.abs()));
    assert_eq!(found.len(), answers.len(), "{name}");
    for (found, answer) in found.iter().zip(answers) {
        assert!((found - answer).abs() < 1e-4 * scale, "{name}: {found} is not {answer}");
    }
}

#[test]
fn residual_networks_answer_like_torchvision() {
    let named = |name: &str| find(name).unwrap().build;
    check("resnet18", 32, &[("fc.weight", &[10, 512])], named("resnet18"));
    check("resnext", 32, &[("fc.weight", &[10, 2048])], resnet::small);
}

#[test]
fn plain_networks_answer_like_torchvision() {
    let hints: [(&str, &[usize]); 2] =
        [("classifier.0.weight", &[8, 512 * 49]), ("classifier.6.weight", &[10, 8])];
    check("vgg11", 32, &hints, find("vgg11").unwrap().build);
}

#[test]
fn mobile_networks_answer_like_torchvision() {
    let named = |name: &str| find(name).unwrap().build;
    let hints: [(&str, &[usize]); 2] =
        [("features.0.0.weight", &[8, 3, 3, 3]), ("classifier.1.weight", &[10, 1280])];
    check("mobilenet_v2", 32, &hints, named("mobilenet_v2"));
    let hints: [(&str, &[usize]); 1] = [("classifier.3.weight", &[10, 1024])];
    check("mobilenet_v3_small", 32, &hints, named("mobilenet_v3_small"));
    let hints: [(&str, &[usize]); 1] = [("classifier.1.weight", &[10, 1280])];
    check("efficientnet_b0", 32, &hints, named("efficientnet_b0"));
    check("efficientnet_v2", 32, &hints, efficientnet::small);
}

#[test]
fn vision_transformers_answer_like_torchvision() {
    let hints: [(&str, &[usize]); 2] =
        [("encoder.pos_embedding", &[1, 5, 8]), ("heads.head.weight", &[10, 8])];
    check("vit", 32, &hints, vit::small);
}

#[test]
fn names_and_shapes_are_those_of_torchvision() {
    let names = expected().names;
    let nothing = BTreeMap::new();
    for template in all() {
        let mut to = Builder::new(template.name, &nothing);
        (template.build)(&mut to);
        let expected = to.finish().expected;
        // Sorted as whole lines, as the fixture has them.
        let mut lines: Vec<String> =
            expected.iter().map(|(name, shape)| format!("{name} {shape:?}")).collect();
        lines.sort();
        let digest = &names[template.name];
        assert_eq!(lines.len(), digest.count, "{}", template.name);
        assert_eq!(format!("{:016x}", fnv(&lines.join("\n"))), digest.digest, "{}", template.name);
    }
    assert_eq!(all().count(), names.len());
}

#[test]
fn names_are_found_however_they_are_written() {
    assert_eq!(find("ResNet-50").map(|template| template.name), Some("resnet50"));
    assert_eq!(find("wide_resnet50_2").map(|template| template.name), Some("wide_resnet50_2"));
    assert!(find("alexnet").is_none());
    assert_eq!(nearest("resnet5")[0], "resnet50");
    assert_eq!(distance("abc", "axcd"), 2);
}

#[test]
fn names_are_unique() {
    let mut names: Vec<String> = all().map(|template| plain(template.name)).collect();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
}
