"""What `compare/tables.py` compares: each function fits raw columns, and returns the test rows' numbers or classes."""

import numpy as np
import pandas as pd

THREADS = 2


def fastbp(quality):
    def fit(X, y, task, seed):
        from fastbp import train

        return train(X, y, quality=quality, task=task, seed=seed, threads=THREADS, progress=False)

    return fit


def boosted(task, regressor, classifier, **options):
    return (regressor if task == "regression" else classifier)(**options)


def histogram(X, y, task, seed):
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    options = {"categorical_features": "from_dtype", "random_state": seed}
    return boosted(task, HistGradientBoostingRegressor, HistGradientBoostingClassifier, **options).fit(
        categorical(X), y
    )


def lightgbm(X, y, task, seed):
    from lightgbm import LGBMClassifier, LGBMRegressor

    options = {"random_state": seed, "n_jobs": THREADS, "verbose": -1}
    return boosted(task, LGBMRegressor, LGBMClassifier, **options).fit(numbered(categorical(X)), y)


def xgboost(X, y, task, seed):
    from xgboost import XGBClassifier, XGBRegressor

    options = {"random_state": seed, "n_jobs": THREADS, "enable_categorical": True}
    return boosted(task, XGBRegressor, XGBClassifier, **options).fit(numbered(categorical(X)), y)


def catboost(X, y, task, seed):
    from catboost import CatBoostClassifier, CatBoostRegressor

    options = {"random_seed": seed, "thread_count": THREADS, "verbose": False, "allow_writing_files": False}
    X = categorical(X)
    texts = [name for name in X if X[name].dtype == "category"]
    return boosted(task, CatBoostRegressor, CatBoostClassifier, **options).fit(as_text(X), y, cat_features=texts)


def perceptron(X, y, task, seed):
    from sklearn.compose import TransformedTargetRegressor, make_column_selector, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    texts = OneHotEncoder(handle_unknown="ignore")
    columns = make_column_transformer(
        (numbers, make_column_selector(dtype_exclude="category")),
        (texts, make_column_selector(dtype_include="category")),
    )
    model = make_pipeline(columns, boosted(task, MLPRegressor, MLPClassifier, random_state=seed))
    if task == "regression":
        model = TransformedTargetRegressor(model, transformer=StandardScaler())
    return model.fit(categorical(X), y)


def categorical(X, like=None):
    """Text and truth values as categories: those of a training set, or its own. Others are missing."""
    texts = [name for name in X if not pd.api.types.is_numeric_dtype(X[name]) or X[name].dtype == bool]
    known = X if like is None else like
    return X.astype({name: known[name].astype("category").dtype for name in texts})


def numbered(X):
    """Columns without their names, some of which LightGBM and XGBoost do not take."""
    return X.set_axis([f"c{k}" for k in range(X.shape[1])], axis=1)


def as_text(X):
    """Categories as text, where a missing one is a category of its own: what CatBoost takes."""
    texts = [name for name in X if X[name].dtype == "category"]
    return X.assign(**{name: X[name].astype(object).where(X[name].notna(), "missing").astype(str) for name in texts})


# What each needs installed, how it fits, and how it takes the test rows.
MODELS = {
    "HistGradientBoosting": ("sklearn", histogram, categorical),
    "fastbp, fast": ("fastbp", fastbp("fast"), None),
    "fastbp, default": ("fastbp", fastbp("default"), None),
    "fastbp, best": ("fastbp", fastbp("best"), None),
    "LightGBM": ("lightgbm", lightgbm, lambda X, like: numbered(categorical(X, like))),
    "XGBoost": ("xgboost", xgboost, lambda X, like: numbered(categorical(X, like))),
    "CatBoost": ("catboost", catboost, lambda X, like: as_text(categorical(X, like))),
    "scikit-learn's MLP": ("sklearn", perceptron, categorical),
}


def outcome(name, X, y, X_test, task, seed):
    """The fitted model's numbers for the test rows, or the probabilities of their classes."""
    _, fit, prepared = MODELS[name]
    model = fit(X, y, task, seed)
    X_test = X_test if prepared is None else prepared(X_test, X)
    return np.asarray(model.predict(X_test) if task == "regression" else model.predict_proba(X_test), np.float64)
