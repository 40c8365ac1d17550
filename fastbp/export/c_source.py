"""The C99 code of a network or an ensemble."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

import numpy as np

import fastbp
from fastbp.kernels.internal import activation

from ..model.ensemble import Ensemble, members
from ..model.network import Network
from ..tables.raw_inputs import Inputs
from .verify import Array

# In all templates, $t is the type of numbers, $_ and $U are the prefix of all names (as it is, and in upper case),
# and @ is the suffix of numbers and functions in float.
_ACTIVATIONS = {
    "logistic": "1 / (1 + exp@(-z))",
    "tanh": "tanh@(z)",
    "relu": "z < 0 ? 0 : z",
    "leaky_relu": f"z < 0 ? {activation.LEAK}@ * z : z",
    "elu": "z > 0 ? z : expm1@(z)",
    "selu": f"{activation.SELU_SCALE}@ * (z > 0 ? z : {activation.SELU_ALPHA}@ * expm1@(z))",
    "softplus": "(z > 0 ? z : 0) + log1p@(exp@(-fabs@(z)))",
    "hard_sigmoid": "z < -3 ? 0 : z > 3 ? 1 : z / 6 + 0.5@",
    "exp": "exp@(z)",
    "gelu": "z * (1 + erf@(z * 0.70710678118654752440@)) / 2",
    "silu": "z / (1 + exp@(-z))",
    "mish": "z * tanh@((z > 0 ? z : 0) + log1p@(exp@(-fabs@(z))))",
}
_ELEMENTWISE = """\
static void $_{name}($t *a, int count)
{{
    int i;
    for (i = 0; i < count; i++) {{
        const $t z = a[i];
        a[i] = {formula};
    }}
}}
"""
_SOFTMAX = """\
static void $_softmax($t *a, int count)
{
    $t top = a[0], total = 0;
    int i;
    for (i = 1; i < count; i++) top = a[i] > top ? a[i] : top;
    for (i = 0; i < count; i++) total += a[i] = exp@(a[i] - top);
    for (i = 0; i < count; i++) a[i] /= total;
}
"""
_DENSE = """\
/* out = x W + b; W contains the n_out weights of the first input, then those of the second, ... */
static void $_dense(const $t *x, int n_in, const $t *W, const $t *b, int n_out, $t *out)
{
    int i, k;
    for (k = 0; k < n_out; k++) out[k] = b[k];
    for (i = 0; i < n_in; i++)
        for (k = 0; k < n_out; k++) out[k] += x[i] * W[i * n_out + k];
}
"""
_HEAD = """\
/*
 * {what}, written by fastbp {version}.
 * C99; needs only the C library (link with -lm). Allocates nothing; any number of threads may call it.
 *
 * x: one row of $U_INPUTS raw values{names}{missing}.
 *
 * {prototypes}
 */
#include <math.h>

#define $U_INPUTS {inputs}
#define $U_OUTPUTS {outputs}
"""
_NAN = """, NAN where one is missing
 *    (which -ffast-math would not see)"""
_PROTOTYPES = {
    "regression": """void $_predict(const $t *x, $t *out);
 *     Fills out with the $U_OUTPUTS predicted numbers.""",
    "classification": """int $_predict(const $t *x, $t *probabilities);
 *     Fills the $U_CLASSES probabilities, and returns the index of the class (see $_class_names).""",
    "multilabel": """void $_predict(const $t *x, $t *probabilities, int *labels);
 *     Fills probabilities and labels (0 or 1), $U_OUTPUTS each.""",
}
_FORWARD_PROTOTYPE = """
 * void $_forward(const $t *x, $t *out);
 *     Fills out with the $U_OUTPUTS outputs of the last layer."""
_PLAIN_INPUT = "        const double input = x[i];"
_INPUT = """\
        double input = $_flag[i] ? (isnan(value) ? 1 : 0) : isnan(value) ? $_fill[i] : value;"""
_CUT = """\
        const double low = $_least[$_source[i]], high = $_most[$_source[i]], given = x[$_source[i]];
        const double value = given < low ? low : given > high ? high : given;"""
_UNCUT = "        const double value = x[$_source[i]];"
_PIECE = "        if ($_width[i] > 0) input = fmin(fmax((input - $_lower[i]) / $_width[i], 0), 1);"
_NORMALISE = """\
static void $_normalise($t *p)
{
    $t total = 0;
    int k;
    for (k = 0; k < $U_CLASSES; k++) total += p[k];
    for (k = 0; k < $U_CLASSES; k++) p[k] = total > 0 ? p[k] / total : ($t)1 / $U_CLASSES;
}
"""
_LARGEST = """\
static int $_largest(const $t *p)
{
    int k, best = 0;
    for (k = 1; k < $U_CLASSES; k++)
        if (p[k] > p[best]) best = k;
    return best;
}
"""
_PREDICT_LABELS = """\
void $_predict(const $t *x, $t *probabilities, int *labels)
{
    int k;
    $_forward(x, probabilities);
    for (k = 0; k < $U_OUTPUTS; k++) labels[k] = probabilities[k] > 0.5@;
}
"""
_MEAN = """\
static void $_add(const $t *part, double *total)
{{
    int k;
    for (k = 0; k < {columns}; k++) total[k] += (double)part[k];
}}

