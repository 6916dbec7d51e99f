"""Boosted trees of XGBoost and LightGBM, converted and compared with what those answer.

    pip install xgboost lightgbm scikit-learn pandas onnx onnxruntime   (and onnxmltools for --peers)
    python bench/convert/trees.py --modelyard target/release/modelyard
"""

import sys

import lightgbm
import numpy
import xgboost
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits

import common

PEER = """
import sys, onnxmltools
from onnxmltools.convert.common.data_types import FloatTensorType
source, target, features = sys.argv[1:]
kind = [("input", FloatTensorType([None, int(features)]))]
if source.endswith(".txt"):
    import lightgbm
    model = onnxmltools.convert_lightgbm(lightgbm.Booster(model_file=source), initial_types=kind, zipmap=False)
else:
    import xgboost
    model = onnxmltools.convert_xgboost(xgboost.Booster(model_file=source), initial_types=kind)
onnxmltools.utils.save_model(model, target)
"""


def missing(x):
    """A tenth of the numbers gone."""
    return numpy.where(numpy.random.default_rng(0).random(x.shape) < 0.1, numpy.nan, x).astype(numpy.float32)


def xgb(path, x, y, rounds=200, **parameters):
    booster = xgboost.train({"max_depth": 8, **parameters}, xgboost.DMatrix(x, label=y), rounds)
    booster.save_model(path)
    return booster.predict(xgboost.DMatrix(x))


def lgb(path, x, y, rounds=200, **parameters):
    categorical = parameters.pop("categorical", "auto")
    data = lightgbm.Dataset(x.astype(numpy.float64), label=y, categorical_feature=categorical)
    lightgbm.train({"verbose": -1, "num_leaves": 63, **parameters}, data, rounds).save_model(path)
    return lightgbm.Booster(model_file=path).predict(x)


def models():
    diabetes, cancer, digits = load_diabetes(), load_breast_cancer(), load_digits()
    numbers = missing(diabetes.data), diabetes.target
    two = missing(cancer.data), cancer.target
    ten = digits.data.astype(numpy.float32), digits.target
    yield "xgb-diabetes", "json", xgb, numbers, {}
    yield "xgb-diabetes-poisson", "ubj", xgb, numbers, {"objective": "count:poisson"}
    yield "xgb-diabetes-dart", "ubj", xgb, numbers, {"booster": "dart", "rate_drop": 0.1}
    yield "xgb-diabetes-linear", "ubj", xgb, numbers, {"booster": "gblinear"}
    yield "xgb-cancer", "ubj", xgb, two, {"objective": "binary:logistic"}
    yield "xgb-digits", "ubj", xgb, ten, {"objective": "multi:softprob", "num_class": 10}
    yield "lgb-diabetes", "txt", lgb, numbers, {}
    yield "lgb-diabetes-zero", "txt", lgb, numbers, {"zero_as_missing": True}
    yield "lgb-diabetes-tweedie", "txt", lgb, numbers, {"objective": "tweedie"}
    yield "lgb-cancer", "txt", lgb, two, {"objective": "binary"}
    yield "lgb-cancer-forest", "txt", lgb, two, {
        "objective": "binary", "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.7}
    yield "lgb-digits", "txt", lgb, ten, {"objective": "multiclass", "num_class": 10}
    yield "lgb-digits-categories", "txt", lgb, ten, {
        "objective": "multiclass", "num_class": 10, "rounds": 50, "categorical": list(range(20, 40))}


def compared(target, x, expected):
    """Distance of the numbers, or of the probabilities."""
    found = common.answers(target, [x])[-1]
    if expected.ndim == 1 and found.ndim == 2:
        expected = numpy.stack([1 - expected, expected], 1)
    return common.worst([expected], [found])


def main():
    arguments = common.arguments(__doc__)
    columns = ["model", "size, KB", "time, s", "CPU, s", "memory, MB", "difference"]
    if arguments.peers:
        columns += ["onnxmltools, s", "onnxmltools CPU, s", "onnxmltools, MB", "onnxmltools difference"]
    table, agree = common.Table(*columns), 0
    for name, ending, train, (x, y), parameters in models():
        if arguments.only and arguments.only not in name:
            continue
        source, target = arguments.out / f"{name}.{ending}", arguments.out / f"{name}.onnx"
        expected = train(str(source), x, y, **parameters)
        seconds, cpu, memory, code, errors = common.convert(arguments.modelyard, source, target)
        found = errors if code else common.checked(target) or compared(target, x, expected)
        agree += isinstance(found, float) and found <= common.TOLERANCE
        row = [name, source.stat().st_size // 1024, seconds, cpu, memory, found]
        if arguments.peers:
            peer = arguments.out / f"{name}-peer.onnx"
            command = [sys.executable, "-c", PEER, source, peer, x.shape[1]]
            seconds, cpu, memory, code, errors = common.measured(command)
            row += [seconds, cpu, memory, errors if code else compared_peer(peer, x, expected)]
        table.add(*row)
    table.print(f"{agree} of {len(table.rows)} agree with their framework.", arguments.json)


def compared_peer(target, x, expected):
    try:
        found = common.answers(target, [x])[-1]
        if expected.ndim == 1 and found.shape == (len(x), 1):
            found = found[:, 0]
        if expected.ndim == 1 and found.ndim == 2:
            expected = numpy.stack([1 - expected, expected], 1)
        return common.worst([expected], [found])
    except Exception as error:
        return str(error).splitlines()[0][:120]


main()
