"""
The sigmoid neuron's graph
==========================

Rows L13 to L17. A formula is a graph of simple steps. Values go forward through it, derivatives go
backward: each step multiplies the gradient from above by its own derivative. That is the chain rule.
"""

import numpy as np

from fastbp import graph

# %%
# **The partial derivative** (L13) says how sensitive f is to one variable: if x increases by ε, f = xy
# decreases by 2ε.

x, y = graph.Variable(6.0, name="x"), graph.Variable(-2.0, name="y")
f = x * y
f.backward()
print(f"neuron: f = xy at x = 6, y = -2: f = {float(f):g}, ∂f/∂x = {x.grad:g}, ∂f/∂y = {y.grad:g}")
for ε in (1e-1, 1e-3, 1e-5):
    change = (6 + ε) * -2 - float(f)
    print(f"  x increases by {ε:g}: f changes by {change:+.6g}, which is {change / ε:+.4f} ε")

# %%
# **The chain rule** (L14): f = (x + y) z is q = x + y and then f = q z.

x, y, z = graph.Variable(-2.0, name="x"), graph.Variable(5.0, name="y"), graph.Variable(-4.0, name="z")
q = x + y
f = q * z
f.backward()
gradients = ", ".join(f"∂f/∂{name} = {v.grad:g}" for name, v in {"q": q, "x": x, "y": y, "z": z}.items())
print(f"f = (x + y) z, q = {float(q):g}: {gradients}")

# %%
# **The scalar steps** (L15), each at x = 2.

print("scalar steps at x = 2, with c = 3 and a = 5")
for rule, step, by_hand in (
    ("1/x  → -1/x²", graph.reciprocal, -1 / 2**2),
    ("c + x → 1", lambda x: 3.0 + x, 1.0),
    ("eˣ   → eˣ", graph.exp, np.exp(2)),
    ("a x  → a", lambda x: 5.0 * x, 5.0),
):
    x = graph.Variable(2.0)
    step(x).backward()
    print(f"  {rule:13}  backward {x.grad:8.5f}   by hand {by_hand:8.5f}")

# %%
# **The multivariable chain rule** (L17): four paths lead from x to z, and each adds its term ∂z/∂yi ·
# ∂yi/∂x.

x = graph.Variable(0.5, name="x")
y1, y2, y3, y4 = x * x, graph.exp(x), 3.0 * x, 1.0 + x
z = y1 * y2 + y3 * y4
z.backward()
terms = np.array([y.grad for y in (y1, y2, y3, y4)]) * (2 * 0.5, np.exp(0.5), 3.0, 1.0)
written = " + ".join(f"{term:.4f}" for term in terms)
print("z = x² eˣ + 3x (1 + x) at x = 0.5:")
print(f"  ∂z/∂x = {written} = {sum(terms):.4f}, by the graph {x.grad:.4f}")

# %%
# **The sigmoid neuron** (L16), f = 1 / (1 + exp(-(w0·x0 + w1·x1 + w2))), step by step as in the lecture.

given = {"w0": 2.0, "w1": -3.0, "w2": -3.0, "x0": -1.0, "x1": -2.0}
w0, w1, w2, x0, x1 = (graph.Variable(value, name=name) for name, value in given.items())
a0 = w0 * x0
a1 = w1 * x1
a2 = a0 + a1
a3 = w2 + a2
a4 = -a3
a5 = graph.exp(a4)
a6 = a5 + 1.0
f = graph.reciprocal(a6)
f.backward()
print("the sigmoid neuron: value forward, ∂f/∂value backward")
for k, a in enumerate((a0, a1, a2, a3, a4, a5, a6, f)):
    a.name = name = "f" if a is f else f"a{k}"  # for the drawing
    print(f"  {name:2} = {float(a):5.2f}   ∂f/∂{name:2} = {a.grad:5.2f}")

# %%
# The lecture asks for ∂f/∂w1 and ∂f/∂w2: the gradient at a2 and a3, times the derivative of the step.
# This is f (1 - f) = 0.1966 for w2, and f (1 - f) x1 for w1.

print(f"  ∂f/∂w1 = {w1.grad:.4f}, by hand f (1 - f) x1 = {float(f) * (1 - float(f)) * -2:.4f}")
print(f"  ∂f/∂w2 = {w2.grad:.4f}, by hand f (1 - f)    = {float(f) * (1 - float(f)):.4f}")

# %%
# The graph, with the value and the gradient on each edge.

neuron = graph.draw(f)
neuron
