"""Many small networks: seeds, restarts, and the fits of a cross-validation."""

import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.model_selection import StratifiedKFold

sys.path.insert(0, str(Path(__file__).parent / "candidates"))

from with_many_fastbp import networks

XOR = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32), np.array([0, 1, 1, 0])
LECTURE = {"hidden": 2, "activation": "logistic", "output": "logistic", "loss": "squared_error", "optimizer": "sgd", "batch_size": 1}


class Many:
    def setup(self):
        self.digits = load_digits(return_X_y=True)
        X, y = load_breast_cancer(return_X_y=True)
        self.folds = [(X[rows], y[rows]) for rows, _ in StratifiedKFold(5, shuffle=True, random_state=0).split(X, y)]
        self._digits(1, 1)
        self._xor(1, 1)
        self._cross_validation(1)

    def _digits(self, count, epochs):
        networks(*self.digits, [{"seed": seed} for seed in range(count)], threads=1, hidden=32, epochs=epochs)

    def _xor(self, count, epochs):
        networks(*XOR, [{"seed": seed} for seed in range(count)], threads=1, scale=False, epochs=epochs, **LECTURE)

    def _cross_validation(self, epochs=None):
        for seed, fold in enumerate(self.folds):
            networks(*fold, [{"seed": seed}], threads=1, epochs=epochs)

    def time_32_digits(self):
        self._digits(32, 20)

    def time_1000_xor(self):
        self._xor(1_000, 100)

    def time_cross_validation(self):
        self._cross_validation()
