"""Run tests again with vectors of other widths than this processor's, each width in a new process."""

import os
import subprocess
import sys
from pathlib import Path

from fastbp.kernels.compiler import processor


def run_at_other_widths(names, chosen):
    """
    Run the tests in the files `names` that pytest's expression `chosen(width)` selects; they must pass.

    The processes run side by side; this one only waits.
    """
    folder = Path(__file__).parent
    files = [str(folder / f"test_{name}.py") for name in names]
    running = {}
    for width in {16, 32, 64} - {processor.VECTOR_BYTES}:
        command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *files]
        command += ["-m", "not long", "-k", f"({chosen(width)}) and not width"]
        environment = os.environ | {"FASTBP_VECTOR_BYTES": str(width)}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        running[width] = subprocess.Popen(command, env=environment, cwd=folder.parent, text=True, **pipes)
    try:
        for width, process in running.items():
            said, _ = process.communicate(timeout=600)
            assert process.returncode == 0, f"width {width}: {said}"
    finally:
        for process in running.values():
            process.kill()
