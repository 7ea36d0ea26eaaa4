# SPDX-License-Identifier: GPL-3.0-or-later
"""Worker processes that end at once when their work is stopped."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from typing import Any

from backend.commands.interruption import give_back, take, told_to_end
from backend.threads import few_spins

Submit = Callable[..., "Future[Any]"]


@contextmanager
def workers(count: int, threads: int) -> Iterator[Submit]:
    """Processes for a block, and what gives them work; an exception that leaves the block terminates them.

    count: processes at most. threads: that each may compute with.
    """
    others = set(multiprocessing.active_children())
    # spawn: a forked process can't use CUDA
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count, context, initializer=_prepare, initargs=(threads, count))
    try:
        yield partial(_submit, pool)
        pool.shutdown()
    except BaseException:
        with _interrupted_later():  # a second Ctrl-C asks for what is being done
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
            # Half a result may be in the pipe. Whoever reads it would wait for the rest for ever, as long as
            # this process itself could still write.
            pool._result_queue._writer.close()  # type: ignore[attr-defined]
            pool.shutdown(cancel_futures=True)
        raise


def _submit(pool: ProcessPoolExecutor, work: Callable[..., Any], *arguments: Any) -> Future[Any]:
    """As the pool's own, and where a process has died the future says so, too."""
    try:
        with _interrupted_later():
            return pool.submit(work, *arguments)
    except BrokenProcessPool as error:
        failed: Future[Any] = Future()
        failed.set_exception(error)
        return failed


def _prepare(threads: int, processes: int) -> None:
    """The terminal's Ctrl-C reaches a worker, too, but it is the parent that ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)
    if processes > 1:
        few_spins()
    if "torch" in sys.modules:  # otherwise it reads the environment when it is imported
        sys.modules["torch"].set_num_threads(threads)


def _end_with_parent() -> None:
    """A parent that was killed asks nobody to end, and a worker would keep its memory."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _interrupted_later() -> Iterator[None]:
    """Signals wait for the end of the block. A process begun in it is deaf to Ctrl-C while it imports."""
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield
        return
    came: list[int] = []
    before = take((signal.SIGINT, *told_to_end()), lambda number, _: came.append(number))
    try:
        # Ctrl-C is masked, too, which a child inherits; alone that would not do: another thread may get it.
        with _masked():
            yield
    finally:
        give_back(before)
        if came:
            signal.raise_signal(came[0])


@contextmanager
def _masked() -> Iterator[None]:
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
