"""Malicious model files and checkpoints: bytes changed anywhere, and false contents with a valid checksum."""

import json
import struct

import numpy as np

from fastbp.model import storage

NUMBERS = [0, -1, 1, 2, 3, 7, 255, 2**31 - 1, 2**31, 2**53, 2**62, 2**63, 2**64, 10**30, -(2**63), 0.0]
NUMBERS += [-0.0, 0.5, 1e-320, 1e308, -1e308, float("nan"), float("inf"), -float("inf")]
WORDS = ["", "a", "softmax", "logistic", "regression", "multilabel", "own", "O", "<U1000000", "S9999999", "M8[ns]"]
WORDS += ["f8,f8", "V1000000", "given", "\0", "\ud800", "../../x", "%s" * 50, "x" * 3000, "PCG64", "MT19937", "nan"]
SMALL = [None, True, False, [], {}, [[]], [1, 2], {"a": 1}, [None] * 300, list(range(3000))]
KINDS = ["BOOL", "U8", "I8", "I16", "U16", "F16", "BF16", "I32", "U32", "F32"]
KINDS += ["F64", "I64", "U64", "F8_E4M3", "C64", "x"]


def mutated(base, rng):
    """The bytes of a file with some random change."""
    way = rng.integers(10)
    if way < 2:
        return changed_bytes(base, rng)
    if way < 4:
        return _container(base, rng)
    return _contents(base, rng)


def changed_bytes(base, rng):
    data = bytearray(base)
    for _ in range(rng.integers(1, 4)):
        place, way = int(rng.integers(len(data) + 1)), rng.integers(6)
        if way == 0 and data:
            data[min(place, len(data) - 1)] ^= 1 << int(rng.integers(8))
        elif way == 1:
            del data[place:]
        elif way == 2:
            data[place:place] = rng.bytes(int(rng.integers(1, 40)))
        elif way == 3:
            del data[place : place + int(rng.integers(1, 40))]
        elif way == 4:
            data[place : place + 8] = struct.pack("<Q", int(rng.integers(2**63)) >> int(rng.integers(63)))
        else:
            other = int(rng.integers(len(data) + 1))
            data[place:place] = data[other : other + int(rng.integers(1, 200))]
    return bytes(data)


def _container(base, rng):
    """Changes in the header of the safetensors file itself: names, types, shapes and places of the tensors."""
    (length,) = struct.unpack("<Q", base[:8])
    header = json.loads(base[8 : 8 + length])
    data = base[8 + length :]
    for _ in range(rng.integers(1, 3)):
        name = _one_of(header, rng)
        way = rng.integers(6)
        if name == "__metadata__" or way == 0:
            header = _lie(header, rng)
        elif way == 1:
            header[name]["dtype"] = str(rng.choice(KINDS))
        elif way == 2:
            header[name]["shape"] = [_number(rng) for _ in range(rng.integers(4))]
        elif way == 3:
            header[name]["data_offsets"] = [_number(rng), _number(rng)]
        elif way == 4:
            header[_one_of([*header, "x", "run.state.9", "history.x"], rng)] = header.pop(name)
        else:
            del header[name]
        if (
            not isinstance(header, dict)
            or not header
            or not all(isinstance(v, dict) and v.get("shape", 0) != "" for v in header.values())
        ):
            break
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def _contents(base, rng):
    """Changes in header and tensors, with a valid checksum: only a look at the contents shows what is wrong."""
    header, tensors = parts(base)
    for _ in range(rng.integers(1, 3)):
        if rng.random() < 0.6 and isinstance(header, dict):
            header = _lie(header, rng)
        elif tensors:
            name = _one_of(tensors, rng)
            way = rng.integers(6)
            if way == 0:
                del tensors[name]
            elif way == 1:
                array = tensors[name].astype(rng.choice(["f2", "f4", "f8", "i8", "u1", "?"]))
                tensors[name] = array
            elif way == 2:
                tensors[name] = np.resize(tensors[name], tuple(int(n) for n in rng.integers(0, 9, rng.integers(4))))
            elif way == 3:
                array = np.array(tensors[name], copy=True).ravel()
                if array.size and array.dtype.kind == "f":
                    with np.errstate(over="ignore"):
                        array[rng.integers(array.size)] = rng.choice([np.nan, np.inf, -np.inf, 0, -1, 1e300, 1e-320])
                tensors[name] = array.reshape(tensors[name].shape)
            elif way == 4:
                tensors[_one_of([*tensors, "history.x", "run.state.5", "x"], rng)] = tensors[name]
            else:
                tensors[name] = (
                    tensors[name][: int(rng.integers(len(tensors[name]) + 1))] if tensors[name].ndim else tensors[name]
                )
    text = json.dumps(header).encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    metadata = {"fastbp": text, "sha256": storage.checksum(text, tensors)}
    return storage.to_bytes({name: np.ascontiguousarray(array) for name, array in tensors.items()}, metadata=metadata)


def parts(base):
    """Header and tensors of a file's bytes."""
    (length,) = struct.unpack("<Q", base[:8])
    outer = json.loads(base[8 : 8 + length])
    metadata = outer.pop("__metadata__")
    kinds = {"F32": np.float32, "F64": np.float64}
    data = base[8 + length :]
    tensors = {
        name: np.frombuffer(data[slice(*about["data_offsets"])], kinds[about["dtype"]]).reshape(about["shape"])
        for name, about in outer.items()
    }
    return json.loads(metadata["fastbp"]), tensors


def _one_of(names, rng):
    return sorted(names)[rng.integers(len(names))]  # NumPy's own choice would cut zeros off the end of a name


def _number(rng):
    return NUMBERS[rng.integers(len(NUMBERS))]


def _value(rng):
    way = rng.integers(4)
    if way == 0:
        return _number(rng)
    if way == 1:
        return WORDS[rng.integers(len(WORDS))]
    if way == 2:
        return SMALL[rng.integers(len(SMALL))]
    deep = _number(rng)
    for _ in range(int(rng.choice([3, 100, 300]))):
        deep = [deep] if rng.random() < 0.7 else {"a": deep}
    return deep


def _lie(tree, rng):
    """A tree of JSON values with one change somewhere."""
    places = []

    def walk(node):
        for key in node if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], dict | list):
                walk(node[key])

    tree = json.loads(json.dumps(tree))
    walk(tree)
    if not places or rng.random() < 0.02:
        return _value(rng)
    node, key = places[rng.integers(len(places))]
    way, old = rng.integers(7), node[key]
    if way == 0:
        del node[key]
    elif way == 1 and isinstance(node, dict):
        node[WORDS[rng.integers(len(WORDS))]] = node.pop(key)
    elif way == 2 and isinstance(old, list):
        node[key] = old * int(rng.integers(2, 50)) if rng.random() < 0.5 else old[: rng.integers(len(old) + 1)]
    elif way == 3:
        other, k = places[rng.integers(len(places))]
        node[key] = (
            json.loads(json.dumps(other[k])) if k in other or (isinstance(other, list) and k < len(other)) else None
        )
    elif way == 4 and isinstance(old, int | float):
        node[key] = old + rng.choice([-1, 1, 10**6, 2**40]).item()
    else:
        node[key] = _value(rng)
    return tree
