"""
PyTorch by hand: the same layer of all networks is one batched product, so are the gradients, and Adam is PyTorch's fused one.

Written as it was fastest; ``with_many_torch_func.py`` is what users write. For per-sample learning the networks are the last axis, and
operations on whole arrays take the place of the small products. Where there are threads, joblib's processes have a share of the networks
each: the operations are too small for PyTorch's own threads.
"""

import numpy as np
import torch
from cases import BETA1, BETA2, EPSILON, output_delta
from many_works import rows_of
from processes import spread
from with_torch import version

__all__ = ["many", "version"]


def many(work, threads):
    return on_processes(work, threads, _learnt)


def on_processes(work, threads, learn):
    """The work as `learn(work, group, layers, orders)` does it, which gives weights in rows; a share of the networks for each process."""
    torch.set_num_threads(1)
    random, found = np.random.default_rng(0), []
    parts = [(part, work.layers(part.seeds)) for group in work.groups() for part in group.split(threads)]

    def step():
        found[:] = spread(_share, [(learn, work, *part, random.integers(2**32)) for part in parts], threads)

    return step, lambda: np.concatenate(found)


def _share(learn, work, group, layers, seed):
    return learn(work, group, layers, work.orders(group, np.random.default_rng(seed)))


def optimizer(work, weights):
    """A function that moves the weights by their `grad`: fused Adam, or gradient descent."""
    if work.optimizer == "sgd":
        return torch.optim.SGD(weights, work.learning_rate, fused=True).step
    adam = torch.optim.Adam(weights, work.learning_rate, (BETA1, BETA2), fused=True)
    updates = 0

    def step():
        nonlocal updates
        updates += 1
        # PyTorch adds eps after the correction of v, the others before: this makes it the same number.
        adam.param_groups[0]["eps"] = EPSILON / (1 - BETA2**updates) ** 0.5
        adam.step()

    return step


@torch.inference_mode()
def _learnt(work, group, layers, orders):
    return rows_of((_one_by_one if work.batch == 1 else _in_batches)(work, group, layers, orders))


def _in_batches(work, group, layers, orders):
    (W1, b1), (W2, b2) = ((torch.tensor(W), torch.tensor(b)[:, None]) for W, b in layers)
    X, Y = (torch.tensor(M.reshape(-1, M.shape[-1])) for M in (group.X, group.Y))
    count = len(group.seeds)
    # Samples of networks that have their own lie one after another.
    first = 0 if group.shared else group.samples * torch.arange(count)[:, None]
    step = optimizer(work, [W1, b1, W2, b2])
    for order in torch.from_numpy(orders).transpose(0, 1):
        for some in order.split(work.batch, dim=1):
            index = (some + first).flatten()
            x, y = (M.index_select(0, index).view(count, -1, M.shape[1]) for M in (X, Y))
            a = torch.baddbmm(b1, x, W1).relu_()
            z = torch.baddbmm(b2, a, W2)
            delta = (z.softmax(dim=2) if work.output == "softmax" else z.sigmoid_()).sub_(y).div_(some.shape[1])
            below = torch.bmm(delta, W2.mT).mul_(a > 0)
            W1.grad, b1.grad = torch.bmm(x.mT, below), below.sum(dim=1, keepdim=True)
            W2.grad, b2.grad = torch.bmm(a.mT, delta), delta.sum(dim=1, keepdim=True)
            step()
    return [(W1.numpy(), b1.numpy()), (W2.numpy(), b2.numpy())]


def _one_by_one(work, group, layers, orders):
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
        delta = output_delta(work, a[-1], Y.index_select(1, index))
        for l in range(len(layers) - 1, -1, -1):
            W, b = layers[l]
            below = torch.ops.aten.sigmoid_backward((W * delta).sum(dim=1), a[l]) if l > 0 else None
            W.addcmul_(a[l][:, None], delta, value=-work.learning_rate)
            b.sub_(delta, alpha=work.learning_rate)
            delta = below
    return [(W.movedim(-1, 0).numpy(), b.T.numpy()) for W, b in layers]
