"""OpenVINO: prediction with the model that ONNX Runtime is given."""

import openvino
from with_onnx import model

core = openvino.Core()
# One request at a time, on all threads. In a faster precision, the outputs would differ by more than rounding.
SETTINGS = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1}
kernels = set()


def version():
    return f"OpenVINO {openvino.__version__.split('-')[0]}"


def ran():
    return ", ".join(sorted(kernels))


def request(data, X, threads):
    """A request to predict X by an ONNX model; it does not keep X alive."""
    onnx = core.read_model(data)
    onnx.reshape(X.shape)  # known when the kernels are chosen
    compiled = core.compile_model(onnx, "CPU", SETTINGS | {"INFERENCE_NUM_THREADS": threads})
    kernels.update(
        node.get_rt_info()["primitiveType"].astype(str)
        for node in compiled.get_runtime_model().get_ops()
        if node.get_rt_info()["layerType"].astype(str) in ("FullyConnected", "MatMul")
    )
    asked = compiled.create_infer_request()
    asked.set_input_tensor(openvino.Tensor(X, shared_memory=True))
    return asked


def predict(case, threads):
    X = case.data()[0]
    asked = request(model(case.sizes, case.layers(), case.activations), X, threads)

    def step(X=X):  # keeps X alive
        asked.infer(share_outputs=True)

    return step, lambda: asked.get_output_tensor().data.copy()
