"""Parts of kernels: functions that compiled code alone calls get no machine code of their own."""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.errors import TypingError

ENVIRONMENT = "_ZN08NumbaEnv"  # how Numba's names of environments begin


class PartLibrary(JITCodeLibrary):
    """
    The code of a part, to be linked into its callers.

    Numba would also generate machine code that nobody calls, from code optimised once on its own and once in each
    caller. The machine code is left out. The first optimisation is not: without it LLVM inlines less in the callers,
    and mini-batches of 32 take 4 to 7 % longer.
    """

    def add_ir_module(self, ir_module: Any) -> None:
        """As Numba's; and see whether the code reads the environment of its function: to raise errors with numbers."""
        text = cgutils.normalize_ir_text(str(ir_module))
        names = [name for name in ir_module.globals if name.startswith(ENVIRONMENT)]
        self._environments = {name for name in names if text.count(f'"{name}"') > 1}
        module = llvm.parse_assembly(text)
        module.name = ir_module.name
        self.add_llvm_module(module)

    def finalize(self) -> None:
        """Link the code of what it calls, and optimise all of it."""
        self._raise_if_finalized()
        for library in dict.fromkeys(self._linking_libraries):
            self._reload_init.update(library._reload_init)
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        self._optimize_final_module()
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        """None."""
        self._ensure_finalized()
        return 0

    @property
    def codegen(self) -> Any:
        """What Numba sets the environment by, and nothing else."""
        return self

    def set_env(self, name: str, environment: Any) -> None:
        """Keep the environment where the callers' code finds it, if it is read."""
        if name in self._environments:
            module = self._codegen._create_empty_module(name)
            place = ir.GlobalVariable(module, ir.PointerType(), name)
            place.linkage, place.initializer = "common", ir.Constant(place.value_type, None)
            self._codegen._add_module(llvm.parse_assembly(str(module)))
            self._codegen.set_env(name, environment)


class PartCompiler(Compiler):
    """Numba's compiler, but what it compiles becomes a `PartLibrary`."""

    def define_pipelines(self) -> Any:
        """Numba's passes."""
        state = self.state
        state.library = PartLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        return super().define_pipelines()

    def _compile_core(self) -> Any:
        """As Numba's; and refuse a part that returns arrays without counting who refers to them."""
        result, state = super()._compile_core(), self.state
        model = state.targetctx.data_model_manager[result.signature.return_type]
        if not state.flags.nrt and model.contains_nrt_meminfo():
            raise TypingError(f"{state.func_id.func_qualname} returns arrays: make it a part by @inner(arrays=True)")
        return result
