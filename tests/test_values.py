"""The dataclasses of trustls are those of the standard library, but for the time that their import takes."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
import re
import threading
from collections.abc import Callable
from dataclasses import field
from pathlib import Path
from typing import Any, ClassVar

import pytest

import trustls
from trustls.values import dataclass

Decorator = Callable[..., Any]


def point(made_by: Decorator, **settings: Any) -> Any:
    """The same class, by one decorator and by the other."""

    @made_by(slots=True, **settings)
    class Point:
        """Fields of every kind."""

        KIND: ClassVar[str] = "point"

        x: int
        y: int = 7
        name: str = field(default="p", compare=False)
        secret: bytes = field(default=b"", repr=False)
        tags: list[str] = field(default_factory=list, hash=False)
        doubled: int = field(default=2, init=False)
        seen: list[int] = field(default_factory=list, init=False, compare=False, kw_only=True)
        last: int | None = field(default=None, kw_only=True)

    return Point


SETTINGS: list[dict[str, Any]] = [
    {},
    {"frozen": True},
    {"frozen": True, "order": True},
    {"kw_only": True},
    {"frozen": True, "kw_only": True},
    {"eq": False},
    {"frozen": True, "eq": False},
    {"repr": False},
]


def both(settings: dict[str, Any]) -> tuple[Any, Any]:
    return point(dataclass, **settings), point(dataclasses.dataclass, **settings)


def answer(ask: Callable[[Any], Any], kind: Any) -> Any:
    """What comes of it, a refusal included, in a form that compares."""
    try:
        return ask(kind)
    except (AttributeError, TypeError) as refusal:  # FrozenInstanceError is an AttributeError.
        return type(refusal), str(refusal)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_class_is_as_the_standard_librarys(settings: dict[str, Any]) -> None:
    ours, theirs = both(settings)
    assert str(inspect.signature(ours)) == str(inspect.signature(theirs)), "its parameters, types and defaults"
    assert [(each.name, each.default) for each in dataclasses.fields(ours)] == [
        (each.name, each.default) for each in dataclasses.fields(theirs)
    ]
    assert ours.__slots__ == theirs.__slots__
    assert ours.__match_args__ == theirs.__match_args__
    assert ours.__doc__ == theirs.__doc__
    assert ours.__init__.__qualname__ == theirs.__init__.__qualname__
    assert ours.__dataclass_params__.frozen is theirs.__dataclass_params__.frozen, "for classes that inherit"
    assert {name for name in vars(ours) if name.startswith("__")} == {n for n in vars(theirs) if n.startswith("__")}


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_objects_behave_as_the_standard_librarys(settings: dict[str, Any]) -> None:
    asked: list[Callable[[Any], Any]] = [
        lambda kind: [getattr(kind(x=1), name) for name in kind.__slots__],
        lambda kind: repr(kind(x=1, y=2, name="q", tags=["t"])).partition(" at 0x")[0],
        lambda kind: kind(x=1) == kind(x=1),
        lambda kind: kind(x=1) == kind(x=1, name="another"),
        lambda kind: kind(x=1) == kind(x=1, secret=b"another"),
        lambda kind: kind(x=1) == 1,
        lambda kind: kind(x=1) < kind(x=2, y=0),
        lambda kind: kind(x=1) >= kind(x=2),
        lambda kind: hash(kind(x=1, tags=["t"])) == hash(kind(x=1)),
        lambda kind: kind(1, 2, "q", b"s", ["t"], last=3).last,
        lambda kind: kind(1, 2, "q", b"s", ["t"], 3),
        lambda kind: kind(),
        lambda kind: kind(x=1, doubled=4),
        lambda kind: kind(x=1).tags is kind(x=1).tags,
        lambda kind: setattr(kind(x=1), "x", 2),
        lambda kind: delattr(kind(x=1), "x"),
        lambda kind: dataclasses.replace(kind(x=1, tags=["t"]), y=3).tags,
        lambda kind: dataclasses.asdict(kind(x=1)),
        lambda kind: copy.deepcopy(kind(x=1, tags=["t"])).tags,
    ]
    for ask in asked:
        ours, theirs = both(settings)
        assert answer(ask, ours) == answer(ask, theirs), inspect.getsource(ask)


def test_own_methods_stay() -> None:
    @dataclass(frozen=True, slots=True)
    class Own:
        """It defines what would be made."""

        x: int

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 1

        def __repr__(self) -> str:
            return "own"

    assert (Own(1), hash(Own(1)), repr(Own(1))) == (Own(2), 1, "own")


def test_post_init_sees_the_fields() -> None:
    @dataclass(frozen=True, slots=True)
    class Checked:
        """It looks at what it was given."""

        x: int

        def __post_init__(self) -> None:
            if self.x < 0:
                raise ValueError(self.x)

    assert Checked(1).x == 1
    with pytest.raises(ValueError, match="-1"):
        Checked(-1)


@dataclass(frozen=True, slots=True)
class Kept:
    """Can be pickled: it can be found by its name."""

    x: int
    tags: tuple[str, ...] = ()


@dataclass(slots=True, kw_only=True)
class Base:
    """To inherit from."""

    x: int = 1


@dataclass(slots=True, kw_only=True)
class Derived(Base):
    """Adds a field."""

    y: int


def test_library_has_no_other_dataclasses() -> None:
    """The command line may: it takes longer than that to start."""
    library = Path(trustls.__file__).parent
    modules = [path for path in library.rglob("*.py") if "cli" not in path.relative_to(library).parts]
    names = re.compile(r"^from dataclasses import .*\bdataclass\b|\bdataclasses\.dataclass\b\(", re.MULTILINE)
    found = [str(path) for path in modules if names.search(path.read_text()) and path.name != "values.py"]
    assert not found, "import the decorator from trustls.values, whose classes take a fifth of the time to import"


def test_values_can_be_pickled() -> None:
    assert pickle.loads(pickle.dumps(Kept(1, ("t",)))) == Kept(1, ("t",))


def test_fields_are_inherited() -> None:
    assert repr(Derived(y=2)) == "Derived(x=1, y=2)"
    assert Derived(y=2) == Derived(x=1, y=2)
    assert Derived(y=2) != Base(), "another class"


def test_plain_subclass_of_a_frozen_one_has_attributes_of_its_own() -> None:
    class Plain(Kept):
        other: int

    plain = Plain(1)
    plain.other = 2
    assert plain.other == 2
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'x'"):
        plain.x = 2  # type: ignore[misc]


def test_methods_in_use_are_plain_functions() -> None:
    fresh = point(dataclass, frozen=True)
    assert not inspect.isfunction(vars(fresh)["__init__"]), "it is not written before it is needed"
    hash(fresh(1)), repr(fresh(1)), fresh(1) == fresh(2)
    for name in ("__init__", "__hash__", "__repr__", "__eq__"):
        assert inspect.isfunction(vars(fresh)[name]), f"{name} has no detour left after its first use"


def test_threads_may_use_a_class_for_the_first_time_together() -> None:
    for _ in range(20):
        fresh = point(dataclass, frozen=True)
        start = threading.Barrier(4)
        made: list[Any] = []

        def make(fresh: Any = fresh, start: threading.Barrier = start, made: list[Any] = made) -> None:
            start.wait()
            made.append(fresh(1))

        threads = [threading.Thread(target=make) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert made == [fresh(1)] * 4
