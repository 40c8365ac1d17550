"""How sphinx-gallery orders our scripts, and finds the pictures that matplotlib's scraper does not."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.animation import Animation
from sphinx_gallery.scrapers import figure_rst

from fastbp.demos.runner import DEMOS
from fastbp.graph import Drawing


def order(filename: str) -> tuple[int, str]:
    """Sort key of a script: the lecture's order, then by name."""
    name = Path(filename).stem
    return (DEMOS.index(name) if name in DEMOS else len(DEMOS), name)


def pictures(block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """
    Save what a cell has made and return the text that shows it.

    That is each new animation, as a GIF because matplotlib's own player loads its icons from the network, and a drawing of a graph that
    the cell ends in.
    """
    found, paths = block_vars["example_globals"], block_vars["image_path_iterator"]
    saved = []
    figures = [plt.figure(number) for number in plt.get_fignums()]
    for animation in [value for value in found.values() if isinstance(value, Animation) and value._fig in figures]:
        saved.append(Path(next(paths)).with_suffix(".gif"))
        animation.save(saved[-1], writer="pillow")
        plt.close(animation._fig)  # else it would be shown once more, standing still
    drawing = found.get("___")  # sphinx-gallery's name for the last value of a cell
    if isinstance(drawing, Drawing):
        saved.append(Path(next(paths)).with_suffix(".svg"))
        drawing.save(saved[-1])
        found["___"] = None  # it stays until a cell ends in a value again
    return figure_rst(saved, gallery_conf["src_dir"])
