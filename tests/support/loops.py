"""Running a test's coroutine in an event loop of its own, and looking at what it leaves behind."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

SECONDS = 20.0
"""How long the coroutine of a test may take."""

T = TypeVar("T")


def run_in_loop(main: Callable[[], Awaitable[T]], *, expected_errors: tuple[str, ...] = ()) -> T:
    """The result of `main()`. It must not leave a task behind, nor an exception that nobody took.

    A transport that was left open is a ResourceWarning, which pytest makes an error.

    Args:
        main: the test.
        expected_errors: parts of messages that the loop's exception handler may be given.
    """
    unhandled: list[dict[str, Any]] = []

    async def watched() -> T:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: unhandled.append(context))
        async with asyncio.timeout(SECONDS):
            result = await main()
        await _see_off_tasks()
        return result

    result = asyncio.run(watched())
    gc.collect()  # Exceptions of futures that nobody looked at, and transports that nobody closed, show now.
    unexpected = [
        context for context in unhandled if not any(part in repr(context).lower() for part in expected_errors)
    ]
    assert not unexpected, f"nobody took these exceptions: {unexpected}"
    return result


async def _see_off_tasks() -> None:
    """Connections may need a moment to end; a task that is still there then is one too many."""
    current = asyncio.current_task()
    others = asyncio.all_tasks() - {current}
    if others:
        _done, left = await asyncio.wait(others, timeout=3)
        assert not left, f"these tasks were left behind: {left}"
