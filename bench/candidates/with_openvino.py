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


def predict(case, threads):
    onnx = core.read_model(model(case.sizes, case.layers(), case.activations))
    onnx.reshape([case.samples, case.sizes[0]])  # lets it choose better kernels
    compiled = core.compile_model(onnx, "CPU", SETTINGS | {"INFERENCE_NUM_THREADS": threads})
    kernels.update(
        node.get_rt_info()["primitiveType"].astype(str)
        for node in compiled.get_runtime_model().get_ops()
        if node.get_rt_info()["layerType"].astype(str) in ("FullyConnected", "MatMul")
    )
    request, X = compiled.create_infer_request(), case.data()[0]
    request.set_input_tensor(openvino.Tensor(X, shared_memory=True))

    def step(X=X):  # the tensor does not keep X alive
        request.infer(share_outputs=True)

    return step, lambda: request.get_output_tensor().data.copy()
