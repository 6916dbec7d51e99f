// Fastify, with a schema of the answer for its fast serializer, and onnxruntime-node.
import Fastify from "fastify";
import ort from "onnxruntime-node";

const options = process.env.THREADS ? { intraOpNumThreads: Number(process.env.THREADS) } : {};
const session = await ort.InferenceSession.create(process.env.MODEL, options);
const name = session.inputNames[0];
const shape = session.inputMetadata[0].shape.map((d) => (typeof d === "number" ? d : 1));

const answer = {
  type: "object",
  properties: {
    prediction: { type: "array", items: { type: "number" } },
    class: { type: "integer" },
  },
};

const app = Fastify({ bodyLimit: 64 << 20 });
app.post("/predict", { schema: { response: { 200: answer } } }, async (request) => {
  const image = new ort.Tensor("float32", Float32Array.from(request.body.image), shape);
  const outputs = await session.run({ [name]: image });
  const prediction = Array.from(outputs[session.outputNames[0]].data);
  return { prediction, class: prediction.indexOf(Math.max(...prediction)) };
});
await app.listen({ port: Number(process.env.PORT), host: "127.0.0.1" });
