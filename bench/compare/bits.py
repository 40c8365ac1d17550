"""
Checks whether two revisions compute the same bits.

``python bench/compare/bits.py REVISION [OTHER]`` runs the cases of `bits_cases.py` under REVISION and OTHER (default:
HEAD), each in a separate environment with this interpreter's packages, for every vector width of ``--widths``, and
compares digests of weights and outputs. ``--python A B`` compares two interpreters that have fastbp installed. Prints a
Markdown table; the exit status is 1 if a case differs, if only one of the two has it, or if a process fails.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections import defaultdict
from importlib.util import find_spec
from pathlib import Path

ROOT, CASES = Path(__file__).parents[2], Path(__file__).with_name("bits_cases.py")


def installed(revision, folder):
    """Install a revision in `folder`, with the other packages of this interpreter, and return its interpreter."""
    source, home = folder / "source", folder / "environment"
    source.mkdir(parents=True)
    archive = subprocess.run(["git", "archive", revision], cwd=ROOT, check=True, capture_output=True).stdout
    subprocess.run(["tar", "x"], input=archive, cwd=source, check=True)
    venv.create(home, with_pip=True)
    python = next(home.glob("bin/python"))
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", source]
    subprocess.run(pip, check=True)
    packages = dict.fromkeys(str(Path(find_spec(name).origin).parents[1]) for name in ("numba", "numpy", "sklearn"))
    site = next(home.glob("lib/python*/site-packages"))
    site.joinpath("shared.pth").write_text("\n".join(packages))
    return python


def started(python, width, folder):
    """Start the cases in a process with an empty cache."""
    cache = tempfile.mkdtemp(dir=folder)
    environment = os.environ | {"FASTBP_VECTOR_BYTES": str(width), "NUMBA_CACHE_DIR": cache, "NUMBA_NUM_THREADS": "2"}
    with open(Path(cache) / "errors", "w") as errors:
        return subprocess.Popen([python, CASES], cwd=cache, env=environment, stdout=subprocess.PIPE, stderr=errors)


def compared(first, second, width):
    """Print a row per group of cases, and return whether all are equal."""
    groups, equal = defaultdict(list), True
    for case in first | second:
        groups[case.partition(":")[0]].append(case)
    for group, cases in groups.items():
        differ = [case for case in cases if first.get(case) != second.get(case)]
        raised = [case for case in cases if first.get(case, "").startswith("raised")]
        print(f"| {width} | {group} | {len(cases)} | {f'{len(differ)} differ' if differ else 'equal'} |")
        for kind, names in (("differs", differ), ("raises", raised)):
            for case in names:
                print(f"|  | {kind}: {case} | {first.get(case)} | {second.get(case)} |")
        equal = equal and not differ
    return equal


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revisions", nargs="*", metavar="REVISION")
    parser.add_argument("--python", nargs=2, metavar=("A", "B"))
    parser.add_argument("--widths", nargs="+", type=int, choices=(16, 32, 64), default=[16, 32, 64])
    options = parser.parse_args()
    if bool(options.python) == bool(options.revisions) or len(options.revisions) > 2:
        parser.error("expected one or two revisions, or --python A B")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        pair = [Path(python).absolute() for python in options.python or ()]
        for k, revision in enumerate((*options.revisions, "HEAD")[:2] if options.revisions else ()):
            pair.append(installed(revision, folder / str(k)))
        print("| vector bytes | cases | number | |\n|---|---|---|---|", flush=True)
        equal = True
        for width in options.widths:
            processes = [started(python, width, folder) for python in pair]
            outputs = [process.communicate()[0] for process in processes]
            if any(process.returncode for process in processes):
                sys.exit("".join(path.read_text() for path in folder.glob("*/errors"))[-4000:])
            equal = compared(*map(json.loads, outputs), width) and equal
    sys.exit(0 if equal else 1)


if __name__ == "__main__":
    main()
