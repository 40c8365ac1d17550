"""What is shipped: the wheel and its contents, the example in the README."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import textwrap
import zipfile
from importlib.machinery import PathFinder
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def _run(*command, cwd, **environment):
    """Run a command that must succeed, and return what it printed; PYTHONPATH must not help it."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | environment
    done = subprocess.run([str(c) for c in command], cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _not_sources(folder, names):
    """Names that a copy of the tree leaves out: hidden folders, builds, caches, environments."""
    made = {"build", "dist", "__pycache__", "_build"}
    path = Path(folder)
    return [
        n
        for n in names
        if n.startswith(".") or n in made or n.endswith(".egg-info") or (path / n / "pyvenv.cfg").exists()
    ]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from the source distribution of a copy of the tree."""
    folder = tmp_path_factory.mktemp("build")
    shutil.copytree(ROOT, folder / "tree", ignore=_not_sources)
    _run(sys.executable, "-m", "build", "--outdir", folder / "out", folder / "tree", cwd=folder)
    (path,) = (folder / "out").glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A new virtual environment with fastbp from the wheel; the dependencies are those of this environment."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    _run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    python = scripts / "python"
    _run(
        sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=folder.parent
    )
    site = Path(_run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder.parent).strip())
    # The folders come behind the environment's own, and .pth files in them (an editable fastbp) are not read.
    others = dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
    (site / "dependencies.pth").write_text("\n".join(others) + "\n")
    return python, scripts, site


@pytest.mark.thorough
def test_wheel_holds_the_package_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
    assert {name.split("/")[0] for name in names} == {"fastbp", wheel.name.split("-py3")[0] + ".dist-info"}
    wanted = {path.relative_to(ROOT).as_posix() for path in (ROOT / "fastbp").rglob("*.py")} | {
        "fastbp/py.typed",
        "fastbp/report/report.html",
    }
    wanted |= {f"fastbp/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "kernels").rglob("*.py")}
    assert {name for name in names if name.startswith("fastbp/")} == wanted
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


@pytest.mark.thorough
def test_wheel_works_from_another_folder(installed, tmp_path):
    python, scripts, site = installed
    code = """
        import numpy as np
        import fastbp, fastbp.kernels as k

        X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
        net = fastbp.train(X, y, hidden=(8,), seed=1, progress=False)
        assert net.predict(X).tolist() == y
        net.save("xor.fbp")
        np.testing.assert_array_equal(fastbp.load("xor.fbp").predict_proba(X), net.predict_proba(X))
        out = np.empty((4, 1))
        k.matmul(np.array(X, float), np.ones((2, 1)), out)
        assert out.ravel().tolist() == [0, 1, 1, 2]
        print(fastbp.__file__, k.__file__, fastbp.__version__, sep="\\n")
    """
    package, kernels, version = _run(
        python, "-c", textwrap.dedent(code), cwd=tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "cache")
    ).splitlines()
    assert Path(package).parent.resolve() == (site / "fastbp").resolve()
    assert Path(kernels).parent.resolve() == (site / "fastbp" / "kernels").resolve()
    assert (site / f"fastbp-{version}.dist-info").is_dir()
    for name in ("kernels", "tests", "bench"):
        assert PathFinder.find_spec(name, [str(site)]) is None
    assert "train" in _run(scripts / "fastbp", "--help", cwd=tmp_path)


def test_readme_example_runs(tmp_path):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    if not text.strip():
        pytest.skip("README.md is empty")
    example = re.search(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert example, "README.md has no python example"
    assert len(example[1].splitlines()) <= 15
    _run(sys.executable, "-c", example[1], cwd=tmp_path)
