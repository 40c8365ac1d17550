"""Files as people have them: in any encoding, with any delimiter, with numbers as people write them."""

import bz2
import gzip
import lzma
import zipfile

import numpy as np
import pandas as pd
import pytest
from command import assert_one_line, run

import fastbp
from fastbp.tables import files, numerals
from fastbp.tables.formats import Format

N = 60
RNG = np.random.default_rng(0)
PLAIN = pd.DataFrame(
    {
        "größe": np.round(RNG.normal(100, 20, N), 2),
        "stück": RNG.integers(1000, 99999, N),
        "ort": RNG.choice(["Köln", "Århus", "München"], N),
        "tag": pd.date_range("2024-01-01", periods=N).strftime("%d.%m.%Y"),
    }
)
PLAIN["preis"] = np.round(PLAIN["größe"] * 12 + PLAIN["stück"] / 10, 2)


def european(column, group=".", decimal=",", sign=""):
    return [f"{v:,.2f}".translate(str.maketrans({",": group, ".": decimal})) + sign for v in column]


def zipped(path, data):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("table.csv", data)


def grouped(sign="", **marks):
    return PLAIN.assign(größe=european(PLAIN["größe"], **marks), preis=european(PLAIN["preis"], **marks, sign=sign))


CSV = PLAIN.to_csv(index=False).encode()
FILES = {  # how each is written, and what is said about it
    "comma.csv": (lambda p: p.write_bytes(CSV), None),
    "mark.csv": (lambda p: p.write_bytes(b"\xef\xbb\xbf" + CSV), None),
    "semicolon.csv": (lambda p: PLAIN.to_csv(p, sep=";", index=False), "delimiter ';'"),
    "excel.csv": (
        lambda p: PLAIN.to_csv(p, sep=";", decimal=",", index=False, encoding="cp1252", lineterminator="\r\n"),
        "encoding cp1252; delimiter ';'; numbers in 'größe' as 1234,5, 'preis' as 1234,5",
    ),
    "grouped.csv": (lambda p: grouped().to_csv(p, sep=";", index=False), "'preis' as 1.234,5"),
    "swiss.csv": (lambda p: grouped(group="'", decimal=".").to_csv(p, sep=";", index=False), "'preis' as 1'234.5"),
    "french.csv": (lambda p: grouped(group="\u202f").to_csv(p, sep=";", index=False), "'preis' as 1 234,5"),
    "english.csv": (lambda p: grouped(group=",", decimal=".").to_csv(p, index=False), "'preis' as 1,234.5"),
    "euro.csv": (lambda p: grouped(" €").to_csv(p, sep=";", index=False), "'preis' as 1.234,5 €"),
    "percent.csv": (lambda p: grouped("%").to_csv(p, sep="\t", index=False), "'preis' as 1.234,5 %"),
    "tab.tsv": (lambda p: PLAIN.to_csv(p, sep="\t", index=False), r"delimiter '\t'"),
    "bar.txt": (lambda p: PLAIN.to_csv(p, sep="|", index=False), "delimiter '|'"),
    "wide.csv": (lambda p: PLAIN.to_csv(p, sep="\t", index=False, encoding="utf-16"), "encoding utf-16"),
    "small.csv.gz": (lambda p: p.write_bytes(gzip.compress(CSV)), None),
    "small.csv.bz2": (lambda p: p.write_bytes(bz2.compress(CSV)), None),
    "small.csv.xz": (lambda p: p.write_bytes(lzma.compress(CSV)), None),
    "small.zip": (lambda p: zipped(p, CSV), None),
    "book.xlsx": (lambda p: PLAIN.to_excel(p, index=False), None),
    "lines.jsonl": (lambda p: PLAIN.to_json(p, orient="records", lines=True, force_ascii=False), None),
    "lines.ndjson.gz": (
        lambda p: p.write_bytes(gzip.compress(PLAIN.to_json(orient="records", lines=True).encode())),
        None,
    ),
    "table.parquet": (lambda p: PLAIN.to_parquet(p, index=False), None),
}


