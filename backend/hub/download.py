# SPDX-License-Identifier: GPL-3.0-or-later
"""One file from a hub into a folder: goes on where it stopped, tries again, checks what came."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from backend.diffusion.catalogue import HubFile
from backend.errors import UserError
from backend.hub.background import call_in_background, in_background
from backend.hub.checksum import is_intact
from backend.hub.faults import (
    BrokeOff,
    disk_error,
    explain,
    offline_sentence,
    passes,
    pause_wanted,
    status_of,
)
from backend.hub.local import Downloaded, find_complete, find_in_hub_cache, write_record
from backend.hub.patience import Patience, sleep
from backend.hub.progress import Meter, Report, format_bytes
from backend.hub.remote import Announced, Hub, prepare_library

# Left free on the disk, whatever is computed.
_SPARE = 200_000_000

log = logging.getLogger(__name__)


def download(
    file: HubFile,
    folder: Path,
    report: Report,
    cancelled: Callable[[], bool],
    patience: Patience | None = None,
    room_after: float = 0.0,
) -> Downloaded:
    """The file in `folder`. What is there from an earlier call is used: all of it, or the bytes so far.

    A complete file in the cache of huggingface_hub is used where it lies: see `Downloaded.path`.
    room_after: how much must be free afterwards, in sizes of the file. Only one process may work in `folder`.
    Raises UserError for everything that network, hub and disk can do, Cancelled within a moment of
    `cancelled()`; the bytes so far stay in both cases.
    """
    prepare_library()
    there = find_complete(file, folder) or find_in_hub_cache(file, report, cancelled)
    if there is not None:
        return there
    return _Download(file, folder, report, cancelled, patience or Patience.from_environment()).run(room_after)


class _Download:
    def __init__(
        self, file: HubFile, folder: Path, report: Report, cancelled: Callable[[], bool], patience: Patience
    ) -> None:
        from huggingface_hub import constants

        if constants.HF_HUB_OFFLINE:
            raise UserError(offline_sentence(file))
        self.file, self.folder = file, folder
        self.report, self.cancelled, self.patience = report, cancelled, patience
        self.hub = Hub(patience)

    def run(self, room_after: float) -> Downloaded:
        self.report(f"Asking {self.hub.host} for {self.file.name}", 0, 0)
        announced = self.ask()
        partial = self.prepare(announced)
        self.check_room(announced.size, _size(partial), room_after)
        joined = _size(partial) > 0
        while True:
            joined = self.fetch(announced, partial) or joined
            if is_intact(partial, announced.checksum, self.report, self.cancelled):
                return self.keep(announced, partial)
            partial.unlink()
            if not joined:
                raise UserError(
                    f"{self.file.name} came whole from {self.hub.host}, but its checksum is not the announced"
                    f" {announced.checksum[:16]}...: it was thrown away. Try again later"
                    + (" or without the mirror in HF_ENDPOINT." if self.hub.is_mirror else ".")
                )
            # It was put together from pieces, so the fault may lie with an old piece: once more in one go.
            log.warning("The pieces of %s do not fit together. The download starts again.", self.file.name)
            joined = False

    def ask(self) -> Announced:
        attempt = 0
        while True:
            try:
                return call_in_background(lambda: self.hub.announce(self.file), self.cancelled)
            except Exception as error:  # noqa: BLE001 - told or raised again there
                attempt += 1
                self.try_again(error, attempt, self.patience.answer_retries, 0, 0)

    def prepare(self, announced: Announced) -> Path:
        """The file that takes the bytes. Those of another version are thrown away: they can't go on."""
        partial = self.folder / f"{announced.checksum[:24]}.partial"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for old in self.folder.glob("*.partial"):
                if old != partial or old.stat().st_size > announced.size:
                    log.warning("%s does not belong to the file that the hub has now; removed.", old.name)
                    old.unlink()
            with open(partial, "ab"):
                return partial
        except OSError as error:
            raise disk_error(error, partial, announced.size) from error

    def check_room(self, size: int, have: int, room_after: float) -> None:
        needed = size - have + round(size * room_after) + _SPARE
        free = shutil.disk_usage(self.folder).free
        if free < needed:
            raise UserError(
                f"The disk of {self.folder} has {format_bytes(free)} free, and {format_bytes(needed)} are"
                f" needed: {format_bytes(size - have)} to download, the rest to convert. Free some space, or"
                " move the models folder to another disk (variable MVDREAM_MODELS)."
            )

    def fetch(self, announced: Announced, partial: Path) -> bool:
        """Fills `partial` to the end; True when that took more than one piece."""
        meter = Meter(f"Downloading {self.file.name}", announced.size, self.report)
        attempt, pieces = 0, 0
        while (have := _size(partial)) < announced.size:
            pieces += 1
            meter.start(have)
            try:
                self.receive(announced, partial, meter)
            except UserError:
                raise
            except Exception as error:  # noqa: BLE001 - told or raised again there
                if status_of(error) == 416:  # "there is no such position": what is here fits nothing
                    partial.write_bytes(b"")
                    error = BrokeOff()
                attempt = 1 if _size(partial) > have else attempt + 1
                self.try_again(error, attempt, self.patience.retries, _size(partial), announced.size)
        return pieces > 1

    def receive(self, announced: Announced, partial: Path, meter: Meter) -> None:
        """One connection: appends what comes. Raises BrokeOff when it ends too soon."""
        transfer = self.hub.open(announced.url, _size(partial))
        with open(partial, "ab") as file:
            for position, data in in_background(transfer.parts(), self.cancelled, transfer.interrupt):
                if position != file.tell():
                    # The hub begins where it likes, which is at the start.
                    file.truncate(0)
                    file.seek(0)
                    if position:
                        raise BrokeOff
                if position + len(data) > announced.size:
                    file.truncate(0)
                    raise UserError(
                        f"{self.hub.host} sends more of {self.file.name} than the {announced.size} bytes it"
                        " announces; nothing was kept. Try again later."
                    )
                try:
                    file.write(data)
                    file.flush()
                except OSError as error:
                    raise disk_error(error, partial, announced.size - position) from error
                meter(position + len(data))
        if _size(partial) < announced.size:
            raise BrokeOff

    def try_again(self, error: Exception, attempt: int, retries: int, have: int, total: int) -> None:
        """Says what happened and waits. Raises UserError after `retries`, or when waiting is no use."""
        sentence = explain(error, self.file, self.hub)
        if sentence is None:
            raise error
        if attempt > retries or not passes(error):
            kept = f" {format_bytes(have)} are here, and the next try goes on from there." if have else ""
            raise UserError(sentence + kept) from error
        wait = max(self.patience.wait_before(attempt), pause_wanted(error))
        log.debug("attempt %d: %r", attempt, error)
        trouble = f"{self.hub.host} {_short(error)}, attempt {attempt} of {retries}"
        self.report(f"{trouble}: again in {wait:.0f} s", have, total)
        sleep(wait, self.cancelled)

    def keep(self, announced: Announced, partial: Path) -> Downloaded:
        path = self.folder / self.file.name
        done = Downloaded(path, str(self.file), announced.commit, announced.checksum, announced.size)
        try:
            os.replace(partial, path)
            write_record(done)
        except OSError as error:
            raise disk_error(error, path, 0) from error
        return done


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _short(error: Exception) -> str:
    """A few words for the progress line."""
    import httpx2

    if (status := status_of(error)) is not None:
        return f"answers with status {status}"
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
        return "can't be reached"
    if isinstance(error, httpx2.TimeoutException):
        return "sends nothing"
    return "broke the connection off"
