"""The order of the gallery's scripts, and the pictures that sphinx-gallery's matplotlib scraper does not find."""

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
    Save what a cell has drawn, and return the text that shows it.

    These are new animations, as GIFs because matplotlib's own player loads its icons from the network, and the drawing
    of a graph, if that is the last value of the cell.
    """
    variables, paths = block_vars["example_globals"], block_vars["image_path_iterator"]
    saved = []
    figures = [plt.figure(number) for number in plt.get_fignums()]
    for animation in [value for value in variables.values() if isinstance(value, Animation) and value._fig in figures]:
        saved.append(Path(next(paths)).with_suffix(".gif"))
        animation.save(saved[-1], writer="pillow")
        plt.close(animation._fig)  # otherwise its first frame would be shown, too
    drawing = variables.get("___")  # sphinx-gallery's name for the last value of a cell
    if isinstance(drawing, Drawing):
        saved.append(Path(next(paths)).with_suffix(".svg"))
        drawing.save(saved[-1])
        variables["___"] = None  # otherwise it stays until another cell ends in a value
    return figure_rst(saved, gallery_conf["src_dir"])
