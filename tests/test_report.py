"""The report: all sections and correct numbers, nothing from the network, no user text taken for HTML; in a browser."""

import re
from html.parser import HTMLParser

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

pytest.importorskip("jinja2")
mpl.use("Agg")

import matplotlib.pyplot as plt
from browser import launched

import fastbp
from fastbp.cli import show
from fastbp.model import storage
from fastbp.model.words import STOP_REASONS
from fastbp.report import page as report
from fastbp.report.importance import permutation_importance
from fastbp.report.scores import baseline, scores

HOSTILE = "<script>alert(1)</script>"
SECTIONS = [
    "Summary",
    "Scores",
    "How it learnt, and what it predicts",
    "What it relies on",
    "Worst mistakes",
    "The data",
    "The network",
]
rng = np.random.default_rng(0)
N = 240


def passengers():
    """A table like that of a ship's passengers, with the lines of its rows in a file; and whether they survived."""
    sex, deck = rng.choice(["male", "female"], N), rng.choice(["First", "Second", "Third"], N)
    age = rng.normal(30, 12, N).round(1)
    age[::7] = np.nan
    frame = pd.DataFrame({"sex": sex, HOSTILE: deck, "age": age, "fare": rng.lognormal(2, 1, N).round(2)})
    frame["name"] = [
        f"<b onclick='alert(2)'>Passenger & co. {k}</b>, a name far too long for a table" for k in range(N)
    ]
    frame.index = pd.RangeIndex(2, N + 2, name="line")
    lucky = rng.random(N) < np.where(sex == "female", 0.8, 0.2)
    return frame, np.where(lucky, "<i>yes</i>", "no & $no$")


