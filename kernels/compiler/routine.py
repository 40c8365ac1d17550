"""
Machine-code routines: emitted with the vector assembler, compiled once, called from every kernel by name.

Numba compiles a function again inside each of its callers. A routine is compiled on its own, kept on disk as an object
file, and known to the linker by its name: its callers, including your own ``@njit`` functions, hold nothing but a call.
A caller that comes from Numba's cache on disk names the routines that must be there before it runs (`_Needed`).
"""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.compiler import CompileResult
from numba.core.compiler_lock import global_compiler_lock
from numba.core.errors import TypingError
from numba.extending import intrinsic

from .assembler import Assembler
from .cache import cache_folder, keep, place_of, read
from .processor import VECTOR_BYTES, target
from .threads import uninterrupted
from .values import DOUBLE, I64, POINTER, Float, Integer

ARRAYS = "afn"
_routines: dict[str, Routine] = {}
_loaded: dict[str, Any] = {}
_engine: Any = None


@dataclass(frozen=True)
class Routine:
    """How to call a routine, and the function that emits its body."""

    name: str
    parameters: str  # one letter each, see `routine`
    result: str  # "" (nothing), "i", "s" or "d"
    emit: Callable[..., Any]
    lanes: int | None = None
    vector_bytes: int = VECTOR_BYTES

    @property
    def letters(self) -> str:
        """The parameters without the brackets around groups."""
        return self.parameters.replace("(", "").replace(")", "")

    def function(self, module: ir.Module, symbol: str, scalar: Any) -> ir.Function:
        """Declare the routine in a module."""
        kinds = dict.fromkeys(ARRAYS, POINTER) | {"i": I64, "s": scalar, "d": DOUBLE, "": ir.VoidType()}
        kind = ir.FunctionType(kinds[self.result], [kinds[letter] for letter in self.letters.lower()])
        return module.globals.get(symbol) or ir.Function(module, kind, symbol)

    def body(self, builder: ir.IRBuilder, itemsize: int, arguments: Sequence[Any]) -> Any:
        """Emit the body: the arguments become values with operators, in tuples where the parameters are grouped."""
        v = Assembler(builder, itemsize, self.lanes or self.vector_bytes // itemsize)
        wrap = {
            "i": lambda x: Integer(builder, x),
            "s": lambda x: Float(builder, x),
            "d": lambda x: Float(builder, x),
            "a": v.address,
            "f": lambda x: v.address(x, DOUBLE),
            "n": lambda x: v.address(x, I64),
        }
        values = [wrap[letter](x) for letter, x in zip(self.letters.lower(), arguments, strict=True)]
        result = self.emit(v, *grouped(self.parameters, values))
        return result.x if self.result else None


def grouped(parameters: str, values: Sequence[Any]) -> list[Any]:
    """The values, one for each letter, in tuples where the letters are in brackets."""
    found: list[Any] = []
    group: list[Any] | None = None
    rest = iter(values)
    for letter in parameters:
        if letter == "(":
            group = []
        elif letter == ")":
            found.append(tuple(group or ()))
            group = None
        else:
            (found if group is None else group).append(next(rest))
    return found


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
    Load a function from Numba's cache, and list in its library the routines that it needs.

    Numba makes them ready before it loads such a function, and then forgets them: a caller compiled now, which holds a
    copy of the function's code, would be kept on disk without the list, and would jump nowhere in the next process.
    """
    result = _rebuild(kind, target, *payload)
    result.library._reload_init.update(needed for needed in result.reload_init or () if isinstance(needed, _Needed))
    return result


CompileResult._rebuild = classmethod(_rebuilt)


def _symbol(name: str, itemsize: int) -> str:
    return f"fastbp.{name}.{8 * itemsize}.{VECTOR_BYTES}"


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
            cpu, features = target()
            machine = llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(
                cpu=cpu, features=features, opt=3, jit=True
            )
            _engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine), machine
        engine, machine = _engine
        file = _object_file(symbol)
        code = read(file)
        if code is None:
            code = machine.emit_object(_optimised(_routines[name], symbol, itemsize, machine))
            keep(file, code)
        engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        engine.finalize_object()
        llvm.add_symbol(symbol, engine.get_function_address(symbol))
        _loaded[symbol] = code


def _object_file(symbol: str) -> Path:
    """The file with the machine code of a routine; each processor has its own."""
    host = llvm.get_process_triple(), *target()
    digest = hashlib.sha256(" ".join(map(str, (*host, llvm.llvm_version_info))).encode()).hexdigest()
    return cache_folder() / f"{symbol}-{digest[:12]}.o"


def _optimised(routine: Routine, symbol: str, itemsize: int, machine: Any) -> Any:
    """LLVM's module of a routine, ready to become machine code."""
    module = ir.Module(symbol)
    module.triple = llvm.get_process_triple()
    scalar = ir.FloatType() if itemsize == 4 else ir.DoubleType()
    function = routine.function(module, symbol, scalar)
    builder = ir.IRBuilder(function.append_basic_block())
    result = routine.body(builder, itemsize, function.args)
    builder.ret(result) if routine.result else builder.ret_void()
    parsed = llvm.parse_assembly(str(module))
    parsed.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = False
    passes = llvm.create_pass_builder(machine, options)
    passes.getModulePassManager().run(parsed, passes)
    return parsed


def routine(
    parameters: str, result: str = "", *, lanes: int | None = None, vector_bytes: int = VECTOR_BYTES
) -> Callable[[Callable[..., Any]], Any]:
    """
    Turn a function that emits code into one that kernels call.

    Parameters
    ----------
    parameters : str
        One letter per argument. For an array the caller gives two, the array and the offset of the first element, and
        the emitter gets one `Address`: ``a`` of the routine's dtype, ``f`` float64, ``n`` int64; a capital means that
        the array is written. Numbers: ``i`` integer, ``s`` of the routine's dtype, ``d`` float64. A routine without
        ``a`` counts as one of float64. Letters in brackets are one argument, a tuple: call ``(aii)`` with (array,
        offset, number, number).
    result : str
        The letter of the number that it returns; nothing if empty.
    lanes, vector_bytes : int, optional
        Length of a vector in numbers or in bytes, if it is not that of a register.
    """

    def decorate(emit: Callable[..., Any]) -> Any:
        name = f"{place_of(emit)}.{emit.__name__}"
        made = _routines[name] = Routine(name, parameters, result, emit, lanes, vector_bytes)

        def typed(context: Any, *arguments: Any) -> Any:
            given = [x for a in arguments for x in (a.types if isinstance(a, types.BaseTuple) else [a])]
            expected, dtype = _expected(made, given)
            places = [letter for letter in parameters for _ in range(2 if letter.lower() in ARRAYS else 1)]
            groups = grouped("".join(places), expected)
            if [_length(x) for x in groups] != [_length(x) for x in arguments]:
                raise TypingError(f"{emit.__name__}: arguments grouped as {parameters} expected, got {arguments}")
            wanted = [
                _group(emit.__name__, x, a) if isinstance(x, tuple) else x
                for x, a in zip(groups, arguments, strict=True)
            ]
            numbers = {"": types.void, "i": types.intp, "s": dtype, "d": types.float64}
            return numbers[result](*wanted), _caller(made, dtype)

        # intrinsic wants a parameter for each argument
        count = len(grouped(parameters, made.letters)) + sum(
            letter.lower() in ARRAYS for letter in _outside(parameters)
        )
        names = ["context", *(f"p{k}" for k in range(count))]
        typed.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [inspect.Parameter(n, inspect.Parameter.POSITIONAL_OR_KEYWORD) for n in names]
        )
        typed.__name__ = typed.__qualname__ = emit.__name__
        typed.__doc__, typed.__module__ = emit.__doc__, emit.__module__
        return intrinsic(typed)

    return decorate


