"""The rooms of the house: what may import what, and how long a file may be."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# A network saves and exports itself: these import, when they are called, what works on networks. No other circle is wanted.
METHODS = {
    ("fastbp.model.network", "fastbp.model.storage"),
    ("fastbp.model.ensemble", "fastbp.model.storage"),
    *(("fastbp.export.methods", f"fastbp.export.{form}") for form in ("c", "jit", "numpy", "onnx", "sklearn", "torch")),
}
# The one place in which fastbp finds what it takes of the kernels besides their public names, those of `fastbp.kernels` and its nodes.
OPEN = {"fastbp.kernels", "fastbp.kernels.internal", "fastbp.kernels.node"}


def _modules():
    """Path of each module by its name."""
    found = {}
    for folder, package in (("fastbp", "fastbp"), ("kernels", "fastbp.kernels")):
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = ".".join([package, *path.relative_to(ROOT / folder).with_suffix("").parts])
            found[name.removesuffix(".__init__")] = path
    return found


MODULES = _modules()


def imports(path, name=""):
    """Modules of ours that a file imports, also within functions, but not for type checkers alone; `name` is its own."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing = [node for node in ast.walk(tree) if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    left_out = {id(inner) for node in typing for inner in ast.walk(node)}
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    found = set()
    for node in ast.walk(tree):
        if id(node) in left_out:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            inner = {f"{source}.{alias.name}" for alias in node.names}
            found |= (inner & MODULES.keys()) | ({source} if inner - MODULES.keys() else set())
    return (found & MODULES.keys()) - {name}


def test_the_names_of_imports_are_found():
    assert imports(MODULES["fastbp.train"], "fastbp.train") >= {"fastbp.checks", "fastbp.training.prepare"}
    assert imports(MODULES["fastbp.kernels"], "fastbp.kernels") >= {"fastbp.kernels.node", "fastbp.kernels.layer.loss"}
    assert "fastbp.model.network" not in imports(MODULES["fastbp.data.targets"], "fastbp.data.targets")


def test_no_circles():
    graph = {name: imports(path, name) - {to for by, to in METHODS if by == name} for name, path in MODULES.items()}
    # Modules whose imports are all gone go, too; those of a circle, and those that lead to one, stay.
    while free := {name for name, others in graph.items() if not others & graph.keys()}:
        graph = {name: others for name, others in graph.items() if name not in free}
    assert {name: others & graph.keys() for name, others in graph.items()} == {}


@pytest.mark.parametrize(
    "path", sorted((ROOT / "kernels").rglob("*.py")), ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_kernels_import_nothing_of_the_api(path):
    imported = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            depth = len(path.relative_to(ROOT / "kernels").parts)
            assert node.level <= depth, f"line {node.lineno} reaches above kernels/"
            imported += [] if node.level else [node.module]
    assert [name for name in imported if name.split(".")[0] == "fastbp"] == []


def test_nothing_reaches_past_the_front_of_the_kernels():
    files = {path: name for name, path in MODULES.items() if not name.startswith("fastbp.kernels")}
    files |= {path: "" for folder in ("bench", "docs") for path in (ROOT / folder).rglob("*.py")}
    reaching = {
        path.relative_to(ROOT).as_posix(): others
        for path, name in files.items()
        if (others := {other for other in imports(path, name) if other.startswith("fastbp.kernels")} - OPEN)
    }
    assert reaching == {}


@pytest.mark.parametrize("path", MODULES.values(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_are_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) < 450


def test_no_folder_of_that_name_hides_the_kernels():
    assert not (ROOT / "fastbp" / "kernels").exists()  # fastbp.kernels is kernels/; a folder here would win
