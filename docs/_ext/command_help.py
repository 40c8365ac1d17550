"""The directive ``command-help``: what ``fastbp [COMMAND] --help`` prints."""

import os
import subprocess
import sys

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class CommandHelp(SphinxDirective):
    """A literal block with the help of a command, or of fastbp itself."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Run the command as a user would, on a terminal of 90 columns."""
        command = [sys.executable, "-m", "fastbp", *self.arguments, "--help"]
        environment = os.environ | {"COLUMNS": "90", "NO_COLOR": "1"}
        text = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
        return [nodes.literal_block(text, text, language="text")]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("command-help", CommandHelp)
    return {"parallel_read_safe": True}
