"""Dataclasses that cost little to import: their methods are written when they are first asked for.

`dataclasses.dataclass` writes up to eight methods of each class as text and compiles them, used or not: for seventy
classes that took two fifths of `import trustls`. `dataclass` here takes the same parameters and makes the same class,
slots, fields and all, but puts a `_Method` in the place of each method, which makes the real one at its first use and
then is gone: a method in use is a plain function, and as fast as the standard library's. `dataclasses.fields`,
`replace` and the others know these classes for what they are.
"""

from __future__ import annotations

import dataclasses
import operator
import reprlib
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

__all__ = ["dataclass"]

T = TypeVar("T")
_Maker = Callable[[type[Any]], Callable[..., Any]]

# What a class has that is not slotted.
_UNSLOTTED: Final = frozenset({"__dict__", "__weakref__"})
_ORDERS: Final = {f"__{name}__": getattr(operator, name) for name in ("lt", "le", "gt", "ge")}


class _FromFactory:
    """The default, as a signature shows it, of a parameter whose field has a factory."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<factory>"


_FROM_FACTORY: Final = _FromFactory()


def _dataclass(
    *,
    slots: Literal[True],  # noqa: ARG001 (always so)
    init: bool = True,
    repr: bool = True,  # noqa: A002 (the names are those of the standard library)
    eq: bool = True,
    order: bool = False,
    frozen: bool = False,
    kw_only: bool = False,
) -> Callable[[type[T]], type[T]]:
    """As `dataclasses.dataclass`, without what nothing here uses: InitVar, weakref_slot, unsafe_hash, match_args.

    The module of the class has to say `from __future__ import annotations`.
    """

    def made(plain: type[T]) -> type[T]:
        own = _own_fields(plain, kw_only=kw_only)
        fields = {name: field for base in reversed(plain.__mro__) for name, field in _of_base(base).items()} | own
        given = [field for field in fields.values() if field.init]
        namespace = {name: value for name, value in vars(plain).items() if name not in own and name not in _UNSLOTTED}
        for name, make in _methods(init=init, repr=repr, eq=eq, order=order, frozen=frozen).items():
            # Python itself puts None for the hash of a class that defines __eq__ alone.
            if namespace.get(name) is None:
                namespace[name] = _Method(make)
        if frozen:
            namespace |= {"__setattr__": _Method(_refuses_to_set), "__delattr__": _Method(_refuses_to_delete)}
        if eq and not frozen:
            namespace.setdefault("__hash__", None)  # What may change has no hash.
        if frozen and "__getstate__" not in namespace:
            # Without these, what unpickles or copies would set the slots one by one, and be refused.
            namespace |= {"__getstate__": _state, "__setstate__": _set_state}
        if sys.version_info >= (3, 13):
            namespace.setdefault("__replace__", dataclasses.replace)
        inherited = {name for base in plain.__mro__[1:] for name in vars(base).get("__slots__", ())}
        namespace["__slots__"] = tuple([name for name in own if name not in inherited])
        namespace["__match_args__"] = tuple([field.name for field in given if not field.kw_only])
        namespace["__dataclass_fields__"] = fields
        # Of these, classes that inherit from it are asked whether they agree about `frozen`.
        namespace["__dataclass_params__"] = SimpleNamespace(
            init=init, repr=repr, eq=eq, order=order, frozen=frozen, kw_only=kw_only, slots=True, match_args=True
        )
        namespace["__qualname__"] = plain.__qualname__
        kind: Any = type(plain)
        cls: type[T] = kind(plain.__name__, plain.__bases__, namespace)
        return cls

    return made


def _own_fields(plain: type[Any], *, kw_only: bool) -> dict[str, dataclasses.Field[Any]]:
    """The fields that the class itself declares."""
    fields = {}
    for name, annotation in plain.__annotations__.items():
        default = vars(plain).get(name, dataclasses.MISSING)
        if annotation.startswith("ClassVar"):
            continue
        field: Any = default if isinstance(default, dataclasses.Field) else dataclasses.field(default=default)
        field.name = name
        field.type = annotation
        field._field_type = dataclasses._FIELD  # type: ignore[attr-defined] # what `dataclasses.fields` goes by
        if field.kw_only is dataclasses.MISSING:
            field.kw_only = kw_only
        fields[name] = field
    return fields


def _of_base(base: type[Any]) -> dict[str, dataclasses.Field[Any]]:
    fields: dict[str, dataclasses.Field[Any]] = vars(base).get("__dataclass_fields__", {})
    return fields


def _methods(*, init: bool, repr: bool, eq: bool, order: bool, frozen: bool) -> dict[str, _Maker]:  # noqa: A002
    """What makes each method that the class is to have, unless it defines that itself."""
    methods: dict[str, _Maker] = {}
    if init:
        methods["__init__"] = _frozen_init if frozen else _init
    if repr:
        methods["__repr__"] = _repr
    if eq:
        methods["__eq__"] = _eq
    if eq and frozen:
        methods["__hash__"] = _hash
    if order:
        methods |= {name: _ordered(name) for name in _ORDERS}
    return methods


class _Method:
    """Stands in a class for a method that is made when it is first asked for, by a call or by name."""

    __slots__ = ("cls", "make", "name")

    cls: type[Any]
    name: str

    def __init__(self, make: _Maker) -> None:
        self.make = make

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self.cls = owner
        self.name = name

    def __get__(self, instance: object, owner: type[Any] | None = None) -> Any:
        method = self.make(self.cls)
        method.__name__ = self.name
        method.__qualname__ = f"{self.cls.__qualname__}.{self.name}"
        method.__module__ = self.cls.__module__
        setattr(self.cls, self.name, method)  # Two threads may do it at a time: then one replaces the other's.
        return method if instance is None else method.__get__(instance)


if TYPE_CHECKING:
    # To a type checker it is the standard library's: they know that one, with its slots, `replace` and all.
    from dataclasses import dataclass
else:
    dataclass = _dataclass


# -- The methods ------------------------------------------------------------------------------------------------------


def _init(cls: type[Any]) -> Callable[..., None]:
    return _compiled_init(cls, "self.{0} = {1}")


def _frozen_init(cls: type[Any]) -> Callable[..., None]:
    return _compiled_init(cls, "_set(self, {0!r}, {1})")


def _compiled_init(cls: type[Any], assignment: str) -> Callable[..., None]:
    """The one method that is compiled: its parameters are the fields, which is what makes it fast."""
    fields = dataclasses.fields(cls)
    given = [field for field in fields if field.init]
    ordered = [field for field in given if not field.kw_only]
    by_name = [field for field in given if field.kw_only]
    names: dict[str, Any] = {"_set": object.__setattr__, "_from_factory": _FROM_FACTORY}
    body = [assignment.format(field.name, _value(field, names)) for field in fields if field.init or _default(field)]
    if hasattr(cls, "__post_init__"):
        body.append("self.__post_init__()")
    star = ["*"] if by_name else []
    parameters = ["self", *[field.name for field in ordered], *star, *[field.name for field in by_name]]
    lines = "\n  ".join(body or ["pass"])
    text = f"def closure({', '.join(names)}):\n def __init__({', '.join(parameters)}):\n  {lines}\n return __init__"
    made: dict[str, Any] = {}
    exec(text, vars(sys.modules[cls.__module__]), made)  # noqa: S102 (the names of fields, which are in the source)
    method = made["closure"](**names)
    method.__defaults__ = tuple(default for field in ordered for default in _default(field)) or None
    method.__kwdefaults__ = {field.name: default for field in by_name for default in _default(field)} or None
    method.__annotations__ = {**{field.name: field.type for field in given}, "return": None}
    return method  # type: ignore[no-any-return]


def _default(field: dataclasses.Field[Any]) -> list[Any]:
    """The default of the parameter, in a list, which is empty where there is none."""
    if field.default_factory is not dataclasses.MISSING:
        return [_FROM_FACTORY]
    return [field.default] if field.default is not dataclasses.MISSING else []


def _value(field: dataclasses.Field[Any], names: dict[str, Any]) -> str:
    """What __init__ assigns to a field; what that needs beyond the parameters is added to `names`."""
    if field.default_factory is not dataclasses.MISSING:
        factory = f"_make_{field.name}"
        names[factory] = field.default_factory
        return f"{factory}() if {field.name} is _from_factory else {field.name}" if field.init else f"{factory}()"
    if not field.init:
        names[f"_default_{field.name}"] = field.default
        return f"_default_{field.name}"
    return field.name


def _values(cls: type[Any], *, hashed: bool = False) -> Callable[[Any], tuple[Any, ...]]:
    """What gives the fields that are compared, or hashed, of an object as a tuple."""
    fields = dataclasses.fields(cls)
    names = [field.name for field in fields if (field.compare if not hashed or field.hash is None else field.hash)]
    if len(names) > 1:
        return operator.attrgetter(*names)
    return lambda one: tuple([getattr(one, name) for name in names])


def _eq(cls: type[Any]) -> Callable[[Any, object], bool]:
    values = _values(cls)

    def __eq__(self: Any, other: object) -> bool:  # noqa: N807
        return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

    return __eq__


def _ordered(name: str) -> _Maker:
    compare = _ORDERS[name]

    def make(cls: type[Any]) -> Callable[[Any, object], bool]:
        values = _values(cls)

        def ordered(self: Any, other: object) -> bool:
            same = other.__class__ is self.__class__
            return compare(values(self), values(other)) if same else NotImplemented

        return ordered

    return make


def _hash(cls: type[Any]) -> Callable[[Any], int]:
    values = _values(cls, hashed=True)

    def __hash__(self: Any) -> int:  # noqa: N807
        return hash(values(self))

    return __hash__


def _repr(cls: type[Any]) -> Callable[[Any], str]:
    names = [field.name for field in dataclasses.fields(cls) if field.repr]

    @reprlib.recursive_repr()
    def __repr__(self: Any) -> str:  # noqa: N807
        return f"{type(self).__qualname__}({', '.join([f'{name}={getattr(self, name)!r}' for name in names])})"

    return __repr__


def _refuses_to_set(cls: type[Any]) -> Callable[[Any, str, object], None]:
    names = frozenset(field.name for field in dataclasses.fields(cls))

    def __setattr__(self: Any, name: str, value: object) -> None:  # noqa: N807
        if type(self) is cls or name in names:
            raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")
        super(cls, self).__setattr__(name, value)  # An attribute that a subclass adds.

    return __setattr__


def _refuses_to_delete(cls: type[Any]) -> Callable[[Any, str], None]:
    names = frozenset(field.name for field in dataclasses.fields(cls))

    def __delattr__(self: Any, name: str) -> None:  # noqa: N807
        if type(self) is cls or name in names:
            raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")
        super(cls, self).__delattr__(name)

    return __delattr__


def _state(self: Any) -> list[Any]:
    return [getattr(self, field.name) for field in dataclasses.fields(self)]


def _set_state(self: Any, state: list[Any]) -> None:
    for field, value in zip(dataclasses.fields(self), state, strict=True):
        object.__setattr__(self, field.name, value)
