"""The first second: what a program imports and compiles before its first result."""

import ast
import io
import sys
import types
from importlib import import_module
from pathlib import Path

import numba
import pytest
from numba.core import event
from test_jit import run

import fastbp
from bench.starts import functions_compiled
from fastbp.runtime import progress

# Of XOR with an empty cache. It grows by one with each function that a kernel calls, and so does the time: 0.1 s each.
MOST_FUNCTIONS = 45


def test_importing_fastbp_imports_nothing_else():
    run("""
        import sys
        import fastbp
        assert not {"numpy", "numba", "tqdm", "email", "fastbp.kernels", "fastbp.training"} & sys.modules.keys()
        from fastbp import train
        assert train is fastbp.train and train.__module__ == "fastbp.training.train"
    """)


def test_type_checkers_and_programs_find_the_same_names():
    tree = ast.parse(Path(fastbp.__file__).read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    declared = {
        alias.asname or alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if node.module
    }
    assert declared == fastbp._MODULE_OF
    assert sorted({*declared, "graph", "kernels"}) == sorted(fastbp.__all__)
    assert {*fastbp.__all__, "__version__", "plot", "sklearn"} == set(dir(fastbp))
    for name, module in declared.items():
        assert getattr(fastbp, name) is getattr(import_module(f"fastbp.{module}"), name)
    with pytest.raises(AttributeError, match="module 'fastbp' has no attribute 'trian'"):
        fastbp.trian  # noqa: B018


def test_earlier_names_of_modules_are_found_without_importing_them_at_first():
    run("""
        import sys
        import fastbp
        from fastbp.network import Network
        assert Network is fastbp.Network
        import fastbp.many
        assert not hasattr(sys.modules["fastbp.search"], "__file__") and not hasattr(fastbp.many, "unknown")
        assert "fastbp.many.search" not in sys.modules
        assert fastbp.many.Networks is fastbp.Networks
    """)


def test_a_program_with_a_full_cache_imports_nothing_for_compiling_and_may_compile_later():
    code = """
        import sys
        import fastbp
        net = fastbp.train([[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0], hidden=8, seed=1, epochs=5)
        net.predict([[0, 0]])
    """
    run(code)
    run(
        code
        + """
        unwanted = {"scipy.linalg", "numba.np.linalg", "numba.np.arraymath", "numba.typed.typeddict", "tqdm", "asyncio"}
        assert not unwanted & sys.modules.keys()
        import numba
        import numpy as np
        assert numba.njit(lambda n: np.arange(n).reshape((2, -1)).sum())(4) == 6
        assert "numba.np.linalg" in sys.modules
        net.predict([[0, 0]])
    """
    )


@pytest.mark.thorough
def test_few_functions_are_compiled_for_the_first_result(tmp_path):
    assert 0 < functions_compiled(tmp_path) <= MOST_FUNCTIONS
    assert functions_compiled(tmp_path) == 0


class _Terminal(io.StringIO):
    def isatty(self):
        return True


def compiling(monkeypatch, stream, wanted=1):
    """What is shown while a function is compiled."""
    from fastbp import compilation

    monkeypatch.setattr(sys, "stderr", stream)
    function = types.FunctionType((lambda x: x).__code__, {"__name__": "fastbp.kernels.some"}, "kernel")
    with compilation._showing(wanted, None) as listener:
        with event.trigger_event("numba:compile", data={"dispatcher": numba.njit(function)}):
            pass
        listener.done += 1
    return stream.getvalue()


def test_on_a_terminal_compiling_is_announced_and_its_time_shown(monkeypatch):
    shown = compiling(monkeypatch, _Terminal())
    assert "compiling kernels once for this processor: 00:00, kernel" in shown
    assert shown.rstrip().endswith("compiled kernels once for this processor: 00:00")
    assert "kernels once for this processor: 0 of 2, 00:00, kernel" in compiling(monkeypatch, _Terminal(), wanted=2)


def test_in_a_notebook_compiling_is_announced(monkeypatch):
    shell = types.SimpleNamespace(config={"IPKernelApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    assert progress.in_notebook()
    assert "compiling kernels once for this processor" in compiling(monkeypatch, io.StringIO())


def test_elsewhere_nothing_is_shown(monkeypatch):
    assert compiling(monkeypatch, io.StringIO()) == ""
    assert not progress.shown(None)
    assert progress.shown(True)
