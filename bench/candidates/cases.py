"""What is measured, with which peers and targets. Every process draws the same data from the same seeds."""

import gzip
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path

import numpy as np

LEARNING_RATE = {"sgd": 0.1, "adam": 1e-3}
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


@dataclass(frozen=True)
class Product:
    """One of the three products of a layer, from X (n, k), W (k, m) and D (n, m)."""

    formula: str
    n: int
    k: int
    m: int
    dtype: str

    kind, unit, target, speedup, limited = "product", "GFLOP/s", 0.95, 1.0, True
    candidates = ("fastbp", "numpy", "torch", "mkl")

    @property
    def title(self):
        return f"{self.formula} {self.n}x{self.k}x{self.m} {self.dtype}"

    @property
    def amount(self):
        return 2e-9 * self.n * self.k * self.m

    @property
    def gflop(self):
        """Multiply-adds count as two."""
        return self.amount

    @property
    def tolerance(self):
        """As a share of the largest element; sums in another order differ in their last digits."""
        return 50 * float(np.finfo(self.dtype).eps)

    def operands(self):
        """Both factors, transposed views if the formula says so, and an array for their product."""
        random = np.random.default_rng(0)
        shapes = {"X": (self.n, self.k), "W": (self.k, self.m), "D": (self.n, self.m)}
        X, W, D = (random.normal(size=shape).astype(self.dtype) for shape in shapes.values())
        A, B = {"X W": (X, W), "D W'": (D, W.T), "X' D": (X.T, D)}[self.formula]
        return A, B, np.empty((len(A), B.shape[1]), self.dtype)

    def before(self):
        """The value before the work, from which changes are measured."""
        return 0.0


@dataclass(frozen=True)
class Network:
    """A network and what is done with it: "online" and "minibatch" train for one epoch, "predict" predicts."""

    kind: str
    sizes: tuple[int, ...]
    samples: int
    target: float
    hidden: str = "logistic"
    output: str = "logistic"
    loss: str = "squared_error"
    batch: int = 1
    optimizer: str = "sgd"
    speedup: float = 1.0
    images: str = ""

    dtype = "float32"

    @property
    def title(self):
        batch = f" B={self.batch} {self.optimizer}" if self.kind == "minibatch" else ""
        return f"{self.kind} {'-'.join(map(str, self.sizes))}{batch}{' MNIST' if self.images else ''}"

    @property
    def unit(self):
        return "rows/s" if self.kind == "predict" else "samples/s"

    @property
    def amount(self):
        return self.samples

    @property
    def gflop(self):
        """Of the products alone: one per layer to predict; to train, also those for the gradient and the inputs'."""
        products = [i * j for i, j in pairwise(self.sizes)]
        return 2e-9 * self.samples * (sum(products) if self.kind == "predict" else 3 * sum(products) - products[0])

    @property
    def limited(self):
        """Whether products take most of the time, so that the processor's multiply-adds are the limit."""
        return self.kind != "online"

    @property
    def candidates(self):
        more = {
            "online": ("fann", "torch_by_hand"),
            "minibatch": ("jax_by_batch", "sklearn", "fastbp_train"),
            "predict": ("onnx", "openvino"),
        }
        return ("fastbp", "jax", "numpy", "torch", *more[self.kind])

    @property
    def tolerance(self):
        """As a share of the largest output or change of a weight; Adam divides rounding errors by gradients near 0."""
        return 1e-5 if self.kind == "predict" else 5e-3 if self.optimizer == "adam" else 1e-4

    @property
    def activations(self):
        return (*[self.hidden] * (len(self.sizes) - 2), self.output)

    def data(self):
        """Inputs, one-hot or real targets, and the indices of the samples in training order."""
        random, outputs = np.random.default_rng(0), self.sizes[-1]
        if self.images:
            X, labels = read_mnist(Path(self.images), self.samples)
        else:
            X = random.normal(size=(self.samples, self.sizes[0]))
            labels = random.integers(0, max(2, outputs), self.samples)
        Y = np.eye(outputs)[labels] if outputs > 1 else labels[:, None]
        if self.output == "identity":
            Y = random.normal(size=(self.samples, outputs))
        full_batch = self.batch == self.samples
        order = np.arange(self.samples) if full_batch else random.permutation(self.samples)
        return X.astype(np.float32), Y.astype(np.float32), order

    def layers(self, dtype="float32"):
        """Initial W (d_in, d_out) and b (d_out,) of each layer."""
        random = np.random.default_rng(1)
        pairs = [(random.normal(size=(i, j)) / np.sqrt(i), random.normal(size=j) / 10) for i, j in pairwise(self.sizes)]
        return [(W.astype(np.float32).astype(dtype), b.astype(np.float32).astype(dtype)) for W, b in pairs]

    def params(self):
        """All initial weights and biases in one array, as fastbp lays them out."""
        return flat(self.layers())

    def before(self):
        return 0.0 if self.kind == "predict" else self.params()


