"""
PyTorch as users write it: `torch.func.vmap` over networks, of `grad` of a loss of `functional_call`.

One program, written for one network, does all cases. Fused Adam and processes are those of ``with_many_torch.py``.
"""

import torch
from many_cases import rows_of
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from with_many_torch import on_processes, optimizer
from with_torch import version

__all__ = ["many", "version"]

HIDDEN = {"relu": nn.ReLU, "logistic": nn.Sigmoid}


def many(case, threads):
    return on_processes(case, threads, _learnt)


def _learnt(case, group, layers, orders):
    inputs, units, outputs = case.sizes
    net = nn.Sequential(nn.Linear(inputs, units), HIDDEN[case.hidden](), nn.Linear(units, outputs))
    loss = _loss(case)
    # nn.Linear's weights have shape (outputs, inputs).
    stacked = {f"{2 * l}.weight": torch.tensor(W).mT.contiguous() for l, (W, _) in enumerate(layers)}
    stacked |= {f"{2 * l}.bias": torch.tensor(b) for l, (_, b) in enumerate(layers)}
    slopes = vmap(grad(lambda params, x, y: loss(functional_call(net, params, (x,)), y)))
    X, Y = torch.tensor(group.X), torch.tensor(group.Y)
    network = torch.arange(len(group.seeds))[:, None]
    step = optimizer(case, list(stacked.values()))
    for order in torch.from_numpy(orders).transpose(0, 1):
        for batch in order.split(case.batch, dim=1):
            batch = batch.long()
            x, y = (M[batch] if group.shared else M[network, batch] for M in (X, Y))
            for name, slope in slopes(stacked, x, y).items():
                stacked[name].grad = slope
            step()
    names = [f"{2 * l}" for l in range(len(layers))]
    return rows_of([(stacked[f"{name}.weight"].mT.numpy(), stacked[f"{name}.bias"].numpy()) for name in names])


def _loss(case):
    if case.loss == "squared_error":
        return lambda z, y: 0.5 * (z.sigmoid() - y).square().sum(dim=1).mean()
    return cross_entropy if case.output == "softmax" else binary_cross_entropy_with_logits
