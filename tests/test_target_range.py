"""Predictions of a regression that was learnt from a table stay in the range of the training targets."""

import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import fastbp
from fastbp.export import verify

N = 300
RNG = np.random.default_rng(0)
FRAME = pd.DataFrame({"x": RNG.normal(size=N), "kind": RNG.choice(["a", "b"], N)})
Y = (np.abs(FRAME["x"]) + (FRAME["kind"] == "a")).to_numpy()
BOTH = np.column_stack([Y, -3 * FRAME["x"]])
FAR = FRAME.assign(x=np.linspace(-30, 30, N))


def learn(y=Y, X=FRAME, **options):
    return fastbp.train(X, y, **{"seed": 0, "epochs": 5, "progress": False} | options)


def free(net):
    """The network without its range."""
    return replace(net, target_range=None)


def assert_cut(net, rows=FAR):
    """Outputs are those of the network without a range, cut; and some of them were cut."""
    least, most = net.target_range.astype(net.dtype)
    outputs, own = net.forward(rows), free(net).forward(rows)
    np.testing.assert_array_equal(outputs, np.clip(own, least, most))
    assert (outputs != own).any()
    np.testing.assert_array_equal(net.predict(rows), outputs[:, 0] if net.single_output else outputs)


@pytest.mark.parametrize(
    "options", [{}, {"dtype": "float64"}, {"encode": "standard"}, {"hidden": ()}, {"loss": "huber"}]
)
@pytest.mark.parametrize("y", [Y, BOTH], ids=["one", "two"])
def test_outputs_are_cut_to_the_range_of_the_training_rows(y, options):
    net = learn(y, **options)
    assert net.target_range.shape == (2, y[:1].size)
    assert not net.target_range.flags.writeable
    assert_cut(net)
    all_rows = learn(y, validation=None, **options)
    np.testing.assert_array_equal(all_rows.target_range, [np.atleast_1d(y.min(axis=0)), np.atleast_1d(y.max(axis=0))])
    for rows in (0, 1, 40, 70_000):  # none, one row, few, and several parts
        many = pd.concat([FAR] * (rows // N + 1), ignore_index=True)[:rows]
        predicted = all_rows.predict(many)
        assert predicted.shape[0] == rows
        least, most = all_rows.target_range.astype(all_rows.dtype)
        assert (predicted.reshape(rows, y[:1].size) >= least).all()
        assert (predicted.reshape(rows, y[:1].size) <= most).all()


def test_the_range_is_that_of_the_training_rows_alone():
    own = learn(validation=(FRAME, 10 * Y))
    np.testing.assert_array_equal(own.target_range[:, 0], [Y.min(), Y.max()])
    held = [learn(np.where(np.arange(N) == k, 1e3, Y), validation=0.2, epochs=0).target_range[1, 0] for k in range(10)]
    assert set(np.array(held) == 1e3) == {True, False}


def test_every_quantile_of_a_target_has_its_range():
    net = learn(BOTH, loss="quantile", quantile=(0.1, 0.5, 0.9), validation=None)
    least, most = np.repeat(BOTH.min(axis=0), 3), np.repeat(BOTH.max(axis=0), 3)
    np.testing.assert_array_equal(net.target_range, [least, most])
    assert_cut(net)


def test_networks_without_a_range():
    for net in (
        learn(X=FRAME[["x"]].to_numpy()),
        learn(np.where(Y > 1, "high", "low")),
        learn(loss="poisson"),
        learn(output="softplus"),
        learn(scale=False),
        learn(optimizer="sgd"),
        learn(Y[:49], FRAME[:49]),
    ):
        assert net.target_range is None


def test_a_network_that_goes_on_widens_its_range():
    net = learn()
    wider = learn(np.append(Y[1:], 99.0), init=net)
    assert wider.target_range.tolist() == [net.target_range[0].tolist(), [99.0]]
    assert learn(Y / 2 + 1, init=net).target_range.tolist() == net.target_range.tolist()
    assert learn(init=free(net)).target_range is None


def test_scores_metrics_and_history():
    seen = []
    net = learn(metric=lambda y, predicted: seen.append(predicted) or -np.abs(y - predicted).mean())
    least, most = net.target_range.astype(np.float32)
    assert all(((least <= part) & (part <= most)).all() for part in seen)
    residual = ((Y - net.predict(FAR).astype(np.float64)) ** 2).sum()
    assert net.score(FAR, Y) == pytest.approx(1 - residual / ((Y - Y.mean()) ** 2).sum())
    # the validation loss is that of the outputs as they are
    split = learn(validation=(FAR, Y))
    z = (free(split).predict(FAR).astype(np.float64) - split.y_mean) / split.y_scale
    loss = ((z - (Y - split.y_mean) / split.y_scale) ** 2).mean() / 2
    assert split.history["validation_loss"][split.best_epoch - 1] == pytest.approx(loss, rel=1e-4)


def test_files_pickles_checkpoints_and_ensembles(tmp_path):
    path = tmp_path / "run.fbp"
    net = learn(BOTH, checkpoint=path)
    net.save(tmp_path / "net.fbp")
    for again in (fastbp.load(tmp_path / "net.fbp"), fastbp.load(path), pickle.loads(pickle.dumps(net))):
        np.testing.assert_array_equal(again.target_range, net.target_range)
        np.testing.assert_array_equal(again.predict(FAR), net.predict(FAR))
    some = fastbp.ensemble(FRAME, BOTH, 2, seed=0, epochs=5, progress=False)
    np.testing.assert_array_equal(some.networks[0].target_range.shape, (2, 2))
    least, most = np.array([net.target_range for net in some.networks]).mean(axis=0)
    assert ((least - 1e-5 <= some.predict(FAR)) & (some.predict(FAR) <= most + 1e-5)).all()
    some.save(tmp_path / "some.fbp")
    np.testing.assert_array_equal(fastbp.load(tmp_path / "some.fbp").predict(FAR), some.predict(FAR))


def test_the_gradient_is_that_of_the_network_without_a_range():
    net = learn()
    np.testing.assert_array_equal(net.input_gradient(FAR), free(net).input_gradient(FAR))
    assert abs(net.input_gradient(FAR)[0]).max() > 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_compiled_functions_and_files_cut_as_well(dtype, tmp_path):
    net = learn(BOTH, dtype=dtype)
    raw = net.columns.encode_raw(FAR)
    raw[0, 0], raw[1, 0] = 1e9, -1e9
    own = verify.answers_of(net, raw).outputs
    assert (own == net.target_range.astype(dtype)[1]).any()
    compiled, out = net.jit(), np.empty(2, dtype)
    for row, wanted in zip(raw, own, strict=True):
        compiled(row, out)
        np.testing.assert_allclose(out, wanted, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="expected finite numbers"):
        compiled(np.array([np.inf, 1, 0]), out)
    single = learn(dtype=dtype)
    function = single.cfunc().ctypes
    least, most = single.target_range[:, 0].astype(dtype)
    values = [function(3, (np.ctypeslib.ctypes.c_double * 3)(*row)) for row in raw]
    assert min(values) >= least
    assert max(values) <= most
    net.to_numpy(tmp_path / "net.py", FAR)
    file = {}
    exec((tmp_path / "net.py").read_text(), file)
    np.testing.assert_allclose(file["predict"](raw), own, rtol=1e-4, atol=1e-4)


def test_scikit_learn_has_the_network_without_a_range():
    pytest.importorskip("sklearn")
    net = learn(BOTH)
    model, inputs = net.to_sklearn(FAR), net.encode(FAR)
    np.testing.assert_allclose(model.predict(inputs), free(net).predict(FAR), rtol=1e-3, atol=1e-3)
    assert model.predict(inputs).max() > net.target_range.max()


def test_pytorch_has_a_module_that_cuts():
    torch = pytest.importorskip("torch")
    net = learn(BOTH)
    model, inputs = net.to_torch(FAR), net.encode(FAR)
    with torch.no_grad():
        outputs = model(torch.tensor(inputs.astype(np.float32))).numpy()
    np.testing.assert_allclose(outputs, net.predict(FAR), rtol=1e-4, atol=1e-4)
    again = fastbp.from_torch(model)
    np.testing.assert_allclose(again.predict(inputs), net.predict(FAR), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(again.target_range, net.target_range.astype(np.float32))
    for wrong, text in (
        ([*model, torch.nn.ReLU()], "expected Clamp only at the end; at position 6"),
        ([model[-1]], "expected a Linear before Clamp; at position 0"),
    ):
        with pytest.raises(ValueError, match=text):
            fastbp.from_torch(torch.nn.Sequential(*wrong))
    with pytest.raises(ValueError, match="expected a Clamp only in regression"):
        fastbp.from_torch(model, task="multilabel")
