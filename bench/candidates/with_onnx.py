"""ONNX Runtime: prediction with a model of Gemm nodes."""

import onnxruntime
from onnx import TensorProto, helper, numpy_helper

OPERATORS = {"relu": "Relu", "logistic": "Sigmoid", "softmax": "Softmax"}


def version():
    return f"ONNX Runtime {onnxruntime.__version__}"


def model(sizes, layers, activations):
    """A Gemm and an activation for each layer: the smallest model that predicts."""
    nodes, constants = [], []
    for l, ((W, b), activation) in enumerate(zip(layers, activations, strict=True)):
        constants += [numpy_helper.from_array(W, f"W{l}"), numpy_helper.from_array(b, f"b{l}")]
        nodes.append(helper.make_node("Gemm", [f"a{l}", f"W{l}", f"b{l}"], [f"z{l}"]))
        nodes.append(helper.make_node(OPERATORS[activation], [f"z{l}"], [f"a{l + 1}"]))
    inputs = [helper.make_tensor_value_info("a0", TensorProto.FLOAT, ["rows", sizes[0]])]
    outputs = [helper.make_tensor_value_info(f"a{len(activations)}", TensorProto.FLOAT, ["rows", sizes[-1]])]
    graph = helper.make_graph(nodes, "network", inputs, outputs, constants)
    return helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 21)]).SerializeToString()


def predict(case, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    data = model(case.sizes, case.layers(), case.activations)
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    feed, out = {"a0": case.data()[0]}, None

    def step():
        nonlocal out
        (out,) = session.run(None, feed)

    return step, lambda: out