{kind} $_predict(const $t *x, $t *{out}{labels})
{{
    double total[{columns}] = {{0}};
    int k;
{calls}
    for (k = 0; k < {columns}; k++) {out}[k] = ($t)(total[k] / {count});
{decision}}}
"""
_PLAIN = set(string.ascii_letters + string.digits + " _-.,:;()[]<>=+*/%")  # characters of names that are not escaped


def text(model: Network | Ensemble, name: str) -> str:
    """The text of the file; all names in it begin with `name`."""
    parts = [_head(model)]
    if isinstance(model, Network):
        parts += _network(model)
    else:
        for k, net in enumerate(model.networks):
            code = re.sub(r"^(void|int) ", r"static \1 ", "\n".join(_network(net)), flags=re.MULTILINE)
            parts.append(code.replace("$_", f"$_{k}_"))
        parts += _mean(model)
    number, suffix = ("float", "f") if model.dtype == np.float32 else ("double", "")
    code = "\n".join(parts).replace("$U", name.upper()).replace("$_", name + "_")
    return code.replace("$t", number).replace("@", suffix)


def _head(model: Network | Ensemble) -> str:
    """The first comment, the sizes and the names."""
    net = members(model)[0]
    inputs, prototypes = Inputs.of(net), _PROTOTYPES[net.task]
    if isinstance(model, Network):
        what = f"Multilayer perceptron for {net.task}, {'-'.join(map(str, net.sizes))}"
        prototypes += _FORWARD_PROTOTYPE * (net.task != "regression")
    else:
        what = f"The mean of {len(members(model))} multilayer perceptrons for {net.task}"
    head = _HEAD.format(
        what=what,
        version=fastbp.__version__,
        names="" if inputs.names is None else ", in the order of $_input_names",
        missing="" if inputs.is_plain else _NAN,
        prototypes=prototypes,
        inputs=inputs.count,
        outputs=net.sizes[-1],
    )
    parts = [head if net.classes is None else f"{head}#define $U_CLASSES {len(net.classes)}\n"]
    if inputs.names is not None:
        parts.append(_strings("input_names", inputs.names))
    if net.classes is not None:
        parts.append(_strings("class_names", net.classes.astype(str).tolist()))
    return "\n".join(parts)


def _network(net: Network) -> list[str]:
    """Constants and functions of one network."""
    inputs = Inputs.of(net)
    parts = [_array("double", "x_mean", net.x_mean), _array("double", "x_scale", net.x_scale)]
    if not inputs.is_plain:
        parts += [_array("int", "source", inputs.source), _array("double", "fill", inputs.fill)]
        parts.append(_array("int", "flag", inputs.flag))
    if inputs.cuts:
        parts += [_array("double", "least", inputs.least), _array("double", "most", inputs.most)]
    if inputs.piece.any():
        parts += [_array("double", "lower", inputs.lower), _array("double", "width", inputs.width)]
    for k, (W, b) in enumerate(zip(net.weights, net.biases, strict=True)):
        parts += [_array("$t", f"W{k}", W.ravel()), _array("$t", f"b{k}", b)]
    if net.task == "regression":
        scale, mean = net.y_scale.astype(net.dtype), net.y_mean.astype(net.dtype)
        parts += [_array("$t", "y_scale", scale), _array("$t", "y_mean", mean)]
    if net.target_range is not None:
        least, most = net.target_range.astype(net.dtype)
        parts += [_array("$t", "y_least", least), _array("$t", "y_most", most)]
    parts.append(_DENSE)
    for name in dict.fromkeys(net.layer_activations):
        if name != "identity":
            parts.append(_SOFTMAX if name == "softmax" else _ELEMENTWISE.format(name=name, formula=_ACTIVATIONS[name]))
    parts.append(_forward(net))
    return parts if net.task == "regression" else [*parts, _predict(net)]


def _mean(model: Ensemble) -> list[str]:
    """The function that calls every network."""
    out = "out" if model.task == "regression" else "probabilities"
    columns = "$U_OUTPUTS" if model.classes is None else "$U_CLASSES"
    helpers, kind, decision, labels = list[str](), "void", "", ""
    if model.task == "multilabel":
        decision = f"    for (k = 0; k < {columns}; k++) labels[k] = probabilities[k] > 0.5@;\n"
        labels = ", int *labels"
    elif model.classes is not None:
        helpers, index = _decision(len(model.classes))
        kind, decision = "int", f"    return {index};\n"
    arguments, count = f"x, {out}{', labels' * bool(labels)}", len(model.networks)
    calls = "\n".join(f"    $_{k}_predict({arguments});\n    $_add({out}, total);" for k in range(count))
    fields = {"kind": kind, "out": out, "labels": labels, "columns": columns, "count": count, "decision": decision}
    return [*helpers, _MEAN.format(calls=calls, **fields)]


def _decision(classes: int) -> tuple[list[str], str]:
    """The functions and the expression that compute the index of the class from the probabilities."""
    return ([], "probabilities[1] > 0.5@") if classes == 2 else ([_LARGEST], "$_largest(probabilities)")


def _array(kind: str, name: str, values: Array) -> str:
    """A constant array, exact to the last bit."""
    suffix = "@" if kind == "$t" else ""
    words = [str(int(v)) if kind == "int" else "NAN" if np.isnan(v) else _hex(v) + suffix for v in values.tolist()]
    lines = [", ".join(words[k : k + 4]) for k in range(0, len(words), 4)]
    return f"static const {kind} $_{name}[{len(words)}] = {{\n    " + ",\n    ".join(lines) + "\n};\n"


def _hex(value: float) -> str:
    """A hexadecimal floating point number without trailing zeros."""
    return re.sub(r"\.?0*p", "p", value.hex())


def _strings(name: str, texts: Sequence[str]) -> str:
    """A table of texts, UTF-8."""
    quoted = [f"    {_quoted(text)},  /* {k} */" for k, text in enumerate(texts)]
    return f"const char *const $_{name}[{len(quoted)}] = {{\n" + "\n".join(quoted) + "\n};\n"


def _quoted(text: str) -> str:
    # All but plain characters in octal: also ?, which begins a trigraph, and the markers $ and @ of the templates.
    return '"' + "".join(chr(byte) if chr(byte) in _PLAIN else f"\\{byte:03o}" for byte in text.encode()) + '"'


def _forward(net: Network) -> str:
    """The function from raw values to outputs; in regression, these are the predictions."""
    inputs, last, width = Inputs.of(net), len(net.sizes) - 2, max(net.sizes[:-1])
    lines = [f"void $_{'predict' if net.task == 'regression' else 'forward'}(const $t *x, $t *out)", "{"]
    lines += [f"    $t a[{width}]{f', b[{width}]' if last else ''};", "    int i;"]
    lines.append(f"    for (i = 0; i < {net.sizes[0]}; i++) {{")
    lines += [_PLAIN_INPUT] if inputs.is_plain else [_CUT if inputs.cuts else _UNCUT, _INPUT]
    lines += [_PIECE] * bool(inputs.piece.any())
    lines += ["        a[i] = ($t)((input - $_x_mean[i]) / $_x_scale[i]);", "    }"]
    source, target = "a", "b"
    for k, name in enumerate(net.layer_activations):
        target = "out" if k == last else target
        lines.append(f"    $_dense({source}, {net.sizes[k]}, $_W{k}, $_b{k}, {net.sizes[k + 1]}, {target});")
        if name != "identity":
            lines.append(f"    $_{name}({target}, {net.sizes[k + 1]});")
        source, target = target, source
    if net.task == "regression":
        lines.append("    for (i = 0; i < $U_OUTPUTS; i++) out[i] = out[i] * $_y_scale[i] + $_y_mean[i];")
    if net.target_range is not None:
        lines.append("    for (i = 0; i < $U_OUTPUTS; i++)")
        lines.append(
            "        out[i] = out[i] < $_y_least[i] ? $_y_least[i] : out[i] > $_y_most[i] ? $_y_most[i] : out[i];"
        )
    return "\n".join([*lines, "}", ""])


def _predict(net: Network) -> str:
    """The function from raw values to probabilities and the decision; not for regression."""
    if net.task == "multilabel":
        return _PREDICT_LABELS
    assert net.classes is not None
    if net.sizes[-1] == 1:
        steps = "$_forward(x, probabilities + 1);\n    probabilities[0] = 1 - probabilities[1];"
    else:
        steps = "$_forward(x, probabilities);"
        if net.layer_activations[-1] != "softmax":
            steps += "\n    $_normalise(probabilities);"
    helpers, index = _decision(len(net.classes))
    body = f"int $_predict(const $t *x, $t *probabilities)\n{{\n    {steps}\n    return {index};\n}}\n"
    return "\n".join([*[_NORMALISE] * ("_normalise" in steps), *helpers, body])
