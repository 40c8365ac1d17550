"""Attacks on the compile cache with real processes: killed, interrupted; full disks, other users, damaged files."""

import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from test_cache import damaged, files

pytestmark = pytest.mark.long

# Prints "ready" once the package is imported; trains and predicts, again if interrupted; then prints how it went.
TRAIN = """
    import hashlib, sys, warnings
    import fastbp
    warnings.simplefilter("ignore")
    dtype = sys.argv[1] if len(sys.argv) > 1 else "float32"

    def learn():
        X = [[0, 0], [0, 1], [1, 0], [1, 1]]
        net = fastbp.train(X, [0, 1, 1, 0], hidden=(4,), seed=0, epochs=200, dtype=dtype, progress=False)
        return net.stop_reason, hashlib.sha256(net.params.tobytes() + net.predict_proba(X).tobytes()).hexdigest()

    print("ready", flush=True)
    try:
        how, found = learn()
    except KeyboardInterrupt:
        how = "interrupted"
    if how == "interrupted":
        _, found = learn()
    print(how, found, flush=True)
"""
COMMAND = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(TRAIN)]


def start(folder, *arguments, command=COMMAND, **environment):
    variables = {key: str(value) for key, value in (os.environ | {"NUMBA_CACHE_DIR": folder} | environment).items()}
    return subprocess.Popen(
        [*command, *arguments], env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def end(process):
    """How the process trained, and its result."""
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return tuple(out.split()[-2:])


def train(folder, *arguments, **environment):
    return end(start(folder, *arguments, **environment))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A complete cache, and the result of a process that has filled it."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, train(folder)


def leftovers(folder):
    return [file for file in files(folder) if file.suffix not in (".o", ".nbc")]


@pytest.mark.parametrize("round_", range(10))
def test_eight_processes_begin_at_once(round_, cache, tmp_path):
    kinds = ["float32", "float64"] * 4
    several = [start(tmp_path, kind) for kind in kinds]
    found = [end(process) for process in several]
    assert found[0] == cache[1]
    assert found == found[:2] * 4
    assert [train(tmp_path, kind) for kind in kinds[:2]] == found[:2]
    assert not leftovers(tmp_path)


def test_ctrl_c_at_any_moment_of_a_compilation(cache, tmp_path):
    def attack(seed):
        folder, chance = tmp_path / str(seed), random.Random(seed)
        process = start(folder)
        process.stdout.readline()
        time.sleep(chance.uniform(0, 8))
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=300)
        assert len(out.split()) == 2, (process.returncode, out, err)
        how, found = out.split()
        assert found == cache[1][1]
        if process.returncode != 0:  # the signal came after the last output, while Python was about to exit
            assert process.returncode == -signal.SIGINT or "KeyboardInterrupt" in err, err
            how = "ended"
        assert not leftovers(folder)
        assert train(folder) == cache[1]
        return how

    with ThreadPoolExecutor(2) as pool:
        ways = list(pool.map(attack, range(60)))
    print({way: ways.count(way) for way in ways})
    assert ways.count("interrupted") >= 15


def test_killed_at_any_moment_of_a_compilation(cache, tmp_path):
    def attack(seed):
        folder, chance = tmp_path / str(seed % 4), random.Random(seed)
        process = start(folder)
        process.stdout.readline()
        time.sleep(chance.uniform(0, 6))
        process.kill()
        process.communicate()
        return process.returncode

    for turn in range(10):  # four folders; in each, ten processes are killed
        with ThreadPoolExecutor(2) as pool:
            ends = list(pool.map(attack, range(4 * turn, 4 * turn + 4)))
        assert turn or ends.count(-signal.SIGKILL) >= 2
    for folder in tmp_path.iterdir():
        assert train(folder) == cache[1]


@pytest.mark.parametrize(
    "how", ["empty", "short", "half", "cut", "grown", "garbage", "zeros", "swapped", "flipped", "gone", "folder"]
)
def test_every_file_is_damaged(how, cache, tmp_path):
    folder = tmp_path / "cache"
    shutil.copytree(cache[0], folder)
    whole = {file: file.read_bytes() for file in files(folder)}
    assert {file.suffix for file in whole} == {".o", ".nbc"}
    for file, data in whole.items():
        if how in ("gone", "folder"):
            file.unlink()
        if how == "folder":
            file.mkdir()
        elif how == "flipped":
            place = random.Random(file.name).randrange(len(data))
            file.write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
        elif how != "gone":
            file.write_bytes(damaged(data, how))
    assert train(folder) == cache[1]
    assert how == "folder" or {file: len(file.read_bytes()) for file in files(folder)}.keys() == whole.keys()
    assert train(folder) == cache[1]


def test_files_change_their_names(cache, tmp_path):
    folder = tmp_path / "cache"
    shutil.copytree(cache[0], folder)
    for suffix in (".o", ".nbc"):
        names = [file for file in files(folder) if file.suffix == suffix]
        for file, other in zip(names, [file.read_bytes() for file in names[1:] + names[:1]], strict=True):
            file.write_bytes(other)
    assert train(folder) == cache[1]