def made(folder, name):
    path = folder / name
    FILES[name][0](path)
    return str(path)


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_read_as_it_is_meant(tmp_path, name):
    path = made(tmp_path, name)
    table = files.read(path)
    pd.testing.assert_frame_equal(table.frame.reset_index(drop=True), PLAIN, check_dtype=False)
    said = FILES[name][1]
    assert table.notes == () if said is None else said in " ".join(table.notes)
    pieces = list(files.stream(path, rows=7))
    together = pd.concat([piece.frame for piece in pieces])
    pd.testing.assert_frame_equal(together.reset_index(drop=True), PLAIN, check_dtype=False)
    first = 1 if name.startswith(("lines", "table")) else 2
    assert together.index.tolist() == list(range(first, first + N))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "m.fbp"
    fastbp.train(PLAIN, "preis", quality="single", hidden=(4,), epochs=2, seed=0).save(path)
    return path


@pytest.mark.parametrize("name", ["excel.csv", "euro.csv", "book.xlsx", "lines.jsonl"])
def test_a_network_predicts_the_same_from_any_file(capsys, tmp_path, model, name):
    status, out, err = run(capsys, "predict", model, made(tmp_path, "comma.csv"))
    assert (status, err) == (0, "")
    path = made(tmp_path, name)
    again = run(capsys, "predict", model, path)
    assert again[:2] == (0, out)
    assert again[2].count("\n") == (FILES[name][1] is not None)
    np.testing.assert_array_equal(fastbp.load(model).predict(path), fastbp.load(model).predict(PLAIN))


def test_what_is_found_is_said_in_one_line(capsys, tmp_path):
    path, options = made(tmp_path, "excel.csv"), ["--quality", "single", "--epochs", 1, "--hidden", 4, "--seed", 1]
    status, out, err = run(capsys, "train", path, "--target", "preis", "--save", tmp_path / "m", "--json", *options)
    assert (status, out[0]) == (0, "{")
    assert err == f"fastbp: {path}: read with {FILES['excel.csv'][1]}\n"


DOUBTS = {
    "a thousand or a fraction": ("a;b\n1,234;1\n5,678;2\n", [], "--decimal or --thousands"),
    "a thousand or a fraction in quotes": ('a,b\n"1,234",1\n"5,678",2\n', [], "--decimal or --thousands"),
    "dots of three digits": ("a;b\n1.234;x\n5.678;y\n", [], "--decimal or --thousands"),
    "two decimal marks": ("a;b\n1.5;1,25\n2.25;2,5\n", [], "fractions seem to begin with"),
    "two delimiters": ("a;b,c;d\n1;2,3;4\n", [], "say which with --delimiter"),
    "no such encoding": ("a,b\n1,2\n", ["--encoding", "utf-9"], "--encoding: expected one that Python knows"),
    "no such text": (b"a,b\n1,\x81\n", ["--encoding", "cp1252"], "say in which encoding it is with --encoding"),
    "a long delimiter": ("a,b\n1,2\n", ["--delimiter", "::"], "--delimiter: expected a single character"),
    "a strange separator": ("a,b\n1,2\n", ["--thousands", "x"], "--thousands: expected one of"),
    "one mark for both": ("a,b\n1,2\n", ["--thousands", ",", "--decimal", ","], "--thousands: expected another mark"),
}


@pytest.mark.parametrize("case", DOUBTS)
def test_doubt_is_one_error_that_names_the_option(capsys, tmp_path, case):
    data, options, words = DOUBTS[case]
    path = tmp_path / "t.csv"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    assert_one_line(*run(capsys, "train", path, "--target", "b", "--save", tmp_path / "m", *options), words)


