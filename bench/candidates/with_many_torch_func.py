"""
PyTorch as its users write it: `torch.func.vmap` over the networks of `grad` of a loss of `functional_call`.

One program does all works: it is written for one network. Fused Adam and threads are those of ``with_many_torch.py``.
"""

import torch
from many_works import rows_of
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from with_many_torch import on_processes, optimizer
from with_torch import version

__all__ = ["many", "version"]

HIDDEN = {"relu": nn.ReLU, "logistic": nn.Sigmoid}


def many(work, threads):
    return on_processes(work, threads, _learnt)


def _learnt(work, group, layers, orders):
    inputs, units, outputs = work.sizes
    net = nn.Sequential(nn.Linear(inputs, units), HIDDEN[work.hidden](), nn.Linear(units, outputs))
    loss = _loss(work)
    # nn.Linear has its weights by outputs.
    stacked = {f"{2 * l}.weight": torch.tensor(W).mT.contiguous() for l, (W, _) in enumerate(layers)}
    stacked |= {f"{2 * l}.bias": torch.tensor(b) for l, (_, b) in enumerate(layers)}
    slopes = vmap(grad(lambda params, x, y: loss(functional_call(net, params, (x,)), y)))
    X, Y = torch.tensor(group.X), torch.tensor(group.Y)
    own = torch.arange(len(group.seeds))[:, None]
    step = optimizer(work, list(stacked.values()))
    for order in torch.from_numpy(orders).transpose(0, 1):
        for some in order.split(work.batch, dim=1):
            some = some.long()
            x, y = (M[some] if group.shared else M[own, some] for M in (X, Y))
            for name, slope in slopes(stacked, x, y).items():
                stacked[name].grad = slope
            step()
    return rows_of(
        [(stacked[f"{2 * l}.weight"].mT.numpy(), stacked[f"{2 * l}.bias"].numpy()) for l in range(len(layers))]
    )


def _loss(work):
    if work.loss == "squared_error":
        return lambda z, y: 0.5 * (z.sigmoid() - y).square().sum(dim=1).mean()
    return cross_entropy if work.output == "softmax" else binary_cross_entropy_with_logits
