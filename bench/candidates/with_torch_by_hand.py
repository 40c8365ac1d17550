"""PyTorch without autograd: per-sample learning by in-place tensor operations."""

import torch
from cases import LEARNING_RATE, flat, output_delta, slope
from with_torch import ran, version

__all__ = ["online", "ran", "version"]


def online(case, threads):
    torch.set_num_threads(threads)
    X, Y, order = map(torch.from_numpy, case.data())
    X, Y, order = X.unbind(), Y.unbind(), order.tolist()
    layers = [(torch.from_numpy(W.T.copy()), torch.from_numpy(b)) for W, b in case.layers()]
    a, rate = [torch.empty(size) for size in case.sizes], LEARNING_RATE[case.optimizer]

    @torch.inference_mode()
    def step():
        for t in order:
            a[0] = X[t]
            for l, (W, b) in enumerate(layers):
                torch.addmv(b, W, a[l], out=a[l + 1]).sigmoid_()
            delta = output_delta(case, a[-1], Y[t])
            for l in range(len(layers) - 1, -1, -1):
                W, b = layers[l]
                below = torch.mv(W.T, delta).mul_(slope(case.hidden, a[l])) if l > 0 else None
                W.addr_(delta, a[l], alpha=-rate)
                b.add_(delta, alpha=-rate)
                delta = below

    return step, lambda: flat((W.T, b) for W, b in layers)