class Page(HTMLParser):
    """The page as a reader sees it: headings, paragraphs, tables by caption, pictures; and every attribute."""

    def __init__(self, path):
        super().__init__()
        self.headings, self.paragraphs, self.tables, self.attributes, self.tags, self.words = [], [], {}, [], [], {}
        self.rows, self.at = [], None
        self.html = path.read_text(encoding="utf-8")
        self.feed(self.html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag == "table":
            self.rows = []
        elif tag == "tr":
            self.rows.append([])
        if tag in ("h1", "h2", "p", "th", "td", "caption", "figcaption", "text"):
            self.at, self.text = tag, ""

    def handle_data(self, data):
        if self.at:
            self.text += data

    def handle_endtag(self, tag):
        if tag == self.at:
            text, self.at = " ".join(self.text.split()), None
            self.words.setdefault(tag, []).append(text)
            if tag in ("th", "td"):
                self.rows[-1].append(text)
            elif tag == "caption":
                self.tables[text] = self.rows

    def table(self, start):
        """The rows of the only table whose caption starts like this."""
        (rows,) = (rows for caption, rows in self.tables.items() if caption.startswith(start))
        return rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("reports")


@pytest.fixture(scope="module")
def classified(folder):
    """Network, parts, and report of a classification."""
    X, y = passengers()
    held = np.arange(N) % 4 == 0
    parts = (X[~held], y[~held]), (X[held], y[held])
    with pytest.warns(UserWarning, match="left out"):
        net = fastbp.train(*parts[0], validation=parts[1], hidden=8, epochs=40, patience=10, seed=3)
    report.write(folder / "class.html", net, *parts, table="ship.csv", target=HOSTILE)
    return net, parts, Page(folder / "class.html")


@pytest.fixture(scope="module")
def regressed(folder):
    """The same for a regression on an array, without a validation set."""
    X = rng.normal(size=(N, 3))
    y = np.exp(2 * X[:, 0])
    net = fastbp.train(X, y, hidden=8, epochs=40, seed=0)
    report.write(folder / "number.html", net, (X, y), None, table="houses", target="price")
    return net, (X, y), Page(folder / "number.html")


@pytest.fixture(scope="module")
def together(folder):
    """The same for the networks of a table's default, which are trained together."""
    X, y = passengers()
    X, held = X.drop(columns="name"), np.arange(N) % 4 == 0
    parts = (X[~held], y[~held]), (X[held], y[held])
    team = fastbp.train(*parts[0], validation=parts[1], hidden=8, seed=3)
    report.write(folder / "together.html", team, *parts, table="ship.csv", target="luck")
    return team, parts, Page(folder / "together.html")


def short(numbers):
    return [f"{number:.4g}" for number in numbers]


def test_all_sections_are_there(classified, regressed):
    for _, _, page in (classified, regressed):
        assert page.words["h2"] == SECTIONS
    assert classified[2].words["h1"] == [HOSTILE]
    assert [len(page.words["figcaption"]) for _, _, page in (classified, regressed)] == [2, 2]


def test_the_summary_has_rows_scores_and_the_end(classified):
    net, ((Xt, yt), (Xv, yv)), page = classified
    (summary,) = (text for text in page.words["p"] if text.startswith("The network predicts"))
    for words in (
        f"{HOSTILE} from 4 of the 5 columns of ship.csv",
        f"{len(Xt)} rows; {len(Xv)} rows were set aside",
        f"accuracy is {net.score(Xv, yv):.3g}",
        f"has {baseline(net, yt, yv)['accuracy']:.3g}",
        f"after epoch {len(net.history['loss'])}: {STOP_REASONS[net.stop_reason]}",
    ):
        assert words in summary


def test_networks_of_a_quality(together):
    team, ((Xt, yt), (Xv, yv)), page = together
    assert page.words["h2"] == [*SECTIONS[:-1], "The networks"]
    (summary,) = (text for text in page.words["p"] if text.startswith(f"The {len(team.networks)} networks predict"))
    for words in (
        "luck together from the 4 columns of ship.csv",
        f"{len(Xt)} rows; {len(Xv)} rows were set aside for validation, and nothing was chosen on them",
        f"their accuracy is {team.score(Xv, yv):.3g}",
        f"with {team.options['pilots']} further networks, the pilots",
        f"it was {team.options['pilot_loss']:.3g} on average",
        f"each network stopped after {team.networks[0].options['epochs']} epochs: all epochs done.",
    ):
        assert words in summary
    net = team.networks[0]
    columns = [scores(team, Xt, yt), baseline(net, yt, yt), scores(team, Xv, yv), baseline(net, yt, yv)]
    shown = {name: values for name, *values in page.table("The ensemble, and the baseline")[2:]}
    assert shown == {name: short(column[name] for column in columns) for name in ("accuracy", "log loss", "AUC")}
    _, *rows = page.table("The validation rows that are predicted wrong")
    truth = pd.Series(team.predict_proba(Xv)[np.arange(len(yv)), (yv == team.classes[1]).astype(int)], Xv.index)
    wrong = truth[team.predict(Xv) != yv].sort_values(kind="stable")[:10]
    assert [row[0] for row in rows] == list(map(str, wrong.index))
    rows = page.table("How much the accuracy on the validation rows falls")[1:]
    assert rows[0][0] == permutation_importance(team, Xv, yv, seed=3)[0].name == "sex"
    options = {name: value for name, value, _ in page.table("Options of the training")[1:]}
    assert (options["quality"], options["seed"], options["n"]) == ("default", "3", str(len(team.networks)))
    assert page.table(f"{len(net.params)} parameters (float32) in each of {len(team.networks)} networks")


def test_pilots_that_are_the_result_say_so(together, folder):
    _, parts, _ = together
    X, y = parts[0]
    nets = [fastbp.train(X, y, quality="single", epochs=3, hidden=4, validation=0.2, seed=seed) for seed in (1, 2)]
    known = {"quality": "default", "pilots": 2, "pilot_loss": 0.5, "interrupted": True}
    report.write(folder / "pilots.html", fastbp.Ensemble(nets, known), *parts, table="t", target="c")
    (summary,) = (text for text in Page(folder / "pilots.html").words["p"] if text.startswith("The 2 networks"))
    assert "this is the result of the pilots, which learn from a part of them" in summary
    assert "further networks" not in summary
    pilots = dict(show.summary(fastbp.Ensemble(nets, known)))["pilots"]
    assert pilots == "2 networks, which are the result; their validation loss was 0.5"


def test_networks_of_several_kinds(folder):
    X, y = rng.normal(size=(90, 2)), rng.normal(size=90)
    team = fastbp.Ensemble([fastbp.train(X, y, hidden=hidden, epochs=3) for hidden in (4, (5, 2), 4)])
    report.write(folder / "kinds.html", team, (X, y), None, table="t", target="c")
    page = Page(folder / "kinds.html")
    assert page.table("Layers of the 3 networks (float32)")[1:] == [
        ["2 inputs - 4 relu - 1 identity", "17", "2"],
        ["2 inputs - 5 relu - 2 relu - 1 identity", "30", "1"],
    ]
    options = {name: value for name, value, _ in page.table("Options of the training")[1:]}
    assert (options["hidden"], options["epochs"]) == ("4 or 5, 2", "3")


def test_a_network_of_a_quality(folder):
    X, y = rng.normal(size=(90, 2)), rng.normal(size=90)
    frame = pd.DataFrame(X, columns=["a", "b"])
    net = fastbp.train(frame, y, quality="fast", epochs=4, seed=1)
    report.write(folder / "fast.html", net, (frame, y), None, table="t", target="c")
    (summary,) = (text for text in Page(folder / "fast.html").words["p"] if text.startswith("The network predicts"))
    assert "It was trained on 90 rows. On the training rows" in summary
    assert summary.endswith("Training stopped after epoch 4: all epochs done.")


def test_networks_that_chose_their_epochs_and_read_a_table_differently(folder):
    X, y = passengers()
    team = fastbp.ensemble(
        X.drop(columns="name"), y, 3, bootstrap=True, validation=0.2, patience=2, epochs=60, hidden=4, seed=0
    )
    report.write(folder / "team.html", team, (X, y), None, table="t", target="luck")
    (summary,) = (text for text in Page(folder / "team.html").words["p"] if text.startswith("The 3 networks predict"))
    lengths = [len(net.history["loss"]) for net in team.networks]
    assert f"stopped after {min(lengths)} to {max(lengths)} epochs: {STOP_REASONS['patience']}" in summary
    assert "the weights kept are those of each network's best epoch" in summary
    assert "quality" not in Page(folder / "team.html").table("Options of the training")[1]


def test_a_run_that_was_still_getting_better_says_so(folder):
    X = rng.normal(size=(90, 1))
    net = fastbp.train(X, X[:, 0], hidden=(), optimizer="sgd", learning_rate=1e-3, validation=0.2, epochs=9, seed=0)
    report.write(folder / "short.html", net, (X, X[:, 0]), None, table="t", target="c")
    (summary,) = (text for text in Page(folder / "short.html").words["p"] if text.startswith("The network predicts"))
    assert net.best_epoch == 9
    assert summary.endswith("epoch 9: all epochs done. It was still getting better: more epochs may help.")


def test_scores_are_next_to_the_baseline(classified, regressed):
    net, ((Xt, yt), (Xv, yv)), page = classified
    columns = [scores(net, Xt, yt), baseline(net, yt, yt), scores(net, Xv, yv), baseline(net, yt, yv)]
    shown = {name: values for name, *values in page.table("The network, and the baseline")[2:]}
    assert shown == {name: short(column[name] for column in columns) for name in ("accuracy", "log loss", "AUC")}
    net, (X, y), page = regressed
    shown = {name: values for name, *values in page.table("The network, and the baseline")[2:]}
    assert shown["R²"] == short([net.score(X, y), 0])
    assert shown["RMSE"] == short([scores(net, X, y)["RMSE"], y.std()])


def test_the_data_are_described(classified):
    net, ((Xt, _), (Xv, _)), page = classified
    both = pd.concat([Xt, Xv])
    rows = {row[0]: row[1:] for row in page.table("How each column is used")[1:]}
    assert list(rows) == list(both)
    for row in net.columns.rows:
        kind, inputs, missing, values, note = rows[row.name]
        assert (kind, inputs, note) == (row.kind, str(row.inputs), row.note)
        share = both[row.name].isna().mean()
        assert missing == (f"{share:.1%}" if share else "")
        if kind == "number":
            column = both[row.name]
            assert values == f"{column.min():.4g} to {column.max():.4g}, median {column.median():.4g}"
        elif kind == "category":
            assert values == ", ".join(f"{value} ({count})" for value, count in both[row.name].value_counts().items())


def test_dates_and_answers_are_described():
    frame = pd.DataFrame(
        {"when": pd.date_range("2024-01-01", periods=60).strftime("%d.%m.%Y"), "sold": [True, False, False] * 20}
    )
    net = fastbp.train(frame, rng.normal(size=60), epochs=1)
    described = [
        row["values"] for row in report._columns(net, [report._part("training", (frame, rng.normal(size=60)))])
    ]
    assert described == ["2024-01-01 to 2024-02-29", "no (40), yes (20)"]


def test_the_targets_are_counted(classified, regressed):
    net, parts, page = classified
    y = np.concatenate([y for _, y in parts])
    assert [[row[0], row[-1]] for row in page.table("Rows of each class")[1:]] == [
        [c, str((y == c).sum())] for c in net.classes
    ]
    _, (_, y), page = regressed
    counts, edges = np.histogram(y, report.BINS)
    rows = page.table("Rows by the value of the target")[1:]
    assert [row[-1] for row in rows] == list(map(str, counts))
    assert rows[0][0].split(" to ") == short(edges[:2])


def test_notes_say_what_to_keep_in_mind(classified, regressed):
    assert not [text for text in classified[2].words["p"] if text.startswith("Note.")]
    unwatched, skewed = (text for text in regressed[2].words["p"] if text.startswith("Note."))
    assert "No rows were set aside" in unwatched
    assert "The target is heavily skewed" in skewed


def test_a_target_of_nearly_one_class_is_noted(folder, regressed):
    X = regressed[1][0]
    y = (X[:, 0] > 1.3).astype(int)
    net = fastbp.train(X, y, epochs=1)
    report.write(folder / "rare.html", net, (X, y), None, table="t", target="rare")
    assert any(
        f"{1 - y.mean():.0%} of the rows are of the class 0" in text for text in Page(folder / "rare.html").words["p"]
    )


def test_importances_are_those_of_the_validation_rows(classified):
    net, (_, (Xv, yv)), page = classified
    found = permutation_importance(net, Xv, yv, seed=3)
    rows = page.table("How much the accuracy on the validation rows falls")[1:]
    assert sorted(row[0] for row in rows) == sorted(net.feature_names)
    assert rows[0][0] == found[0].name == "sex"
    assert float(rows[0][-1].split()[0]) == pytest.approx(found[0].mean, abs=0.1)  # the rows are in another order


def test_the_worst_mistakes_come_first(classified, regressed):
    net, (_, (Xv, yv)), page = classified
    head, *rows = page.table("The validation rows that are predicted wrong")
    assert head == ["line", "true", "predicted", "probability of the truth", *Xv]
    truth = pd.Series(net.predict_proba(Xv)[np.arange(len(yv)), (yv == net.classes[1]).astype(int)], Xv.index)
    wrong = truth[net.predict(Xv) != yv].sort_values(kind="stable")[:10]
    assert [row[0] for row in rows] == list(map(str, wrong.index))
    assert [row[3] for row in rows] == short(wrong)
    line = int(rows[0][0])
    assert rows[0][1] == dict(zip(Xv.index, yv, strict=True))[line]
    name = Xv.loc[line, "name"]
    assert rows[0][-1] == name[: report.LONGEST - 1] + "…"
    net, (X, y), page = regressed
    _, *rows = page.table("The training rows with the largest errors")
    error = np.abs(net.predict(X) - y)
    assert [row[0] for row in rows] == list(map(str, np.argsort(-error, kind="stable")[:10]))
    assert [row[3] for row in rows] == short(np.sort(error)[::-1][:10])


def test_options_and_layers(classified):
    net, _, page = classified
    options = {name: (value, default) for name, value, default in page.table("Options of the training")[1:]}
    assert options.keys() == net.options.keys()
    assert options["patience"] == ("10", "auto")
    assert options["hidden"] == ("8", "auto")
    assert options["learning_rate"] == (f"{net.options['learning_rate']:.4g}", "auto")
    layers = page.table(f"{len(net.params)} parameters")[1:]
    assert [int(row[1]) for row in layers] == list(net.sizes)
    assert sum(int(row[3] or 0) for row in layers) == len(net.params)


@pytest.mark.parametrize("name", ["classified", "regressed", "together"])
def test_nothing_comes_from_elsewhere(name, request):
    _, _, page = request.getfixturevalue(name)
    assert not re.search(r"https?:|//\w|@import", page.html)
    for key, value in page.attributes:
        if key in ("href", "src", "xlink:href"):
            assert value.startswith(("#", "data:"))
    ids = [value for key, value in page.attributes if key == "id"]
    assert len(ids) == len(set(ids))
    links = {value[1:] for key, value in page.attributes if key in ("href", "xlink:href") and value.startswith("#")}
    links |= set(re.findall(r"url\(#([^)]*)\)", page.html)) | {
        value for key, value in page.attributes if key == "aria-labelledby"
    }
    assert links <= set(ids)


def test_nothing_of_the_users_is_taken_for_html(classified):
    _, _, page = classified
    assert not {"script", "b", "i"} & set(page.tags)
    assert not [key for key, _ in page.attributes if key.startswith("on")]
    assert "alert(1)" in page.html
    assert {"<i>yes</i>", "no & $no$"} <= set(page.words["text"])  # in the confusion matrix


def test_several_outputs_labels_and_quantiles(folder):
    X = pd.DataFrame(rng.normal(size=(60, 2)), columns=["a", "b"])
    numbers, path = X.to_numpy() + 1, folder / "several.html"
    for y, options, pictures in (
        (numbers, {}, 2),
        (numbers, {"loss": "quantile", "quantile": (0.1, 0.5, 0.9)}, 2),
        (numbers > 1, {}, 1),
    ):
        report.write(
            path,
            fastbp.train(X, y, epochs=5, seed=0, **options),
            (X[:59], y[:59]),
            (X[59:], y[59:]),
            table="t",
            target="c, d",
        )
        page = Page(path)
        assert page.words["h2"] == SECTIONS
        assert len(page.words["figcaption"]) == pictures


def test_the_file_is_replaced_whole_or_not_at_all(classified, folder, monkeypatch):
    net, parts, _ = classified
    path = folder / "again.html"
    path.write_text("old")

    def fail(*_):
        raise OSError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(storage.os, "fsync", fail)
        with pytest.raises(OSError, match="disk full"):
            report.write(path, net, *parts, table="ship.csv", target=HOSTILE)
    assert path.read_text() == "old"
    report.write(path, net, *parts, table="ship.csv", target=HOSTILE)
    assert path.read_bytes() == (folder / "class.html").read_bytes()  # the same in each run
    assert not list(folder.glob(".*"))


def test_the_users_figures_and_settings_are_left_alone(classified, folder):
    net, parts, _ = classified
    mine = plt.figure()
    figures = plt.get_fignums()
    with mpl.rc_context({"figure.facecolor": "red", "svg.fonttype": "path"}):
        before = dict(mpl.rcParams)
        report.write(folder / "red.html", net, *parts, table="ship.csv", target=HOSTILE)
        assert dict(mpl.rcParams) == before
    assert plt.get_fignums() == figures
    assert (folder / "red.html").read_bytes() == (folder / "class.html").read_bytes()
    plt.close(mine)


@pytest.fixture(scope="module")
def browser():
    with launched() as browser:
        yield browser


@pytest.mark.parametrize("name", ["class", "number", "together"])
@pytest.mark.parametrize(("width", "scheme"), [(400, "dark"), (1000, "light")])
def test_in_a_browser(browser, folder, classified, regressed, together, name, width, scheme):
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    said, asked, address = [], [], (folder / f"{name}.html").as_uri()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url) if not request.url.startswith("data:") else None)
    page.goto(address, wait_until="load")
    assert said == []
    assert asked == [address]
    sizes = page.evaluate(
        "[...document.querySelectorAll('figure svg')].map(p => p.getBoundingClientRect()).map(r => [r.width, r.height])"
    )
    assert len(sizes) == 2
    assert min(map(min, sizes)) > 100
    assert page.evaluate("document.documentElement.scrollWidth") == width
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background))) < 3 * 128) == (scheme == "dark")
    page.close()
