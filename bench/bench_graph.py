"""One forward and backward pass of a network written as a computation graph."""

import itertools

import numpy as np

from fastbp import graph

NETWORKS = {"64-64-10": (64, 64, 10), "784-256-128-10": (784, 256, 128, 10)}
BATCH = 128


class Graph:
    """Layer by layer, with relu and softmax, from the samples to every gradient."""

    params = (tuple(NETWORKS),)
    param_names = ("network",)

    def setup(self, network):
        random, sizes = np.random.default_rng(0), NETWORKS[network]
        self.X = random.normal(size=(BATCH, sizes[0])).astype(np.float32)
        self.Y = np.eye(sizes[-1], dtype=np.float32)[random.integers(0, sizes[-1], BATCH)]
        weights = [random.normal(0, 0.1, size=pair).astype(np.float32) for pair in itertools.pairwise(sizes)]
        self.layers = [(graph.Variable(W), graph.Variable(np.zeros(len(W.T), np.float32))) for W in weights]
        self.time_forward_and_backward(network)

    def time_forward_and_backward(self, network):
        A = self.X
        for W, b in self.layers[:-1]:
            A = graph.relu(A @ W + b)
        W, b = self.layers[-1]
        graph.log_loss(graph.softmax(A @ W + b), self.Y).backward()
