"""What a connection comes to, in the exceptions of an event loop's library."""

from __future__ import annotations

from types import TracebackType

from trustls.errors import TLSError


class Breaking:
    """A TLSError that leaves a block under this comes out as the library's exception, and is its cause.

    It keeps nothing between blocks, so that one serves all tasks.

    Args:
        exception: what the library raises for a broken stream.
        passed: these errors are the caller's own doing, and are not changed.
    """

    __slots__ = ("_exception", "_passed")

    def __init__(self, exception: type[Exception], *passed: type[TLSError]) -> None:
        self._exception = exception
        self._passed = passed

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, TLSError) and not isinstance(error, self._passed):
            raise self._exception(f"{type(error).__name__}: {error}") from error
