"""`fastbp.train` on sparse matrices: as on the same numbers in an array that are not centred, and never made dense."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastbp
from fastbp.data.sparse import SparseRows

sparse = pytest.importorskip("scipy.sparse")

N, WIDTH = 90, 40
RNG = np.random.default_rng(0)
DENSE = np.where(RNG.random((N, WIDTH)) < 0.1, RNG.normal(size=(N, WIDTH)), 0.0)
DENSE[7] = 0
DENSE[:, 5] = 0
X = sparse.csr_matrix(DENSE)
NUMBERS = DENSE @ RNG.normal(size=WIDTH) + 0.1 * RNG.normal(size=N)
CLASSES = np.array(["high", "low", "middle"])[(NUMBERS > 0.5).astype(int) + (DENSE[:, 0] > 0)]
LARGEST = np.where(DENSE.any(axis=0), np.abs(DENSE).max(axis=0), 1)
OPTIONS = {"hidden": (6, 5), "epochs": 5, "seed": 0, "progress": False}


def scaled():
    """The numbers as the kernels get them."""
    return DENSE / LARGEST


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("hidden", [(), (6,), (6, 5)])
@pytest.mark.parametrize("kind", ["numbers", "classes"])
def test_training_is_that_on_a_dense_array_that_is_not_centred(kind, hidden, dtype):
    y = NUMBERS if kind == "numbers" else CLASSES
    if kind == "numbers":  # only inputs are scaled in the other run
        y = (y - y.mean()) / y.std()
    options = OPTIONS | {"hidden": hidden, "dtype": dtype, "batch_size": 16}
    net = fastbp.train(X, y, **options)
    known = fastbp.train(scaled(), y, scale=False, **options)
    close = {"rtol": 1e-3, "atol": 1e-4} if dtype == "float32" else {"rtol": 1e-8, "atol": 1e-9}
    np.testing.assert_allclose(net.params, known.params, **close)
    assert not net.x_mean.any()
    np.testing.assert_array_equal(net.x_scale, LARGEST)
    np.testing.assert_array_equal(net.predict(X), net.predict(DENSE))
    assert net.score(X, y) == net.score(DENSE, y)


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "lil", "dok", "bsr"])
@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csr_array])
def test_matrices_of_any_form(form, kind):
    known = fastbp.train(X, NUMBERS, **OPTIONS)
    net = fastbp.train(kind(DENSE).asformat(form), NUMBERS, **OPTIONS)
    np.testing.assert_array_equal(net.params, known.params)
    np.testing.assert_array_equal(net.predict(kind(DENSE).asformat(form)), known.predict(X))


def test_odd_matrices():
    known = fastbp.train(X, NUMBERS, **OPTIONS)
    coo = X.tocoo()
    twice = sparse.coo_matrix(
        (np.r_[coo.data / 2, coo.data / 2], (np.r_[coo.row, coo.row], np.r_[coo.col, coo.col])), shape=X.shape
    )
    wide = sparse.csr_matrix((X.data, X.indices.astype(np.int64), X.indptr.astype(np.int64)), shape=X.shape)
    backwards = X.copy()
    for a, b in zip(X.indptr[:-1], X.indptr[1:], strict=True):
        backwards.indices[a:b], backwards.data[a:b] = X.indices[a:b][::-1], X.data[a:b][::-1]
    backwards.has_sorted_indices = backwards.has_canonical_format = False
    order = backwards.indices.copy()
    for matrix in (twice, wide, backwards):
        np.testing.assert_array_equal(fastbp.train(matrix, NUMBERS, **OPTIONS).params, known.params)
    np.testing.assert_array_equal(backwards.indices, order)  # your own matrix stays as it is
    zeros = X.copy()
    zeros.data[::3] = 0
    stored = fastbp.train(zeros, NUMBERS, **OPTIONS | {"dtype": "float64"})
    zeros.eliminate_zeros()
    gone = fastbp.train(zeros, NUMBERS, **OPTIONS | {"dtype": "float64"})
    np.testing.assert_allclose(stored.params, gone.params, rtol=1e-9, atol=1e-11)
    for dtype in (bool, np.int8, np.int64, np.float32):
        whole = (DENSE != 0).astype(dtype)
        net = fastbp.train(sparse.csr_matrix(whole), NUMBERS, **OPTIONS)
        assert np.isfinite(net.params).all()
        np.testing.assert_array_equal(net.predict(sparse.csr_matrix(whole)), net.predict(whole))


def test_validation_weights_and_qualities():
    options = OPTIONS | {"epochs": 4}
    known = fastbp.train(X, NUMBERS, validation=(X[:20], NUMBERS[:20]), **options)
    other = fastbp.train(X, NUMBERS, validation=(DENSE[:20], NUMBERS[:20]), **options)
    np.testing.assert_allclose(known.history["validation_loss"], other.history["validation_loss"], rtol=1e-4)
    assert len(fastbp.train(X, CLASSES, validation=0.2, patience=3, **options).history["validation_loss"]) <= 4
    weight = np.where(np.arange(N) % 4 == 1, 0.0, RNG.uniform(0.5, 2, N))
    rest = np.flatnonzero(weight)
    odd = X.copy()
    odd.data[np.repeat(weight == 0, np.diff(X.indptr))] = np.nan
    found = fastbp.train(odd, np.where(weight > 0, NUMBERS, np.nan), sample_weight=weight, **options)
    np.testing.assert_array_equal(
        found.params, fastbp.train(X[rest], NUMBERS[rest], sample_weight=weight[rest], **options).params
    )
    largest = np.abs(DENSE[rest]).max(axis=0)
    np.testing.assert_array_equal(found.x_scale, np.where(largest > 0, largest, 1))
    for quality in ("fast", "default"):
        model = fastbp.train(X, CLASSES, quality=quality, hidden=(4,), seed=0, progress=False)
        assert model.predict(X).shape == (N,)


def test_many_networks():
    options = OPTIONS | {"epochs": 2}
    assert fastbp.ensemble(X, CLASSES, 2, bootstrap=True, **options).predict_proba(X).shape == (N, 3)
    found = fastbp.cross_validate(X, NUMBERS, folds=3, **options)
    of_fold = np.delete(np.arange(N), found.tests[0])
    alone = options | {"seed": found.networks[0].options["seed"]}
    np.testing.assert_array_equal(found.networks[0].params, fastbp.train(X[of_fold], NUMBERS[of_fold], **alone).params)
    nets = fastbp.train_many(X, NUMBERS, [{"seed": 1}, {"seed": 2, "rows": of_fold}], hidden=(6,), epochs=2)
    assert not nets.failures
    assert fastbp.search(X, NUMBERS, {"l2": [0.0, 0.1]}, 2, **OPTIONS).network.predict(X).shape == (N,)


def test_a_run_goes_on(tmp_path):
    def interrupt(epoch):
        if epoch.epoch == 2:
            raise KeyboardInterrupt

    with pytest.warns(RuntimeWarning, match="interrupted after 2 of 5"):
        fastbp.train(X, NUMBERS, checkpoint=tmp_path / "run", checkpoint_every=1, callback=interrupt, **OPTIONS)
    found = fastbp.resume(tmp_path / "run", X, NUMBERS)
    np.testing.assert_array_equal(found.params, fastbp.train(X, NUMBERS, **OPTIONS).params)
    with pytest.raises(ValueError, match=r"X: expected what the run in .* was begun with"):
        fastbp.resume(tmp_path / "run", X * 2, NUMBERS)


@pytest.mark.thorough
@pytest.mark.skipif(fastbp.config()["threads"] < 2, reason="one processor")
def test_threads_give_the_same_bits():
    wide = sparse.random(600, 300, 0.05, format="csr", random_state=0)
    y = wide @ RNG.normal(size=300)
    options = {"hidden": (256,), "batch_size": 256, "epochs": 2, "seed": 0}
    one, two = (fastbp.train(wide, y, threads=k, **options).params for k in (1, 2))
    np.testing.assert_array_equal(one, two)


def test_a_matrix_never_becomes_dense():
    wide = sparse.random(500, 50_000, 20 / 50_000, format="csr", random_state=0)
    y = RNG.integers(0, 2, 500)
    fastbp.train(wide[:80], y[:80], hidden=(4,), epochs=1, seed=0).predict(wide[:80])  # compiles
    tracemalloc.start()
    net = fastbp.train(wide, y, hidden=(4,), epochs=2, seed=0)
    net.predict(wide)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 500 * 50_000 * 2  # half of a dense copy in float32


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(1, 9), st.floats(0, 1), st.integers(0, 10**6))
def test_rows_of_any_matrix(n, width, share, seed):
    random = np.random.default_rng(seed)
    dense = np.where(random.random((n, width)) < share, random.normal(size=(n, width)), 0.0)
    rows = SparseRows.of("X", sparse.csr_matrix(dense))
    np.testing.assert_array_equal(rows.dense(), dense)
    some = random.integers(0, n, random.integers(0, 2 * n))
    np.testing.assert_array_equal(rows[some].dense(), dense[some])
    np.testing.assert_array_equal(rows[1:n].dense(), dense[1:n])
    largest = np.abs(dense).max(axis=0)
    np.testing.assert_array_equal(rows.largest(None), np.where(largest > 0, largest, 1))


BAD = {
    r"X: expected finite numbers, got nan at row 3, column \d+ \(1 such in all\)": ({"bad": True}, {}),
    "encode: expected 'standard' for a sparse matrix": ({}, {"encode": "piecewise"}),
    "batch_size: expected at least 2 samples of a sparse matrix": ({}, {"optimizer": "sgd", "batch_size": 1}),
    "init: expected a network that does not centre its inputs": ({}, {"init": "dense"}),
    "validation.0.: expected 40 features, got 3": ({}, {"validation": (X[:4, :3], NUMBERS[:4])}),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input(message):
    how, more = BAD[message]
    matrix = X.copy()
    if how:
        matrix.data[matrix.indptr[3]] = np.nan
    more = more | ({"init": fastbp.train(DENSE, NUMBERS, **OPTIONS)} if more.get("init") == "dense" else {})
    options = {name: value for name, value in OPTIONS.items() if name != "hidden" or "init" not in more}
    with pytest.raises(ValueError, match=message):
        fastbp.train(matrix, NUMBERS, **options, **more)


def test_what_takes_no_sparse_matrix_says_so():
    net = fastbp.train(X, NUMBERS, **OPTIONS)
    with pytest.raises(ValueError, match=r"X: expected 40 features, got 3 \(shape \(90, 3\)\)"):
        net.predict(X[:, :3])
    for call in (net.activations, net.encode, net.input_gradient):
        with pytest.raises(ValueError, match=r"X: expected a dense array, got a sparse csr_matrix; pass X.toarray\(\)"):
            call(X)
    np.testing.assert_array_equal(fastbp.train(X, NUMBERS, init=net, epochs=0).params, net.params)
