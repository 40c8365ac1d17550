"""Prediction with a trained network: one row, as in a service, and many rows, as in a batch job."""

import numpy as np

import fastbp

# features, classes (0: regression), hidden units
CASES = {
    "regression 8-32-1": (8, 0, 32),
    "classes 64-32-10": (64, 10, 32),
    "classes 784-256-128-10": (784, 10, (256, 128)),
}


class Predict:
    """`Network.predict`, from raw values to labels or numbers."""

    params = (tuple(CASES), (1, 10_000))
    param_names = ("case", "rows")

    def setup(self, case, rows):
        features, classes, hidden = CASES[case]
        random = np.random.default_rng(0)
        X = random.normal(size=(200, features))
        y = random.integers(0, classes, 200) if classes else X.sum(axis=1)
        self.net = fastbp.train(X, y, hidden=hidden, epochs=1, seed=0, progress=False)
        self.X = random.normal(size=(rows, features))
        self.net.predict(self.X)

    def time_predict(self, case, rows):
        self.net.predict(self.X)
