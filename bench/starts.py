"""Programs in new processes: the seconds that they take, their peak memory, and what they compile."""

import os
import subprocess
import sys
import time

# To a trained XOR and its first predictions: 3000 epochs in each. (scikit-learn's solver for few samples, lbfgs, would
# need 50, and takes 0.5 s less.)
PROGRAMS = {
    "import numba": "import numba\n",
    "import fastbp": "import numba, fastbp\n",
    "fastbp": """
import fastbp
X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
net = fastbp.train(X, y, hidden=8, seed=1, progress=False)
assert net.predict(X).tolist() == y
""",
    "scikit-learn": """
import warnings
from sklearn.neural_network import MLPClassifier
warnings.simplefilter("ignore")  # that it would go on learning
X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
net = MLPClassifier(8, learning_rate_init=0.01, max_iter=3000, n_iter_no_change=3000, random_state=1).fit(X, y)
assert net.predict(X).tolist() == y
""",
    "JAX": """
import jax, jax.numpy as jnp
X, y = jnp.array([[0, 0], [0, 1], [1, 0], [1, 1]], jnp.float32), jnp.array([0, 1, 1, 0], jnp.float32)
keys = jax.random.split(jax.random.key(1))
params = [
    (jax.random.normal(keys[0], (2, 8)), jnp.zeros(8)),
    (jax.random.normal(keys[1], (8, 1)), jnp.zeros(1)),
]

def outputs(params, X):
    (W1, b1), (W2, b2) = params
    return (jnp.tanh(X @ W1 + b1) @ W2 + b2)[:, 0]

def loss(params):
    z = outputs(params, X)
    return jnp.mean(jnp.maximum(z, 0) - z * y + jnp.log1p(jnp.exp(-abs(z))))

@jax.jit
def train(params):
    step = lambda k, params: jax.tree.map(lambda p, g: p - 0.5 * g, params, jax.grad(loss)(params))
    return jax.lax.fori_loop(0, 3000, step, params)

@jax.jit
def predict(params, X):
    return outputs(params, X) > 0

assert predict(train(params), X).tolist() == [False, True, True, False]
""",
}
# In front of a program: prints at its end how many functions passed through Numba's front end.
COUNT = """
import atexit
from numba.core import event
counted = event.RecordingListener()
event.register("numba:compile", counted)
atexit.register(lambda: print(sum(happening.is_start for _, happening in counted.buffer)))
"""
# After a program: prints its peak memory in KiB. `getrusage` would count that of the parent before it, and so is only
# for systems that do not say it of a process alone.
PEAK = """
try:
    with open("/proc/self/status") as lines:
        print(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
except OSError:
    import resource, sys
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "darwin" else 1))
"""


def start(program, folder):
    """Seconds of a new process that keeps what it compiles in `folder`, its peak memory in MB, and its output."""
    jax = {"JAX_COMPILATION_CACHE_DIR": f"{folder}/jax", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    environment = os.environ | {"NUMBA_CACHE_DIR": f"{folder}/numba", "JAX_PLATFORMS": "cpu"} | jax
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package has its bytecode
    started = time.perf_counter()
    output = subprocess.check_output([sys.executable, "-c", program + PEAK], cwd=folder, env=environment, text=True)
    seconds = time.perf_counter() - started
    peak, *rest = output.split()
    return seconds, int(peak) * 1024 / 1e6, rest


def functions_compiled(folder):
    """How many functions pass through Numba's front end until XOR is trained and predicted; 0 from a full cache."""
    # with one thread there is no second process, whose functions would not be counted
    alone = "import os; os.environ['NUMBA_NUM_THREADS'] = '1'\n"
    return int(start(alone + COUNT + PROGRAMS["fastbp"], folder)[2][0])
