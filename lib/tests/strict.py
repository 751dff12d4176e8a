"""A strict stand-in for CuPy, for machines without a GPU: NumPy inside, and an error for whatever CuPy refuses or should refuse.

`strict.asarray(x)` moves an array to the "device", `.get()` brings it back, and in between the module acts as the array library does:
arrays.namespace finds it by the type of the array. Beyond CuPy it refuses what CuPy takes in silence although it is a mistake: NumPy's
functions, arrays, masks and indices where device arrays belong, indices out of range, and any change of precision (float32 * np.float64).
Names, arguments and keywords are those of the CuPy that is installed; where none is (macOS), those of the list in cupy_names.txt.
"""
import importlib.util
import inspect
import operator
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np

_NAMES = Path(__file__).with_name("cupy_names.txt")
_SPACES = ("linalg", "lib", "lib.stride_tricks")
_MAKERS = {"arange", "linspace", "logspace", "zeros", "ones", "full", "empty", "eye", "identity", "tri", "indices", "result_type", "can_cast",
           "promote_types", "broadcast_shapes"}  # these take no arrays
_CASTS = {"astype", "view", "asarray", "array", "zeros_like", "ones_like", "full_like", "empty_like", "sum", "mean", "prod"}
_SCATTERED = (np.int32, np.uint32, np.uint64, np.float16, np.float32, np.float64)  # what CUDA can add up atomically

synchronized = Counter()
"""How often the host waited for a number of the device, by the method that asked."""


class Refused(TypeError):
    """CuPy refuses this, or takes it in silence and should not."""


# The names and arguments of CuPy.


@cache
def _signatures() -> dict[str, inspect.Signature | None]:
    """{name: its signature, None for what is not called}, of CuPy where it is installed: "stack", "linalg.svd", "add.at", "ndarray.sum"."""
    return installed() if importlib.util.find_spec("cupy") else frozen()


def installed() -> dict[str, inspect.Signature | None]:
    """The names that CuPy shares with NumPy, read from the CuPy that is installed here."""
    import cupy
    found = {}
    for space, theirs, ours in [("", cupy, np), ("ndarray.", cupy.ndarray, np.ndarray),
                                *((f"{s}.", operator.attrgetter(s)(cupy), operator.attrgetter(s)(np)) for s in _SPACES)]:
        names = [n for n in dir(theirs) if not n.startswith("_") and hasattr(ours, n) and n not in ("random", "testing", "test", "ndarray")]
        found |= {space + n: _read(getattr(theirs, n), bound=space == "ndarray.") for n in names}
    for name, ufunc in [(n, getattr(cupy, n)) for n in found if isinstance(getattr(cupy, n, None), cupy.ufunc)]:
        found |= {f"{name}.at": parse("(a, indices, b=None)")} if ufunc._scatter_op else {}
        found |= {f"{name}.reduce": parse("(array, axis=0, dtype=None, out=None, keepdims=False)")} if name in ("add", "multiply") else {}
    found["ndarray.get"] = parse("()")
    return found


def frozen() -> dict[str, inspect.Signature | None]:
    """The same from the list in cupy_names.txt."""
    lines = [line for line in _NAMES.read_text().splitlines() if not line.startswith("#")]
    return {line.partition("(")[0]: parse(line) if "(" in line else None for line in lines}


def freeze() -> str:
    """What to write into cupy_names.txt."""
    import cupy
    lines = [name + ("" if signature is None else plain(signature)) for name, signature in sorted(installed().items())]
    return "\n".join([f"# CuPy {cupy.__version__}: its names that NumPy has too, with their arguments; written by strict.freeze()", *lines, ""])


def _read(thing, bound: bool) -> inspect.Signature | None:
    """From the function itself, else from the first line of its docstring, as Cython and ufuncs have it."""
    if not callable(thing) or isinstance(thing, type):
        return None
    try:
        signature = inspect.signature(thing)
    except (TypeError, ValueError):
        signature = parse((thing.__doc__ or "").partition("\n")[0].replace("[", "").replace("]", ""))  # divmod(x1, x2[, out1, out2], /)
    names = list(signature.parameters.values())
    return signature.replace(parameters=names[bound and bool(names) and names[0].name == "self":], return_annotation=signature.empty)


def plain(signature: inspect.Signature) -> str:
    """A signature without types and default values: (a, axis=, *, dtype=)."""
    bare = [p.replace(annotation=p.empty, default=p.default if p.default is p.empty else _None) for p in signature.parameters.values()]
    return str(signature.replace(parameters=bare, return_annotation=signature.empty))