def test_options_decide(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a;b\n1,234;1\n5,678;2\n")
    assert files.read(str(path), (), Format(decimal=",")).frame["a"].tolist() == [1.234, 5.678]
    assert files.read(str(path), (), Format(thousands=",")).frame["a"].tolist() == [1234, 5678]
    path.write_text("a;b;c\n1,234;1,5;x\n5,678;2,5;y\n")  # here the other column decides
    assert files.read(str(path)).frame["a"].tolist() == [1.234, 5.678]
    path.write_text("a:b\n1:2\n")
    assert files.read(str(path), (), Format(delimiter=":")).frame["b"].tolist() == [2]
    path.write_bytes("a,b\n1,Łódź\n".encode("cp1250"))
    assert files.read(str(path), (), Format(encoding="cp1250")).frame["b"].tolist() == ["Łódź"]


def test_a_mark_in_a_later_piece_holds_too(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a;b\n" + "1,5;x\n" * 8 + "1,234;y\n" * 8)
    assert [piece.frame["a"].tolist() for piece in files.stream(str(path), rows=8)] == [[1.5] * 8, [1.234] * 8]


def test_text_that_looks_a_little_like_numbers_stays_text(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(
        "ip;day;phone;version\n10.0.0.1;01.02.2024;0171 123 456;1.2.3\n10.0.0.2;31.12.2024;089 12 34;1.10.2\n"
    )
    frame = files.read(str(path)).frame
    assert frame.iloc[0].tolist() == ["10.0.0.1", "01.02.2024", "0171 123 456", "1.2.3"]


def test_workbooks(capsys, tmp_path):
    path = tmp_path / "b.xlsx"
    with pd.ExcelWriter(path) as writer:
        PLAIN.to_excel(writer, sheet_name="2023", index=False)
        PLAIN.assign(preis=1.5).to_excel(writer, sheet_name="2024", index=False)
    with pytest.raises(ValueError, match=r"several sheets, '2023', '2024'; choose one with --sheet"):
        files.read(str(path))
    assert set(files.read(str(path), (), Format(sheet="2024")).frame["preis"]) == {1.5}
    with pytest.raises(ValueError, match=r"there is no sheet '2025'; its sheets are '2023', '2024'"):
        files.read(str(path), (), Format(sheet="2025"))
    PLAIN.drop(columns="ort").to_excel(path, index=False, header=False)
    assert files.read(str(path), (), Format(header=False)).names == ["1", "2", "3", "4"]
    broken = path.read_bytes()[:-40]
    path.write_bytes(broken)
    assert_one_line(*run(capsys, "train", path, "--target", "1", "--save", tmp_path / "m"), "cannot be read")


def test_json_lines_that_are_none(capsys, tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text('{"a": 1, "b": 2}\n{"a": 1')
    assert_one_line(
        *run(capsys, "train", path, "--target", "b", "--save", tmp_path / "m"), "not JSON with an object in each"
    )


def test_a_file_without_names(capsys, tmp_path):
    path, save = tmp_path / "t.csv", ["--save", tmp_path / "m.fbp", "--quality", "single", "--epochs", 1, "--json"]
    PLAIN[["größe", "stück", "ort", "preis"]].to_csv(path, index=False, header=False)
    status, out, err = run(capsys, "train", path, "--no-header", "--target", 4, *save)
    assert status == 0
    assert f'"training": {N - 12}, "validation": 12' in out
    assert err == ""
    net = fastbp.load(tmp_path / "m.fbp")
    assert net.columns.names == ("1", "2", "3")
    status, out, _ = run(capsys, "predict", "--no-header", tmp_path / "m.fbp", path)
    assert (status, out.count("\n")) == (0, N + 1)
    first = path.read_text().splitlines()[0].split(",")
    status, _, err = run(capsys, "train", path, "--target", first[3], *save)
    assert "looks like data" in err
    assert "pass --no-header" in err


def test_names_that_are_years_are_names(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("2019,2020,2021\n1,2,3\n4,5,6\n")
    assert files.read(str(path)).notes == ()


FORMS = {
    "1.5 2": ["1234.5"],
    "1,5 2,25": ["1234,5"],
    "1,234.50 12": ["1,234.5"],
    "1.234,50 12": ["1.234,5"],
    "0,123 5,678": ["1234,5"],
    "1,234 5,678": ["1,234.5", "1234,5"],
    "1.234.567 2.000": ["1.234,5"],
    "$1,234.50 -$3": ["1,234.5 $"],
    "12% 3%": ["1234.5 %"],
    "1e5 -2": ["1234.5"],
    "1.2.3 4.5": [],
    "red 1": [],
    "12,34,567 1": [],
}


@pytest.mark.parametrize("words", FORMS)
def test_forms_of_numbers(words):
    assert [str(form) for form in numerals.forms(words.split())] == FORMS[words]
