"""`fastbp demo`: runs the scripts of the gallery, `fastbp.demos`, and shows or saves their pictures."""

from __future__ import annotations

import functools
import os
import runpy
import tempfile
import warnings
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .. import checks

if TYPE_CHECKING:
    from ..graph import Drawing

# In the lecture's order: networks (L1 to L12), backpropagation (L13 to L30), real data.
_NETWORKS = ("house", "spam", "xor_linear", "features", "activations", "xor")
_DEEP_NETWORKS = ("bumps", "dimension", "spiral")
_BACKPROPAGATION = ("neuron", "nodes", "step")
DEMOS = (*_NETWORKS, *_DEEP_NETWORKS, *_BACKPROPAGATION, "digits")
DEFAULT = ("house", "spam", "xor", "digits")


def run(name: str, plot: Literal[True] | str | os.PathLike[str] | None = None) -> None:
    """
    Run a script of the gallery; it prints to stdout.

    Parameters
    ----------
    name : str
        One of `DEMOS`.
    plot : True or path-like, optional
        True: show the pictures on the screen, and drawings of graphs in the browser. A folder, which is
        created if missing: write them there as NAME-1.png, NAME-2.gif (an animation), NAME-3.svg (a
        drawing), ..., and print their paths. By default they are discarded.

    Raises
    ------
    ImportError
        The extra ``demo`` is not installed.
    OSError
        The folder cannot be written.
    ValueError
        Another name, or no screen to show pictures on.
    """
    from ..graph import Drawing
    from ..model import storage

    checks.one_of("name", name, DEMOS)
    folder = None if plot is None or plot is True else Path(plot)
    if folder is not None:
        storage.make_folder(folder)
    try:
        _choose_backend(screen=plot is True)
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", ".* is non-interactive"
            )  # from plt.show() without a screen
            variables = runpy.run_module(f"fastbp.demos.{name}", run_name="__main__")
    except ModuleNotFoundError as error:
        advice = 'install it with: pip install "fastbp[demo]"'
        raise ImportError(f"the demo {name} needs {error.name}; {advice}") from None
    drawings = [value for value in variables.values() if isinstance(value, Drawing)]
    if plot is True:  # the script has shown its figures itself
        for path in _save_drawings(drawings, Path(tempfile.mkdtemp(prefix="fastbp-")), name, 1):
            webbrowser.open(path.as_uri())
        return
    figures = _finish_figures(variables, folder, name)
    if folder is not None:
        for path in [*figures, *_save_drawings(drawings, folder, name, len(figures) + 1)]:
            print(path)


def _choose_backend(screen: bool) -> None:
    """Let matplotlib draw on the screen, with the user's settings, or in memory."""
    import matplotlib.pyplot as plt
    from matplotlib.backends.registry import BackendFilter, backend_registry

    if not screen:
        plt.switch_backend("agg")
    elif plt.get_backend().lower() in backend_registry.list_builtin(BackendFilter.NON_INTERACTIVE):  # type: ignore[no-untyped-call]
        raise ValueError("plot: there is no screen to show pictures on; name a folder to write them to")


def _finish_figures(variables: dict[str, Any], folder: Path | None, name: str) -> list[Path]:
    """Write all figures if there is a folder for them, and close them."""
    import matplotlib.pyplot as plt
    from matplotlib.animation import Animation

    # matplotlib has no public name for the figure of an animation
    values: list[Any] = [value for value in variables.values() if isinstance(value, Animation)]
    animations = {value._fig.number: value for value in values}
    paths = []
    for k, number in enumerate(plt.get_fignums(), 1):
        figure, animation = plt.figure(number), animations.get(number)
        if folder is None:
            if animation is not None:
                figure.canvas.draw()  # matplotlib warns about animations that were never drawn
        elif animation is None:
            paths.append(folder / f"{name}-{k}.png")
            _write(paths[-1], functools.partial(figure.savefig, dpi=150))
        else:
            paths.append(folder / f"{name}-{k}.gif")
            _write(paths[-1], functools.partial(animation.save, writer="pillow"))
        plt.close(figure)
    return paths


def _write(path: Path, save: Callable[[Path], object]) -> None:
    """Let matplotlib write a file, and put it in its place as a whole."""
    from ..model import storage

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, path.name)
        save(file)
        storage.write_atomically(path, file.read_bytes())


def _save_drawings(drawings: list[Drawing], folder: Path, name: str, first: int) -> list[Path]:
    paths = [folder / f"{name}-{k}.svg" for k, _ in enumerate(drawings, first)]
    for drawing, path in zip(drawings, paths, strict=True):
        drawing.save(path)
    return paths
