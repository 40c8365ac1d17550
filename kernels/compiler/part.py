"""Parts of kernels: functions that compiled code alone calls get no machine code of their own."""

from __future__ import annotations

from typing import Any

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler


class _NoEnvironments:
    """Where Numba sets the address of a function's environment: a part has no memory for it."""

    def set_env(self, name: str, env: Any) -> None:
        """Do nothing."""


class PartLibrary(JITCodeLibrary):
    """
    The code of a part, to be linked into its callers.

    Numba optimises a function once in each of its callers, and before that on its own, with machine code that nobody
    calls. Without the latter, an empty cache costs a third less.
    """

    @property
    def codegen(self) -> Any:
        """Where environments are set."""
        return _NoEnvironments()

    def finalize(self) -> None:
        """Link the code of what it calls."""
        self._raise_if_finalized()
        for library in dict.fromkeys(self._linking_libraries):
            self._reload_init.update(library._reload_init)
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        """None."""
        self._ensure_finalized()
        return 0


class PartCompiler(Compiler):
    """Numba's compiler, but what it compiles becomes a `PartLibrary`."""

    def define_pipelines(self) -> Any:
        """Numba's passes."""
        state = self.state
        state.library = PartLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        return super().define_pipelines()
