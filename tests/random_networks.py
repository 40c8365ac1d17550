"""Random networks, such as training could produce, for the tests of exports and their benchmark."""

import itertools

import naive
import numpy as np
from hypothesis import strategies as st

import fastbp
from fastbp.tables import Columns
from fastbp.tables.encoders import UNLIMITED, Number
from fastbp.tables.fitting import Row

# Names and labels that mean something in C, in Python or in JSON
ODD = ("a", "größe", "a b", "*/", "/* x", "??/", '"', "\\", "\n", "$_x", "%d", "{0}", "@", "'''")


@st.composite
def networks(draw, hidden=naive.ELEMENTWISE, outputs=naive.OUTPUTS, same=False, table=True):
    """
    Up to three hidden layers with activations out of `hidden` (all the same if `same`), and an output out of `outputs`.

    With `table`, some networks take raw values, some of which may be missing, or are cut to a range. Some regressions
    cut their predictions.
    """
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    columns = draw(st.none() | tables()) if table else None
    inputs = draw(st.integers(1, 20)) if columns is None else len(columns.inputs)
    units = draw(st.lists(st.integers(1, 20), max_size=3))
    activations = [draw(st.sampled_from(hidden)) for _ in units]
    if same:
        activations = activations[:1] * len(units)
    task = draw(
        st.sampled_from(["regression", "classification", "multilabel"] if "logistic" in outputs else ["regression"])
    )
    loss, parameter, classes, count, scaled = "log_loss", (), None, draw(st.integers(1, 5)), False
    if task == "regression":
        last, loss = draw(st.sampled_from([f for f in outputs if f != "softmax"])), "squared_error"
        scaled = last == "identity" and draw(st.booleans())
        if draw(st.booleans()) and last == "identity":
            loss, parameter, count = "quantile", (0.1, 0.5, 0.9), 3 * count
    elif task == "classification":
        classes = draw(labels())
        last = draw(st.sampled_from([f for f in ("logistic", "softmax") if f in outputs]))
        count = 1 if len(classes) == 2 and last == "logistic" else len(classes)
        loss = draw(st.sampled_from(["log_loss", "squared_error"]))
    else:
        last = "logistic"
    sizes, activations = (inputs, *units, count), (*activations, last)
    # e^z of e^z overflows soon
    activations = tuple(
        "tanh" if f == "exp" and "exp" in activations[k + 1 :] else f for k, f in enumerate(activations)
    )
    gains = [0.3 if f == "exp" else 1.5 for f in activations]
    parts = [
        random.normal(size=(n + 1, m)) * gain / np.sqrt(n)
        for (n, m), gain in zip(itertools.pairwise(sizes), gains, strict=True)
    ]
    x_mean, x_scale = np.zeros(inputs), np.ones(inputs)
    if draw(st.booleans()):
        x_scale = np.exp(random.normal(size=inputs) * 2)
        x_mean = random.normal(size=inputs) * 5 * x_scale
    y_mean, y_scale, target_range = (
        random.normal(size=count) * 100 * scaled,
        np.exp(random.normal(size=count) * 3),
        None,
    )
    y_scale = y_scale if scaled else np.ones(count)
    if task == "regression" and last == "identity" and draw(st.booleans()):
        target_range = y_mean + y_scale * np.sort(random.normal(size=(2, count)), axis=0)
    return fastbp.Network(
        task=task,
        sizes=sizes,
        layer_activations=activations,
        loss=loss,
        loss_parameter=parameter,
        params=np.concatenate([part.ravel() for part in parts]).astype(draw(st.sampled_from(naive.DTYPES))),
        x_mean=x_mean,
        x_scale=x_scale,
        y_mean=y_mean,
        y_scale=y_scale,
        target_range=target_range,
        classes=classes,
        single_output=task != "multilabel" and count == 1 and draw(st.booleans()),
        columns=columns,
    )


@st.composite
def tables(draw):
    """Columns of numbers that may be missing, or are cut to a range."""
    names = draw(st.lists(st.sampled_from(ODD), min_size=1, unique=True))
    edges = st.lists(st.sampled_from([-2.0, -0.7, -0.1, 0.0, 1e-3, 0.4, 3.0]), min_size=3, max_size=5, unique=True)
    pieces = st.one_of(st.just(()), edges.map(sorted).map(tuple))
    limits = st.sampled_from([(), (-3.0, 3.0), (-4.0, 5.0), (-2.0, 2.0)])
    encoders = tuple(
        Number(name, draw(st.floats(-2, 2)), draw(st.booleans()), edges=draw(pieces), limits=draw(limits))
        for name in names
    )
    return Columns(encoders, tuple(Row(name, "number", 1, "") for name in names))


@st.composite
def labels(draw):
    """Two to five classes of any type."""
    count = draw(st.integers(2, 5))
    kind = draw(st.sampled_from(["whole", "float", "text", "object", "date", "bool"]))
    if kind == "bool":
        return np.array([False, True])
    if kind in ("text", "object"):
        return np.array(
            sorted(draw(st.lists(st.sampled_from(ODD), min_size=count, max_size=count, unique=True))),
            object if kind == "object" else str,
        )
    whole = np.sort(draw(st.lists(st.integers(-100, 100), min_size=count, max_size=count, unique=True)))
    return whole.astype("M8[D]") if kind == "date" else whole.astype(float) if kind == "float" else whole


def raw_rows(net, n, seed=0):
    """Rows of raw values as `net` expects them; some are missing where they may be, or far away where they are cut."""
    random = np.random.default_rng(seed)
    if net.columns is None:
        return random.normal(net.x_mean, net.x_scale, (n, net.sizes[0]))
    values = ~(net.columns.exported.flag | net.columns.exported.piece)
    limited = net.columns.exported.most < UNLIMITED[1]
    raw = random.normal(net.x_mean[values], net.x_scale[values], (n, values.sum()))
    raw[(random.random(raw.shape) < 0.1) & limited] *= 1e9
    raw[random.random(raw.shape) < 0.2] = np.nan
    return raw
