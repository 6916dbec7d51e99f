"""The server that tutorials show: Flask, onnxruntime, app.run()."""

import os

import numpy as np
import onnxruntime as ort
from flask import Flask, jsonify, request

app = Flask(__name__)
options = ort.SessionOptions()
if os.environ.get("THREADS"):
    options.intra_op_num_threads = int(os.environ["THREADS"])
session = ort.InferenceSession(os.environ["MODEL"], options)
input_ = session.get_inputs()[0]
shape = [d if isinstance(d, int) else 1 for d in input_.shape]


@app.route("/predict", methods=["POST"])
def predict():
    image = np.array(request.get_json()["image"], dtype=np.float32).reshape(shape)
    prediction = session.run(None, {input_.name: image})[0][0]
    return jsonify({"prediction": prediction.tolist(), "class": int(prediction.argmax())})


if __name__ == "__main__":
    import logging

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app.run(port=int(os.environ["PORT"]))