def flat(layers):
    """All weights and biases in one array, as fastbp lays them out: W and b of the first layer, of the second, ..."""
    return np.concatenate([np.ravel(part) for layer in layers for part in layer])


def views(params, sizes):
    """W and b of each layer as views of such an array."""
    pairs, start = [], 0
    for i, j in pairwise(sizes):
        bias, end = start + i * j, start + (i + 1) * j
        pairs.append((params[start:bias].reshape(i, j), params[bias:end]))
        start = end
    return pairs


def slope(activation, a):
    """f'(z) from a = f(z), for arrays of any library."""
    return {"logistic": lambda: a * (1 - a), "tanh": lambda: 1 - a * a, "relu": lambda: a > 0}[activation]()


def output_delta(case, a, y):
    """dJ/dz of the output layer: the derivatives of log-loss and softmax cancel, that of identity is one."""
    return (a - y) * slope("logistic", a) if (case.output, case.loss) == ("logistic", "squared_error") else a - y


def read_mnist(images, count):
    """The first `count` images as rows of values from 0 to 1, and their labels, from the IDX file next to `images`."""
    labels = images.with_name(images.name.replace("images-idx3", "labels-idx1"))
    pixels = np.frombuffer(gzip.decompress(images.read_bytes()), np.uint8, offset=16).reshape(-1, 784)
    return pixels[:count] / 255, np.frombuffer(gzip.decompress(labels.read_bytes()), np.uint8, offset=8)[:count]


def all_cases(dtypes, mnist):
    """Every case of the table, from products to prediction."""
    shapes = [(n, n, n) for n in (64, 128, 256, 512, 1024, 2048)]
    shapes += [(32, 784, 100), (200, 64, 64), (1000, 784, 512), (128, 2048, 2048)]
    for dtype, shape, formula in product(dtypes, shapes, ("X W", "D W'", "X' D")):
        yield Product(formula, *shape, dtype)
    yield Network("online", (2, 2, 1), 4_000, 1.3)
    yield Network("online", (64, 32, 10), 2_000, 4.5)
    yield Network("online", (784, 100, 10), 1_000, 2.3)
    if mnist:
        yield Network("online", (784, 100, 10), 1_000, 2.3, images=mnist)
    classes = {"hidden": "relu", "output": "softmax", "loss": "log_loss"}
    # With so few samples, none comes within rounding of a ReLU's kink, where float32 and the float64 reference diverge.
    for batch, optimizer in product((32, 128), ("sgd", "adam")):
        yield Network("minibatch", (64, 64, 10), 2_048, 1.8, **classes, batch=batch, optimizer=optimizer)
    for batch, optimizer, speedup in ((32, "sgd", 1.0), (128, "sgd", 1.0), (128, "adam", 1.0), (256, "sgd", 1.85)):
        rule = {"batch": batch, "optimizer": optimizer, "speedup": speedup}
        yield Network("minibatch", (784, 256, 128, 10), 1_024, 1.25, **classes, **rule)
    yield Network("minibatch", (2048, 2048, 2048, 10), 256, 1.05, **classes, batch=128, speedup=1.85)
    full_batch = {"batch": 10_000, "optimizer": "adam", "speedup": 1.85}
    yield Network("minibatch", (4, 32, 16, 4), 10_000, 2.5, "tanh", "identity", **full_batch)
    yield Network("predict", (64, 32, 10), 10_000, 1.2, "logistic", "softmax")
    yield Network("predict", (784, 256, 128, 10), 10_000, 1.05, "relu", "softmax")
