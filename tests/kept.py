"""Model files that earlier versions wrote, and what these predicted; tests/models/make.py makes them."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

MODELS = Path(__file__).parent / "models"
KNOWN = json.loads((MODELS / "predictions.json").read_text())
FILES = sorted(MODELS.glob("*.fbp"))
_SAMPLES = json.loads((MODELS / "samples.json").read_text())


def samples(which):
    """X and y of a checkpoint: of an array, or of a table."""
    return rows(_SAMPLES[which]["X"]), np.array(_SAMPLES[which]["y"])


def rows(given):
    """Samples from JSON: an array, or a frame."""
    return pd.DataFrame(given) if isinstance(given, dict) else np.array(given)


def assert_as_known(model, known):
    """The model predicts what it did when it was made, but for rounding."""
    given = rows(known["given"])
    for what in {"predict", "predict_proba", "predict_interval"} & set(known):
        np.testing.assert_allclose(getattr(model, what)(given), known[what], rtol=1e-5, atol=1e-6)
    if "classes" in known:
        assert model.classes.astype(str).tolist() == known["classes"]