class _Nothing:
    __repr__ = lambda self: ""


_None = _Nothing()


def parse(text: str) -> inspect.Signature:
    """The signature in a line like "ndarray.sum(self, int axis=None, *, out=None) -> ndarray"; empty where there is none in it."""
    kinds, found = inspect.Parameter, []
    kind = kinds.POSITIONAL_OR_KEYWORD
    for part in _arguments(text):
        name = part.partition("=")[0].split(":")[0].strip().split(" ")[-1].lstrip("\\")
        if name == "/":
            found = [p.replace(kind=kinds.POSITIONAL_ONLY) for p in found]
        elif name == "*":
            kind = kinds.KEYWORD_ONLY
        elif name.startswith("**"):
            found.append(kinds(name[2:], kinds.VAR_KEYWORD))
        elif name.startswith("*"):
            found.append(kinds(name[1:], kinds.VAR_POSITIONAL))
            kind = kinds.KEYWORD_ONLY
        else:
            found.append(kinds(name, kind, default=_None if "=" in part else kinds.empty))
    return inspect.Signature(found)


def _arguments(text: str) -> list[str]:
    """What stands between the first bracket and its partner, cut at the commas that are in no inner bracket."""
    depth, parts = 0, [""]
    for letter in text[text.find("("):] if "(" in text else "":
        depth += (letter in "([{<") - (letter in ")]}>")
        if depth == 0:
            break
        if letter == "," and depth == 1:
            parts.append("")
        elif parts != [""] or depth > 1 or letter != "(":
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]


# Functions.


class _Space:
    """A module inside the module: linalg, lib, lib.stride_tricks."""

    def __init__(self, name: str):
        self._name = name

    def __getattr__(self, name: str):
        return _find(f"{self._name}.{name}")


class _Function:
    """A function of NumPy with CuPy's arguments, that takes and gives device arrays."""

    def __init__(self, name: str, signature: inspect.Signature):
        self._name, self._signature, self._host = name, signature, operator.attrgetter(name)(np)
        self.__name__ = name.rpartition(".")[2]

    def __call__(self, *args, **options):
        try:
            self._signature.bind(*args, **options)
        except TypeError as error:
            raise Refused(f"cupy.{self._name}{plain(self._signature)} {error}") from None
        if self.__name__ in ("asarray", "array"):
            return _moved(self._host, *args, **options)
        inside = [*_arrays(self._name, args), *_arrays(self._name, tuple(options.values()))]
        if not inside and self._name not in _MAKERS:
            raise Refused(f"cupy.{self._name} needs an array of the device; it got none")
        with np.errstate(all="ignore"):
            try:
                result = self._host(*_host(args), **_host(options))
            except np.linalg.LinAlgError as error:
                raise Refused(f"NumPy raises LinAlgError here ({error}); CuPy returns NaN or worse in silence") from error
        return _sealed(self._name, inside, result, "dtype" in options)

    def __getattr__(self, method: str):
        if method.startswith("__"):
            raise AttributeError(method)
        return _find(f"{self._name}.{method}")


def _moved(make, x, *args, **options):
    """The way from the host to the device: an array of its own, and of a dtype that CuPy has."""
    if isinstance(x, (list, tuple)) and any(isinstance(part, ndarray) for part in x):
        raise Refused("cupy.asarray of a list of device arrays copies each one by one; use cupy.stack")
    result = make(_host(x), *args, **options)
    return x if isinstance(x, ndarray) and result is x._host else ndarray(result.copy(order="K"))


def _find(path: str):
    """The function (or constant, type, inner module) of this name, if CuPy has it."""
    signatures = _signatures()
    if path not in signatures:
        raise AttributeError(f"module 'cupy' has no attribute {path!r}" + ("; draw on the host, with arrays.normal" if path == "random" else ""))
    if path in _SPACES:
        return _Space(path)
    return operator.attrgetter(path)(np) if signatures[path] is None else _at(path) if path.endswith(".at") else _Function(path, signatures[path])


def _at(path: str):
    """ufunc.at, in place."""
    scatter = operator.attrgetter(path)(np)

    def at(a, indices, b):
        if a.dtype.type not in _SCATTERED:
            raise Refused(f"cupy.{path} cannot scatter {a.dtype}")
        if not isinstance(a, ndarray):
            raise Refused(f"cupy.{path} needs an array of the device, got {type(a).__name__}")
        a._assign(b)
        scatter(a._host, _index(indices), _host(b))

    return at


