"""Many small networks: seeds, restarts, and the fits of a cross-validation."""

from sklearn.datasets import load_breast_cancer, load_digits

import fastbp

XOR = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
LECTURE = {"hidden": 2, "activation": "logistic", "output": "logistic", "loss": "squared_error"}
LECTURE |= {"optimizer": "sgd", "batch_size": 1, "scale": False}
SERIAL = {"threads": 1, "progress": False}


class Many:
    def setup(self):
        self.digits, self.tumours = load_digits(return_X_y=True), load_breast_cancer(return_X_y=True)
        self._digits(1, 1)
        self._xor(3, 1)
        self._cross_validation(epochs=1)

    def _digits(self, count, epochs):
        variants = [{"seed": seed} for seed in range(count)]
        fastbp.train_many(*self.digits, variants, hidden=32, epochs=epochs, **SERIAL)

    def _xor(self, count, epochs):
        variants = [{"seed": seed} for seed in range(count)]
        fastbp.train_many(*XOR, variants, epochs=epochs, **LECTURE, **SERIAL)

    def _cross_validation(self, **options):
        fastbp.cross_validate(*self.tumours, seed=0, **options, **SERIAL)

    def time_32_digits(self):
        self._digits(32, 20)

    def time_1000_xor(self):
        self._xor(1_000, 100)

    def time_cross_validation(self):
        self._cross_validation()
