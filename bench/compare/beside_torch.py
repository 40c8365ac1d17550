"""
Samples a second of the compiled epochs beside PyTorch's usual training loop: same net, data, batches and rule.

Run ``python bench/compare/beside_torch.py`` with PyTorch (CPU) installed: one thread each, float32, taking turns with pauses,
medians of seven rounds. Also prints how far the weights of both are apart after the first epoch.
"""

import time

import numpy as np
import torch

import fastbp.kernels as k

ROUNDS = 7


class Case:
    """One network and its data, for both."""

    def __init__(self, sizes, batch, samples):
        rng = np.random.default_rng(0)
        self.sizes, self.batch, self.samples = np.array(sizes), batch, samples
        self.online = batch == 1
        self.X = rng.normal(size=(samples, sizes[0])).astype(np.float32)
        self.labels = rng.integers(0, sizes[-1], samples)
        self.Y = np.eye(sizes[-1], dtype=np.float32)[self.labels]
        self.order = np.arange(samples)
        self.params = (rng.normal(size=k.parameter_count(self.sizes)) * 0.1).astype(np.float32)
        hidden, last = (k.LOGISTIC, k.LOGISTIC) if self.online else (k.RELU, k.SOFTMAX)
        self.activations = np.array([hidden] * (len(sizes) - 2) + [last])
        self.model = self._torch_model()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)

    def _torch_model(self):
        layers, at = [], 0
        for n_in, n_out in zip(self.sizes[:-1], self.sizes[1:], strict=True):
            layer = torch.nn.Linear(n_in, n_out)
            with torch.no_grad():
                layer.weight[:] = torch.from_numpy(self.params[at : at + n_in * n_out].reshape(n_in, n_out).T.copy())
                layer.bias[:] = torch.from_numpy(self.params[at + n_in * n_out : at + (n_in + 1) * n_out])
            at += (n_in + 1) * n_out
            layers += [layer, torch.nn.Sigmoid() if self.online else torch.nn.ReLU()]
        return torch.nn.Sequential(*(layers if self.online else layers[:-1]))

    def fastbp(self):
        weight, none = np.ones(self.samples, np.float32), np.empty(0, np.float32)
        if self.online:
            k.online_epoch(
                self.X, self.Y, weight, self.order, self.sizes, self.activations, k.SQUARED_ERROR, k.ARGMAX, self.params, 0.1, 0.0
            )
            return
        net = (self.sizes, self.activations, k.LOG_LOSS, k.ARGMAX, self.params)
        k.minibatch_epoch(self.X, self.Y, weight, self.order, self.batch, *net, k.SGD, none, none, 0, 0.1, 0.9, 0.999, 1e-8, 0.0)

    def torch(self):
        X, Y, labels = torch.from_numpy(self.X), torch.from_numpy(self.Y), torch.from_numpy(self.labels)
        for start in range(0, self.samples, self.batch):
            some = slice(start, start + self.batch)
            self.optimizer.zero_grad()
            out = self.model(X[some])
            loss = 0.5 * ((out - Y[some]) ** 2).sum() if self.online else torch.nn.functional.cross_entropy(out, labels[some])
            loss.backward()
            self.optimizer.step()

    def difference(self):
        theirs = [t for layer in self.model if hasattr(layer, "weight") for t in (layer.weight.T, layer.bias)]
        return np.abs(np.concatenate([t.detach().numpy().ravel() for t in theirs]) - self.params).max()


def main():
    torch.set_num_threads(1)
    print("| work | fastbp, samples/s | PyTorch, samples/s | ratio | weights differ by |\n|---|---|---|---|---|")
    for name, case in [("online 64-32-10", Case((64, 32, 10), 1, 2000)), ("minibatch 64-64-10, B 32", Case((64, 64, 10), 32, 6400))]:
        case.fastbp()
        case.torch()
        difference = case.difference()
        rates = {"fastbp": [], "torch": []}
        for _ in range(ROUNDS):
            for who, taken in rates.items():
                time.sleep(0.1)
                started = time.perf_counter()
                getattr(case, who)()
                taken.append(case.samples / (time.perf_counter() - started))
        ours, theirs = np.median(rates["fastbp"]), np.median(rates["torch"])
        print(f"| {name} | {ours:,.0f} | {theirs:,.0f} | {ours / theirs:.0f} × | {difference:.1e} |")


if __name__ == "__main__":
    main()