def __getattr__(name: str):
    if name.startswith("_"):
        raise AttributeError(name)
    return _find(name)


# What crosses the border, and what does not.


def _arrays(name: str, x) -> list["ndarray"]:
    """The device arrays in the arguments of a call; raises Refused where something else wants to be one."""
    if isinstance(x, ndarray):
        return [x]
    if isinstance(x, (tuple, list)):
        inside = [_arrays(name, part) for part in x]
        mixed = [part for part, found in zip(x, inside, strict=True) if not found and isinstance(part, (bool, int, float, complex))]
        if isinstance(x, list) and (any(inside) and mixed or any(isinstance(part, float) for part in x)):
            raise Refused(f"cupy.{name} takes device arrays in a list, not numbers")
        return sum(inside, [])
    if isinstance(x, (np.ndarray, np.inexact, np.bool_)):
        raise Refused(f"cupy.{name} met {_told(x)}; move it with asarray, or use a number of Python")
    if x is None or isinstance(x, (bool, int, float, complex, str, slice, type, np.dtype, np.integer, type(Ellipsis))):
        return []
    raise Refused(f"cupy.{name} does not take a {type(x).__name__}")


def _told(x) -> str:
    return f"an array of NumPy {list(x.shape)}" if isinstance(x, np.ndarray) else f"a number of NumPy, {x.dtype}"


def _host(x):
    """The arguments as NumPy takes them."""
    if isinstance(x, dict):
        return {key: _host(value) for key, value in x.items()}
    return x._host if isinstance(x, ndarray) else type(x)(map(_host, x)) if type(x) in (tuple, list) else x


def _precision(dtype: np.dtype) -> int:
    """Bytes of a real number of this dtype; 0 for integers and booleans, which have none."""
    return {"f": 1, "c": 0.5}.get(dtype.kind, 0) * dtype.itemsize


def _sealed(name: str, inside: list["ndarray"], result, cast: bool = False):
    """The result on the device, a number as an array of no axes; raises Refused where a precision has changed on the way."""
    if isinstance(result, (tuple, list)):
        return tuple(_sealed(name, inside, part, cast) for part in result)
    if not isinstance(result, (np.ndarray, np.generic)):
        return result
    precisions = {_precision(x.dtype) for x in inside} - {0}
    if not cast and precisions and len({*precisions, _precision(result.dtype) or min(precisions)}) > 1:
        raise Refused(f"{name} of {', '.join(str(x.dtype) for x in inside)} gives {result.dtype}: the precision must not drift")
    return ndarray(result)


def _index(i):
    """An index as NumPy takes it: Python's numbers and slices, and arrays of the device."""
    if isinstance(i, tuple):
        return tuple(map(_index, i))
    if isinstance(i, ndarray):
        if i.dtype.kind not in "iub":
            raise IndexError(f"device arrays are indexed by integers or booleans, got {i.dtype}")
        return i._host
    if isinstance(i, (np.ndarray, np.bool_, list)):
        raise Refused(f"a device array was indexed by {_told(i) if not isinstance(i, list) else 'a list'}: move the index with asarray")
    return i