def test_other_processors_and_settings_share_a_folder(cache, tmp_path):
    kinds = [
        {},
        {"NUMBA_BOUNDSCHECK": 1},
        {"NUMBA_CPU_NAME": "generic"},
        {"NUMBA_CPU_NAME": "x86-64-v3", "NUMBA_CPU_FEATURES": ""},
        {"NUMBA_OPT": 1},
        {"NUMBA_DISABLE_JIT": 1},
        {"NUMBA_DISABLE_INTEL_SVML": 1},
        {"FASTBP_VECTOR_BYTES": 16},
        {"FASTBP_VECTOR_BYTES": 32},
        {"NUMBA_LOOP_VECTORIZE": 0},
    ]
    first = [train(tmp_path, **kind) for kind in kinds]
    kept = {file: file.stat().st_mtime_ns for file in files(tmp_path)}
    assert [train(tmp_path, **kind) for kind in kinds] == first
    assert {file: file.stat().st_mtime_ns for file in files(tmp_path)} == kept  # the second time, everything is found
    assert first[0] == first[1] == first[5] == cache[1]


def test_no_file_may_grow(cache, tmp_path):
    limited = ["bash", "-c", 'ulimit -f 1; exec "$@"', "-", *COMMAND]
    for _ in range(2):
        assert train(tmp_path, command=limited) == cache[1]
    assert all(file.stat().st_size <= 1024 for file in files(tmp_path))
    assert train(tmp_path) == cache[1]


@pytest.mark.parametrize("size", ["16k", "64k", "300k"])
def test_the_disk_is_full(size, cache, tmp_path):
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(tmp_path)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("may not mount")
    try:
        for _ in range(2):
            assert train(tmp_path) == cache[1]
        assert not leftovers(tmp_path)
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() or not shutil.which("setpriv"), reason="needs root, who becomes another"
)
@pytest.mark.parametrize(
    "home", ["another's", "none", "empty cache of root", "whole cache of root", "readable cache of root"]
)
def test_another_user(home, cache, tmp_path):
    other = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", *COMMAND]
    if home in ("another's", "none"):
        environment = {"HOME": str(tmp_path)} if home == "another's" else {}
        unset = ["NUMBA_CACHE_DIR", "XDG_CACHE_HOME", *(["HOME"] if home == "none" else [])]
        without = ["env", *(f"-u{name}" for name in unset), *other]
        assert train("", command=without, **environment) == cache[1]
        return
    folder = tmp_path / "cache"
    shutil.copytree(cache[0], folder) if home != "empty cache of root" else folder.mkdir()
    if home == "readable cache of root":
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755)
    assert train(folder, command=other) == cache[1]


def test_a_read_only_disk(cache, tmp_path):
    shutil.copytree(cache[0], tmp_path, dirs_exist_ok=True)
    bound = subprocess.run(["mount", "--bind", str(tmp_path), str(tmp_path)], capture_output=True, check=False)
    if bound.returncode:
        pytest.skip("may not mount")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(tmp_path)], check=True)
        assert train(tmp_path) == cache[1]
        assert train(tmp_path, "float64")[0] == cache[1][0]
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_the_folder_is_deleted_again_and_again(cache, tmp_path):
    for seed in range(6):
        process, chance = start(tmp_path), random.Random(seed)
        while process.poll() is None:
            time.sleep(chance.uniform(0.01, 0.3))
            shutil.rmtree(tmp_path / "fastbp", ignore_errors=True)
        assert end(process) == cache[1]
    assert train(tmp_path) == cache[1]


def test_an_edit_of_any_kernel_is_seen(tmp_path):
    # A copy of the package in which one file after another is edited; all versions share one cache.
    root = Path(__file__).resolve().parent.parent
    package = tmp_path / "package"
    shutil.copytree(root / "fastbp", package / "fastbp")
    shutil.copytree(root / "kernels", package / "fastbp" / "kernels", dirs_exist_ok=True)
    code = "import sys, numpy as np, fastbp.kernels as k; w = np.ones(3); k.sgd_update(w, np.full(3, 2.0), 0.25); "
    code += "print(w[0], k.__file__); "
    kernels = package / "fastbp" / "kernels"
    environment = os.environ | {
        "NUMBA_CACHE_DIR": str(tmp_path / "cache"),
        "PYTHONPATH": str(package),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    seen = []
    for file in sorted(kernels.rglob("*.py")):
        file.write_text(file.read_text() + f"\nEDITED = {len(seen)}\n")
        module = ".".join(file.relative_to(package).with_suffix("").parts).removesuffix(".__init__")
        digest = "sys.modules['fastbp.kernels.compiler.cache'].source_digest()"
        more = f"print(sys.modules['{module}'].EDITED, {digest})"
        command = [sys.executable, "-c", code + more]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.startswith(f"0.5 {package}")
        seen.append(done.stdout.split()[-1])
    assert len(set(seen)) == len(seen)
