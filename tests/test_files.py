"""Tables in files: what is read, also in pieces, and the errors for everything that cannot be read."""

import gzip
import io
import sys
import tracemalloc

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from command import assert_one_line, run
from pyarrow import parquet

from fastbp.tables import files

TEXT = 'a,b,"c, d"\n1,x,2.5\n\n2,"two\nlines",\n3,"",-1e3\n'


def write(tmp_path, text, name="t.csv"):
    path = tmp_path / name
    if isinstance(text, bytes):
        path.write_bytes(text)
    else:
        path.write_text(text, encoding="utf-8", newline="")
    return str(path)


def stdin(monkeypatch, data):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(data))))


def test_a_csv_file_and_the_lines_of_its_rows(tmp_path):
    table = files.read(write(tmp_path, TEXT))
    assert table.names == ["a", "b", "c, d"]
    assert list(table.frame.index) == [2, 4, 6]
    assert table.frame.index.name == "line"
    assert table.frame["b"].fillna("-").tolist() == ["x", "two\nlines", "-"]
    np.testing.assert_array_equal(table.frame["c, d"], [2.5, np.nan, -1000])


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_any_end_of_line_and_a_byte_order_mark(tmp_path, start, end):
    table = files.read(write(tmp_path, start + f'größe,b\n1,ü\n2,"x {end}y"'.replace("\n", end)))
    assert table.names == ["größe", "b"]
    assert table.frame["größe"].tolist() == [1, 2]
    assert table.frame.index.tolist() == [2, 3]


def test_pieces_are_the_table(tmp_path):
    path = write(tmp_path, TEXT)
    whole = files.read(path).frame
    for rows in (1, 2, 3, 4):
        pieces = list(files.stream(path, rows=rows))
        assert max(len(piece.frame) for piece in pieces) == min(rows, 3)
        pd.testing.assert_frame_equal(pd.concat([piece.frame for piece in pieces]), whole, check_dtype=False)


def test_codes_stay_text_in_every_piece(tmp_path):
    path = write(tmp_path, "zip,n\n01234,1\n99,2\n")
    assert files.read(path).frame["zip"].tolist() == [1234, 99]
    assert [piece.frame["zip"].tolist() for piece in files.stream(path, ["zip"], rows=1)] == [["01234"], ["99"]]


def test_the_memory_of_a_stream_does_not_grow_with_the_file(tmp_path):
    def peak(rows):
        path = write(tmp_path, "a,b\n" + "1.25,some text\n" * rows, f"{rows}.csv")
        tracemalloc.start()
        count = 0
        for piece in files.stream(path, rows=1000):
            assert len(piece.frame) <= 1000
            count += len(piece.frame)
        assert count == rows
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(1000)
    assert peak(40_000) < 1.5 * peak(4000)


def test_wide_tables_come_in_smaller_pieces(tmp_path):
    path = write(tmp_path, ",".join(f"c{k}" for k in range(1000)) + "\n" + ("0," * 999 + "1\n") * 501)
    assert [piece.frame.shape for piece in files.stream(path)] == [(500, 1000), (1, 1000)]


def test_parquet_of_several_groups_of_rows(tmp_path):
    frame = pd.DataFrame(
        {"n": range(10), "t": list("abcdefghij"), "d": pd.date_range("2020-01-01", periods=10)}
    ).set_index("n", drop=False)
    frame.index.name = None
    path = tmp_path / "t.parquet"
    frame.to_parquet(path, row_group_size=3)
    (tmp_path / "t.csv").write_bytes(path.read_bytes())  # Parquet is also recognised by its first bytes
    for name in (str(path), str(tmp_path / "t.csv")):
        table = files.read(name)
        assert table.names == ["n", "t", "d"]
        assert table.frame["n"].tolist() == list(range(10))
        assert (table.frame.index.tolist(), table.frame.index.name) == (list(range(1, 11)), "row")
        pieces = list(files.stream(name, rows=4))
        assert max(len(piece.frame) for piece in pieces) <= 4
        pd.testing.assert_frame_equal(pd.concat([piece.frame for piece in pieces]), table.frame)


