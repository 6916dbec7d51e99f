"""The usual fast Python server: FastAPI on uvicorn (uvloop, httptools), a session a worker."""

import os

import numpy as np
import onnxruntime as ort
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

app = FastAPI()
options = ort.SessionOptions()
if os.environ.get("THREADS"):
    options.intra_op_num_threads = int(os.environ["THREADS"])
session = ort.InferenceSession(os.environ["MODEL"], options)
input_ = session.get_inputs()[0]
shape = [d if isinstance(d, int) else 1 for d in input_.shape]


@app.post("/predict")
async def predict(request: Request):
    image = np.array((await request.json())["image"], dtype=np.float32).reshape(shape)
    prediction = session.run(None, {input_.name: image})[0][0]
    return JSONResponse({"prediction": prediction.tolist(), "class": int(prediction.argmax())})
