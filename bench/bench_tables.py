"""Encoding of raw tables."""

import numpy as np
import pandas as pd

import fastbp


class RawTable:
    """A frame with text, dates and missing values, encoded as the inputs of a network."""

    params = (1, 100_000)
    param_names = ("rows",)

    def setup(self, rows):
        random = np.random.default_rng(0)
        n = max(rows, 1000)
        columns = {
            "number": np.where(random.random(n) < 0.1, np.nan, random.normal(size=n)),
            "text": random.choice(["red", "green", "blue", None], n),
            "date": pd.Timestamp("2024-01-01") + pd.to_timedelta(random.integers(0, 365, n), "D"),
        }
        dates = pd.Timestamp("2024-01-01") + pd.to_timedelta(random.integers(0, 365, n), "D")
        frame = pd.DataFrame(columns | {"words": dates.strftime("%d.%m.%Y")})
        self.net = fastbp.train(frame, random.normal(size=n), epochs=1, seed=0, progress=False)
        self.frame = frame[:rows]

    def time_encode(self, rows):
        self.net.encode(self.frame)


class Quality:
    """Learning from a table: a single run, one network that pilots have prepared, and several."""

    params = ("single", "fast", "default")
    param_names = ("quality",)

    def setup(self, quality):
        random = np.random.default_rng(0)
        self.frame = pd.DataFrame(random.normal(size=(2000, 8)), columns=list("abcdefgh"))
        self.y = np.sin(3 * self.frame["a"]) * self.frame["b"] + random.normal(size=2000) / 4
        self.time_train(quality)  # compiles

    def time_train(self, quality):
        fastbp.train(self.frame, self.y, quality=quality, seed=0, progress=False)