def test_stdin(monkeypatch, tmp_path):
    stdin(monkeypatch, b"a,b\n1,2\n3,4\n5,6\n")
    assert [piece.frame.to_numpy().tolist() for piece in files.stream("-", rows=2)] == [[[1, 2], [3, 4]], [[5, 6]]]
    stdin(monkeypatch, b"a,b\n1,2\n3,4,5\n")
    with pytest.raises(ValueError, match=r"^stdin: line 3 has 3 cells"):
        files.read("-")
    pd.DataFrame({"a": [1, 2]}).to_parquet(tmp_path / "t.parquet")
    stdin(monkeypatch, (tmp_path / "t.parquet").read_bytes())
    assert files.read("-").frame["a"].tolist() == [1, 2]


ROWS = "".join(f"{k},{'ab'[k % 2]}\n" for k in range(30))  # lines 2 to 31
MISTAKES = {
    "missing target": ("length,width\n1,2\n", "there is no column 'kind'; its columns are 'length', 'width'"),
    "a name nearly right": ("length,kinds\n1,2\n", "there is no column 'kind'; did you mean 'kinds'?"),
    "no feature": ("kind\na\nb\n", "expected at least one column to predict the target from, got none"),
    "columns without names": (
        ",,kind\n0,1,a\n1,2,b\n",
        "columns 1, 2 have no names; name them in the first line, or remove them",
    ),
    "text among numbers": ("length,kind\n1,1.5\n2,2.5\n3,x\n", "column 'kind' contains text ('x' in line 4)"),
    "a long cell among numbers": (
        "length,kind\n1,1.5\n2,2.5\n3," + "x" * 10_000 + "\n",
        "column 'kind' contains text ('xxxxxxxxxxxx...xxxxxxxxxxxxx'",
    ),
    "blank lines": ("length,kind\n\n1,1\n\n3,2\n4,\n", "in line 6 (1 missing in all"),
    "open quote": ('length,kind\n1,a\n1,"a\n2,b\n', "line 3 opens a quote that is never closed"),
    "an open quote in a long file": (
        'length,kind\n1,"a\n' + "2,b\n" * 50_000,
        "line 2 opens a quote that is never closed",
    ),
    "a letter after a quote": ('length,kind\n1,"a"b\n', "line 2 is not CSV"),
    "missing labels": ("length,kind\n1,a\n2,\n3,NA\n", "column 'kind' has no value in line 3 (2 missing in all"),
    "infinite": ("length,kind\n" + ROWS + "inf,b\n", "got inf in column 'length', line 32; correct it"),
    "infinite and negative": ("length,kind\n-Infinity,a\n" + ROWS, "got -inf in column 'length', line 2; correct it"),
    "an infinite target": ("length,kind\n1,0.5\n2,inf\n", "column 'kind' contains an infinite number in line 3"),
    "one class": ("length,kind\n1,a\n2,a\n", "target 'kind': expected at least two classes"),
    "no values at all": (
        "length,width,kind\n" + ",,a\n,,b\n" * 9,
        "all are left out ('length': no values; 'width': no values)",
    ),
    "one row": ("length,kind\n1,a\n", "expected at least two rows, one of them for validation, got one"),
    "empty": ("", "the file is empty; expected a line of column names"),
    "blank": ("\n\n \n", "the file is empty"),
    "header only": ("length,kind\n", "no rows below the column names"),
    "repeated column": ("length,length,kind\n1,2,a\n", "column 'length' is named more than once"),
    "ragged": ("length,kind\n1,a\n2,b,3\n", "line 3 has 3 cells where the first line names 2 columns"),
    "short": ("length,kind\n1,a\n2\n", "line 3 has 1 cells where the first line names 2 columns"),
    "semicolons or commas": (
        "length;width;kind, of it\n1,5;2;a\n",
        "separated by ',' or ';'; say which with --delimiter",
    ),
    "another delimiter": ("length:kind\n1:a\n", "there is no column 'kind'; its columns are 'length:kind'"),
    "NUL": ("length,kind\n1,a\n2,\0b\n", "line 3 contains a NUL byte"),
    "Latin-1, late": (
        b"length,kind\n" + b"1,a\n" * 20_000 + b"2,\xfc\n",
        "byte 80015, in line 20002, is not UTF-8 text; if it is text in another encoding, say which with --encoding",
    ),
    "UTF-8 cut short, after a mark": (
        b"\xef\xbb\xbflength,kind\n1,\xc3\xbc\n2,\xc3",
        "byte 23, in line 3, is not UTF-8",
    ),
    "UTF-16 without a mark": (
        "length,kind\n1,a\n".encode("utf-16-le"),
        "if it is text in UTF-16, pass --encoding utf-16",
    ),
    "UTF-16 cut short": ("length,kind\n1,a\n".encode("utf-16")[:-1], "say in which encoding it is with --encoding"),
    "zip": (b"PK\x03\x04\x14\0", "this archive cannot be read"),
    "Excel 97": (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        "this is a workbook of Excel 97 to 2003; save it as .xlsx or CSV",
    ),
    "gzip": (b"\x1f\x8b\x08\0", "this compressed file is damaged"),
    "gzip cut short": (gzip.compress(b"length,kind\n" + b"1,a\n" * 9)[:-12], "this compressed file is damaged"),
    "no Parquet": (b"PAR1 and more", "this Parquet file cannot be read"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_in_the_table(capsys, tmp_path, case):
    text, words = MISTAKES[case]
    path = write(tmp_path, text)
    result = run(capsys, "train", path, "--target", "kind", "--save", tmp_path / "m.fbp")
    assert_one_line(*result, words, f"fastbp: error: {path}:")
    assert len(result[2]) < 500
    assert not (tmp_path / "m.fbp").exists()


def test_mistakes_in_parquet(capsys, tmp_path):
    path = tmp_path / "t.parquet"

    def train():
        return run(capsys, "train", path, "--target", "y", "--save", tmp_path / "m")

    pd.DataFrame({"x": [1.0, np.inf, 2.0], "y": [1.5, 2.5, 3.5]}).to_parquet(path)
    assert_one_line(*train(), f"{path}: expected finite numbers, got inf in column 'x', row 2; correct it")
    pd.DataFrame({"x": [[1], [2], [3]], "y": [1.5, 2.5, 3.5]}).to_parquet(path)
    assert_one_line(*train(), str(path), "column 'x', got a")
    pd.DataFrame({"x": [], "y": []}).to_parquet(path)
    assert_one_line(*train(), f"{path}: there are no rows")
    parquet.write_table(pa.table([[1, 2], [1, 2]], names=["x", "x"]), path)
    assert_one_line(*train(), f"{path}: column 'x' is named more than once")
    path.write_text("x,y\n1,2\n")
    assert_one_line(*train(), f"{path}: this Parquet file cannot be read")


def test_a_table_that_is_not_there(capsys, tmp_path):
    save = ["--target", "kind", "--save", tmp_path / "m.fbp"]
    assert_one_line(*run(capsys, "train", tmp_path / "none.csv", *save), "no such file", "none.csv")
    assert_one_line(*run(capsys, "train", tmp_path, *save), str(tmp_path))


@pytest.mark.parametrize(("module", "name"), [("pandas", "t.csv"), ("pyarrow", "t.parquet")])
def test_a_missing_extra_is_named(capsys, monkeypatch, tmp_path, module, name):
    monkeypatch.setitem(sys.modules, module, None)
    command = ["train", write(tmp_path, "a,b\n1,2\n", name), "--target", "b", "--save", tmp_path / "m"]
    assert_one_line(*run(capsys, *command), module, 'pip install "fastbp[cli]"')


@pytest.mark.thorough
def test_a_table_of_10_000_columns(capsys, tmp_path):
    names = [f"c{k}" for k in range(9999)]
    rows = [",".join(["1", "0"] * 4999 + [str(k), "ab"[k % 2]]) + "\n" for k in range(20)]
    path = write(tmp_path, ",".join([*names, "kind"]) + "\n" + "".join(rows))
    status, out, _ = run(capsys, "train", path, "--target", "kind", "--epochs", 1, "--save", tmp_path / "m")
    assert status == 0
    assert "... and 9969 more" in out
    assert len(run(capsys, "predict", tmp_path / "m", path)[1].splitlines()) == 21
