"""A blocking call in a thread that nobody waits for once its time is over, at the end of the program neither."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import nullcontext, suppress
from typing import TypeVar

Answer = TypeVar("Answer")


async def aside(call: Callable[[], Answer], timeout_s: float | None, free: threading.Lock | None = None) -> Answer:
    """Run it, once what it uses is ``free``; raises TimeoutError, and leaves the thread behind then.

    What has not begun by then is not begun any more.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Answer] = loop.create_future()

    def settle(answer: Answer | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(answer)  # type: ignore[arg-type]
        else:
            future.set_exception(error)

    def work() -> None:
        answer, error = None, None
        try:
            with free or nullcontext():
                if future.done():
                    return
                answer = call()
        except Exception as caught:
            error = caught
        with suppress(RuntimeError):  # the loop is closed: nobody waits for this any more
            loop.call_soon_threadsafe(settle, answer, error)

    threading.Thread(target=work, name="aside", daemon=True).start()
    async with asyncio.timeout(timeout_s):  # wait_for loses cancellations on Python 3.11
        return await future