class ndarray:
    """An array of the device. Its numbers are reached by get, item, tolist, float, int and bool alone, which are counted."""

    __slots__ = ("_host",)
    __hash__ = None

    def __init__(self, host):
        if host.dtype.char not in "?bhilqBHILQefdFD":
            raise Refused(f"CuPy has no arrays of {host.dtype}")
        self._host = np.asarray(host)

    def __array__(self, *args, **options):
        raise Refused("an array of the device was taken for one of NumPy; .get() or to_numpy brings it to the host")

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        raise Refused(f"np.{ufunc.__name__} met an array of the device; use the function of namespace(x), and numbers of Python")

    def __array_function__(self, function, types, args, kwargs):
        raise Refused(f"np.{function.__name__} met an array of the device; use the function of namespace(x)")

    def __getattr__(self, name: str):
        path = f"ndarray.{name}"
        if path not in _signatures() or name in ("data", "ctypes", "base"):
            raise AttributeError(f"'cupy.ndarray' object has no attribute {name!r}")
        signature, value = _signatures()[path], getattr(self._host, name)
        return _sealed(name, [self], value) if signature is None else self._method(name, signature, value)

    def _method(self, name: str, signature: inspect.Signature, method):
        def call(*args, **options):
            try:
                signature.bind(*args, **options)
            except TypeError as error:
                raise Refused(f"cupy.ndarray.{name}{plain(signature)} {error}") from None
            inside = [self, *_arrays(name, args), *_arrays(name, tuple(options.values()))]
            with np.errstate(all="ignore"):
                result = method(*_host(args), **_host(options))
            return self if result is self._host else _sealed(name, inside, result, name in ("astype", "view") or "dtype" in options)

        return call

    def get(self) -> np.ndarray:
        """A copy on the host."""
        synchronized["get"] += 1
        return self._host.copy(order="K")

    def item(self):
        """The only number of the array, as a number of Python."""
        synchronized["item"] += 1
        return self._host.item()

    def tolist(self) -> list:
        """The numbers as nested lists."""
        synchronized["tolist"] += 1
        return self._host.tolist()

    def __getitem__(self, i):
        host = _index(i if isinstance(i, tuple) else (i,))
        if not any(part is Ellipsis for part in host):
            host = (*host, ...)  # a single number stays a view of no axes, as in CuPy
        return ndarray(self._host[host])

    def __setitem__(self, i, value):
        self._assign(value)
        host = _index(i if isinstance(i, tuple) else (i,))
        if any(isinstance(part, np.ndarray) and part.dtype.kind in "iu" for part in host):
            places = np.arange(self.size).reshape(self.shape)[host]
            if np.unique(places).size < places.size:
                raise Refused("an index of an assignment names a place twice: which value stays is left to chance on a GPU")
        self._host[host] = _host(value)

    def _assign(self, value) -> None:
        """Raises Refused unless the value may be written into this array."""
        inside = _operand("assignment", value)
        if {_precision(x.dtype) for x in inside} - {0, _precision(self.dtype)}:
            raise Refused(f"{inside[0].dtype} is written into {self.dtype}: the precision must not drift")

    def __iter__(self):
        if not self._host.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    def __len__(self):
        return len(self._host)

    def __repr__(self):
        return f"strict.{self._host!r}"

    def __str__(self):
        synchronized["str"] += 1
        return str(self._host)

    def __format__(self, form: str):
        synchronized["format"] += 1
        return format(self._host, form)

    def __reduce__(self):
        return sys.modules[__name__].asarray, (self._host.copy(),)

    def __copy__(self):
        return ndarray(self._host.copy())

    def __deepcopy__(self, memo):
        return ndarray(self._host.copy())


def _operand(name: str, x) -> list[ndarray]:
    """The arrays in the other operand of an operator."""
    if isinstance(x, (np.ndarray, np.generic)):
        raise Refused(f"{name} of a device array and {_told(x)}; move it with asarray, or use a number of Python")
    return [x] if isinstance(x, ndarray) else []


def _known(x) -> bool:
    """Whether an operator has to do with x; else it is x's turn."""
    return isinstance(x, (ndarray, bool, int, float, complex, np.ndarray, np.generic))


def _binary(name: str, f, turned: bool = False):
    """An operator between a device array and another, or a number of Python; `turned`: the other one stands on the left."""
    def apply(self, other):
        if not _known(other):
            return NotImplemented
        inside = [self, *_operand(name, other)]
        pair = (self._host, _host(other))
        with np.errstate(all="ignore"):
            return _sealed(name, inside, f(*pair[::-1] if turned else pair))

    return apply


def _in_place(f):
    """An operator that changes the array on its left."""
    def apply(self, other):
        if not _known(other):
            return NotImplemented
        self._assign(other)
        with np.errstate(all="ignore"):
            f(self._host, _host(other))
        return self

    return apply


def _unary(name: str, f):
    return lambda self: _sealed(name, [self], f(self._host))


def _reading(kind: type):
    """A number of the device as a number of Python."""
    def read(self):
        synchronized[kind.__name__] += 1
        return kind(self._host)

    return read


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor", "lshift", "rshift"):
    _f = getattr(operator, f"__{_name}__")
    setattr(ndarray, f"__{_name}__", _binary(_name, _f))
    setattr(ndarray, f"__r{_name}__", _binary(_name, _f, turned=True))
    setattr(ndarray, f"__i{_name}__", _in_place(getattr(operator, f"__i{_name}__")))
for _name in ("lt", "le", "gt", "ge", "eq", "ne"):
    setattr(ndarray, f"__{_name}__", _binary(_name, getattr(operator, _name)))
for _name in ("neg", "pos", "abs", "invert"):
    setattr(ndarray, f"__{_name}__", _unary(_name, getattr(operator, _name)))
for _kind in (bool, int, float, complex):
    setattr(ndarray, f"__{_kind.__name__}__", _reading(_kind))
ndarray.__hash__ = None
