"""
Machine-code routines: emitted with the vector assembler, compiled once, called from every kernel by name.

Numba compiles a function again inside each of its callers. A routine is compiled apart, kept on disk as an object file,
and known to the linker under its name: its callers, the user's own ``@njit`` functions among them, only hold a call.
A caller that comes from Numba's cache on disk names the routines that must be there before it runs (`_Needed`).
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core.compiler import CompileResult
from numba.core.compiler_lock import global_compiler_lock
from numba.core.errors import TypingError
from numba.extending import intrinsic

from . import assembler
from .cache import cache_folder, keep, place_of, read
from .threads import uninterrupted

ARRAYS = "afn"
_routines: dict[str, Routine] = {}
_loaded: dict[str, Any] = {}
_engine: Any = None


@dataclass(frozen=True)
class Routine:
    """How a routine is called and what emits its body."""

    name: str
    parameters: str  # one letter each, see `routine`
    result: str  # "" (nothing), "s" or "d"
    emit: Callable[..., Any]

    def function(self, module: ir.Module, symbol: str, scalar: Any) -> ir.Function:
        """Declare the routine in a module."""
        kinds = dict.fromkeys(ARRAYS, assembler.POINTER) | {
            "i": assembler.I64,
            "s": scalar,
            "d": ir.DoubleType(),
            "": ir.VoidType(),
        }
        kind = ir.FunctionType(kinds[self.result], [kinds[letter] for letter in self.parameters.lower()])
        return module.globals.get(symbol) or ir.Function(module, kind, symbol)


@dataclass(frozen=True)
class _Needed:
    """Run by Numba before it loads a cached function that calls the routine."""

    name: str
    itemsize: int

    def __call__(self) -> None:
        ready(self.name, self.itemsize)


_rebuild = CompileResult._rebuild.__func__


def _rebuilt(kind: Any, target: Any, *payload: Any) -> Any:
    """
    Load a function from Numba's cache, and tell its library which routines it needs.

    Numba runs what must be done before it loads such a function, and then forgets it: a caller compiled now, which holds a copy of
    the function's code, would be kept on disk without knowing what it needs, and would jump into nothing in the next process.
    """
    result = _rebuild(kind, target, *payload)
    result.library._reload_init.update(needed for needed in result.reload_init or () if isinstance(needed, _Needed))
    return result


CompileResult._rebuild = classmethod(_rebuilt)


def _symbol(name: str, itemsize: int) -> str:
    return f"fastbp.{name}.{8 * itemsize}.{assembler.VECTOR_BYTES}"


def ready(name: str, itemsize: int) -> None:
    """Make sure that the routine is compiled, or loaded from the cache, and known to the linker."""
    global _engine
    symbol = _symbol(name, itemsize)
    if symbol in _loaded:
        return
    with uninterrupted(), global_compiler_lock:
        if symbol in _loaded:  # by another thread meanwhile
            return
        if _engine is None:
            machine = llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(
                cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3, jit=True
            )
            _engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine), machine
        engine, machine = _engine
        file = _object_file(symbol)
        code = read(file)
        if code is None:
            code = _compile(_routines[name], symbol, itemsize, machine)
            keep(file, code)
        engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        engine.finalize_object()
        llvm.add_symbol(symbol, engine.get_function_address(symbol))
        _loaded[symbol] = code


def _object_file(symbol: str) -> Path:
    """Where the machine code of a routine lies; another processor has files of its own."""
    processor = f"{llvm.get_process_triple()} {llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()} {llvm.llvm_version_info}"
    return cache_folder() / f"{symbol}-{hashlib.sha256(processor.encode()).hexdigest()[:12]}.o"


def _compile(routine: Routine, symbol: str, itemsize: int, machine: Any) -> bytes:
    module = ir.Module(symbol)
    module.triple = llvm.get_process_triple()
    scalar = ir.FloatType() if itemsize == 4 else ir.DoubleType()
    function = routine.function(module, symbol, scalar)
    builder = ir.IRBuilder(function.append_basic_block())
    result = routine.emit(assembler.Assembler(builder, itemsize), *function.args)
    builder.ret(result) if routine.result else builder.ret_void()
    parsed = llvm.parse_assembly(str(module))
    parsed.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = False
    passes = llvm.create_pass_builder(machine, options)
    passes.getModulePassManager().run(parsed, passes)
    return machine.emit_object(parsed)


def routine(parameters: str, result: str = "") -> Callable[[Callable[..., Any]], Any]:
    """
    Make a function that emits code into a function that kernels call.

    Parameters
    ----------
    parameters : str
        One letter per argument of the routine. Arrays take two arguments of the caller, the array and the offset of the first
        element, and reach the emitter as one address: ``a`` of the routine's dtype, ``f`` float64, ``n`` int64; capitals stand for
        arrays that are written. Numbers: ``i`` integer, ``s`` of the routine's dtype, ``d`` float64. A routine without ``a`` counts as
        one of float64.
    result : str
        The letter of what it returns; nothing if empty.
    """

    def decorate(emit: Callable[..., Any]) -> Any:
        made = Routine(f"{place_of(emit)}.{emit.__name__}", parameters, result, emit)
        _routines[made.name] = made
        letters = parameters.lower()
        count = sum(2 if letter in ARRAYS else 1 for letter in letters)
        first = sum(2 if letter in ARRAYS else 1 for letter in letters.partition("a")[0])

        def typed(context: Any, *arguments: Any) -> Any:
            dtype = getattr(arguments[first], "dtype", None) if "a" in letters else types.float64
            if dtype not in (types.float32, types.float64):
                raise TypingError(f"{emit.__name__}: arrays of float32 or float64 expected, got {arguments[first]}")
            numbers = {"i": types.intp, "s": dtype, "d": types.float64}
            elements = {"a": dtype, "f": types.float64, "n": types.int64}
            expected: list[Any] = []
            for letter in parameters:
                if letter in numbers:
                    expected.append(numbers[letter])
                    continue
                given, element = arguments[len(expected)], elements[letter.lower()]
                if not (isinstance(given, types.Array) and given.dtype == element and given.aligned):
                    raise TypingError(
                        f"{emit.__name__}: an aligned array of {element} expected beside one of {dtype}, got {given}"
                    )
                if letter.isupper() and not given.mutable:
                    raise TypingError(f"{emit.__name__}: this array is written, and must not be read-only: {given}")
                expected += [given, types.intp]
            return (numbers | {"": types.void})[result](*expected), _caller(made, dtype)

        # intrinsic wants a parameter for each argument
        names = [f"p{k}" for k in range(count)]
        typed.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [inspect.Parameter(n, inspect.Parameter.POSITIONAL_OR_KEYWORD) for n in ("context", *names)]
        )
        typed.__name__ = typed.__qualname__ = emit.__name__
        typed.__doc__, typed.__module__ = emit.__doc__, emit.__module__
        return intrinsic(typed)

    return decorate


def _caller(made: Routine, dtype: Any) -> Callable[..., Any]:
    """What Numba runs to emit a call of the routine."""
    itemsize = dtype.bitwidth // 8

    def call(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        ready(made.name, itemsize)
        context.active_code_library._reload_init.add(_Needed(made.name, itemsize))
        scalar = context.get_data_type(dtype)
        function = made.function(builder.module, _symbol(made.name, itemsize), scalar)
        arguments, k = [], 0
        for letter in made.parameters.lower():
            if letter in ARRAYS:
                array = context.make_array(signature.args[k])(context, builder, values[k])
                element = context.get_data_type(signature.args[k].dtype)
                arguments.append(builder.gep(array.data, [values[k + 1]], source_etype=element))
                k += 2
            else:
                arguments.append(values[k])
                k += 1
        result = builder.call(function, arguments)
        return result if made.result else context.get_dummy_value()

    return call