def _length(group: Any) -> int | None:
    """How many arguments a group has; None if it is none."""
    return len(group) if isinstance(group, tuple | types.BaseTuple) else None


def _group(name: str, wanted: tuple[Any, ...], given: Any) -> Any:
    """The tuple type that a group is taken as; Numba converts the numbers of a tuple, but not those of a named one."""
    if not isinstance(given, types.BaseNamedTuple):
        return types.BaseTuple.from_types(wanted)
    if tuple(given.types) != wanted:
        raise TypingError(f"{name}: a named tuple of {wanted} expected, got {given}")
    return given


def _outside(parameters: str) -> str:
    """The letters that are in no brackets."""
    return re.sub(r"\(\w*\)", "", parameters)


def _expected(made: Routine, given: Sequence[Any]) -> tuple[list[Any], Any]:
    """The types that a routine takes these arguments as, and its dtype; TypingError if they do not fit."""
    name, letters = made.emit.__name__, made.letters
    wanted = sum(2 if letter.lower() in ARRAYS else 1 for letter in letters)
    if len(given) != wanted:
        raise TypingError(f"{name}: {wanted} arguments expected, got {len(given)}")
    first = sum(2 if letter in ARRAYS else 1 for letter in letters.lower().partition("a")[0])
    dtype = getattr(given[first], "dtype", None) if "a" in letters.lower() else types.float64
    if dtype not in (types.float32, types.float64):
        raise TypingError(f"{name}: arrays of float32 or float64 expected, got {given[first]}")
    numbers = {"i": types.intp, "s": dtype, "d": types.float64}
    elements = {"a": dtype, "f": types.float64, "n": types.int64}
    expected: list[Any] = []
    for letter in letters:
        if letter in numbers:
            _check_number(name, given[len(expected)])
            expected.append(numbers[letter])
            continue
        array, element = given[len(expected)], elements[letter.lower()]
        if not (isinstance(array, types.Array) and array.dtype == element and array.aligned):
            raise TypingError(f"{name}: an aligned array of {element} expected next to one of {dtype}, got {array}")
        if letter.isupper() and not array.mutable:
            raise TypingError(f"{name}: this array is written, and must not be read-only: {array}")
        _check_number(name, given[len(expected) + 1])
        expected += [array, types.intp]
    return expected, dtype


def _check_number(name: str, kind: Any) -> None:
    if not isinstance(types.unliteral(kind), types.Number | types.Boolean):
        raise TypingError(f"{name}: a number expected, got {kind}")


def _caller(made: Routine, dtype: Any) -> Callable[..., Any]:
    """What Numba runs to emit a call of the routine."""
    itemsize = dtype.bitwidth // 8

    def call(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        ready(made.name, itemsize)
        context.active_code_library._reload_init.add(_Needed(made.name, itemsize))
        function = made.function(builder.module, _symbol(made.name, itemsize), context.get_data_type(dtype))
        given: list[tuple[Any, Any]] = []
        for kind, value in zip(signature.args, values, strict=True):
            whole = isinstance(kind, types.BaseTuple)
            given += zip(kind.types, cgutils.unpack_tuple(builder, value), strict=True) if whole else [(kind, value)]
        rest, arguments = iter(given), []
        for letter in made.letters.lower():
            kind, value = next(rest)
            if letter in ARRAYS:
                array, (_, offset) = context.make_array(kind)(context, builder, value), next(rest)
                value = builder.gep(array.data, [offset], source_etype=context.get_data_type(kind.dtype))
            arguments.append(value)
        result = builder.call(function, arguments)
        return result if made.result else context.get_dummy_value()

    return call
