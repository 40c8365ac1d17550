"""PyTorch: its matrix product, and its usual training loop with autograd and the fused optimizers, its fastest."""

import re

import torch
from cases import BETA1, BETA2, EPSILON, LEARNING_RATE, flat

MODULES = {
    "relu": torch.nn.ReLU,
    "tanh": torch.nn.Tanh,
    "logistic": torch.nn.Sigmoid,
    "softmax": lambda: torch.nn.Softmax(dim=1),
}


def version():
    return f"PyTorch {torch.__version__}"


def ran():
    blas = re.search(r"Math Kernel Library Version \S+|OpenBLAS \S+", torch.__config__.show())
    return f"ATen and oneDNN {torch.backends.cpu.get_cpu_capability()}, {blas[0] if blas else 'no BLAS'}"


def product(case, threads):
    torch.set_num_threads(threads)
    A, B, out = map(torch.from_numpy, case.operands())
    return lambda: torch.mm(A, B, out=out), out.numpy


def _model(case, last=None):
    """The network, without its last activation if `last` is "logits"."""
    parts = []
    for (W, b), activation in zip(case.layers(), case.activations, strict=True):
        linear = torch.nn.Linear(*W.shape)
        linear.weight.data, linear.bias.data = torch.from_numpy(W.T.copy()), torch.from_numpy(b)
        parts += [linear, MODULES.get(activation, torch.nn.Identity)()]
    return torch.nn.Sequential(*(parts[:-1] if last == "logits" else parts))


def _weights(model):
    return flat((part.weight.detach().T, part.bias.detach()) for part in model if isinstance(part, torch.nn.Linear))


def _squared_error(out, y):
    return 0.5 * ((out - y) ** 2).sum() / len(out)


def minibatch(case, threads):
    torch.set_num_threads(threads)
    X, Y, order = map(torch.from_numpy, case.data())
    model, criterion = _model(case), _squared_error
    if case.loss == "log_loss":
        Y, model, criterion = Y.argmax(dim=1), _model(case, "logits"), torch.nn.functional.cross_entropy
    rate, updates = LEARNING_RATE[case.optimizer], 0
    if case.optimizer == "sgd":
        optimizer = torch.optim.SGD(model.parameters(), rate, fused=True)
    else:
        optimizer = torch.optim.Adam(model.parameters(), rate, (BETA1, BETA2), fused=True)

    def step():
        nonlocal updates
        for start in range(0, case.samples, case.batch):
            batch = order[start : start + case.batch]
            x, y = (X, Y) if case.batch == case.samples else (X[batch], Y[batch])
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            updates += 1
            # PyTorch adds eps after the correction of v, the others before; this makes them equal.
            optimizer.param_groups[0]["eps"] = EPSILON / (1 - BETA2**updates) ** 0.5
            optimizer.step()

    return step, lambda: _weights(model)


online = minibatch


def predict(case, threads):
    torch.set_num_threads(threads)
    X, model, out = torch.from_numpy(case.data()[0]), _model(case), None

    def step():
        nonlocal out
        with torch.inference_mode():
            out = model(X)

    return step, lambda: out.numpy()
