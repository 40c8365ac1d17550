"""
PyTorch by hand: batched products for the same layer of all networks, also for the gradients, and PyTorch's fused Adam.

This is the fastest variant found; ``with_many_torch_func.py`` is what users write. For per-sample learning, the
networks are the last axis, and operations on whole arrays replace the small products. Instead of threads, joblib's
processes each have a share of the networks: the operations are too small for PyTorch's own threads.
"""

import numpy as np
import torch
from cases import BETA1, BETA2, EPSILON, output_delta
from many_cases import rows_of
from processes import spread
from with_torch import version

__all__ = ["many", "version"]


def many(case, threads):
    return on_processes(case, threads, _learnt)


def on_processes(case, threads, learn):
    """Run `learn(case, group, layers, orders)`, which returns rows of weights; processes share the networks."""
    torch.set_num_threads(1)
    random, rows = np.random.default_rng(0), []
    parts = [(part, case.layers(part.seeds)) for group in case.groups() for part in group.split(threads)]

    def step():
        rows[:] = spread(_share, [(learn, case, *part, random.integers(2**32)) for part in parts], threads)

    return step, lambda: np.concatenate(rows)


def _share(learn, case, group, layers, seed):
    return learn(case, group, layers, case.orders(group, np.random.default_rng(seed)))


def optimizer(case, weights):
    """A function that updates the weights by their `grad`: fused Adam, or gradient descent."""
    if case.optimizer == "sgd":
        return torch.optim.SGD(weights, case.learning_rate, fused=True).step
    adam = torch.optim.Adam(weights, case.learning_rate, (BETA1, BETA2), fused=True)
    updates = 0

    def step():
        nonlocal updates
        updates += 1
        # PyTorch adds eps after the correction of v, the others before; this makes them equal.
        adam.param_groups[0]["eps"] = EPSILON / (1 - BETA2**updates) ** 0.5
        adam.step()

    return step


@torch.inference_mode()
def _learnt(case, group, layers, orders):
    return rows_of((_one_by_one if case.batch == 1 else _in_batches)(case, group, layers, orders))


def _in_batches(case, group, layers, orders):
    (W1, b1), (W2, b2) = ((torch.tensor(W), torch.tensor(b)[:, None]) for W, b in layers)
    X, Y = (torch.tensor(M.reshape(-1, M.shape[-1])) for M in (group.X, group.Y))
    count = len(group.seeds)
    # If each network has its own samples, those of the next network follow those of the previous one.
    first = 0 if group.shared else group.samples * torch.arange(count)[:, None]
    step = optimizer(case, [W1, b1, W2, b2])
    for order in torch.from_numpy(orders).transpose(0, 1):
        for batch in order.split(case.batch, dim=1):
            index = (batch + first).flatten()
            x, y = (M.index_select(0, index).view(count, -1, M.shape[1]) for M in (X, Y))
            a = torch.baddbmm(b1, x, W1).relu_()
            z = torch.baddbmm(b2, a, W2)
            delta = (z.softmax(dim=2) if case.output == "softmax" else z.sigmoid_()).sub_(y).div_(batch.shape[1])
            below = torch.bmm(delta, W2.mT).mul_(a > 0)
            W1.grad, b1.grad = torch.bmm(x.mT, below), below.sum(dim=1, keepdim=True)
            W2.grad, b2.grad = torch.bmm(a.mT, delta), delta.sum(dim=1, keepdim=True)
            step()
    return [(W1.numpy(), b1.numpy()), (W2.numpy(), b2.numpy())]


def _one_by_one(case, group, layers, orders):
    layers = [(torch.tensor(W).movedim(0, -1).contiguous(), torch.tensor(b).T.contiguous()) for W, b in layers]
    X, Y = torch.tensor(group.X.T), torch.tensor(group.Y.T)
    for samples in torch.from_numpy(np.moveaxis(orders, 0, -1).reshape(-1, len(orders))):
        index = samples.int()
        a = [X.index_select(1, index)]
        for W, b in layers:
            z = b
            for w, x in zip(W, a[-1], strict=True):
                z = torch.addcmul(z, w, x)
            a.append(z.sigmoid_())
        delta = output_delta(case, a[-1], Y.index_select(1, index))
        for l in range(len(layers) - 1, -1, -1):
            W, b = layers[l]
            below = torch.ops.aten.sigmoid_backward((W * delta).sum(dim=1), a[l]) if l > 0 else None
            W.addcmul_(a[l][:, None], delta, value=-case.learning_rate)
            b.sub_(delta, alpha=case.learning_rate)
            delta = below
    return [(W.movedim(-1, 0).numpy(), b.T.numpy()) for W, b in layers]
