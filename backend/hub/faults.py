# SPDX-License-Identifier: GPL-3.0-or-later
"""What went wrong between here and a hub, in sentences that name the way out."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

from backend.diffusion.catalogue import HubFile
from backend.errors import UserError
from backend.hub.progress import format_bytes
from backend.hub.remote import ENDPOINT_VARIABLE, Hub, NotAHub

# Waiting helps; anything else will be the same the next time.
_PASSING = {408, 429, 500, 502, 503, 504}
# A hub may ask for this long a pause, in seconds; with a longer one the person should decide.
LONGEST_PAUSE = 60.0


class BrokeOff(Exception):
    """The transfer ended early without the network's own complaint."""


def status_of(error: BaseException) -> int | None:
    """The HTTP status that an error is about, or None."""
    return getattr(getattr(error, "response", None), "status_code", None)


def passes(error: Exception) -> bool:
    """Whether trying again may help."""
    import httpx2

    if isinstance(error, BrokeOff):
        return True
    if status_of(error) is not None:
        return status_of(error) in _PASSING and pause_wanted(error) <= LONGEST_PAUSE
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error)):
        return False
    return isinstance(error, httpx2.TimeoutException | httpx2.NetworkError | httpx2.RemoteProtocolError)


def pause_wanted(error: Exception) -> float:
    """The seconds that the hub asks to wait (Retry-After), 0 when it asks for nothing."""
    text = getattr(getattr(error, "response", None), "headers", {}).get("Retry-After", "")
    return float(text) if text.isdecimal() else 0.0


def explain(error: Exception, file: HubFile, hub: Hub) -> str | None:
    """A sentence or two for the person who waits; None for an error that is none of the network's."""
    import httpx2
    from huggingface_hub.errors import OfflineModeIsEnabled

    status = status_of(error)
    if status is not None:
        return _explain_status(status, error, file, hub)
    if isinstance(error, OfflineModeIsEnabled):
        return offline_sentence(file)
    if isinstance(error, NotAHub):
        return (
            f"What answers at {hub.host} is not a Hugging Face hub: it announces no size and checksum of"
            f" {file.name}. {_mirror(hub) or 'Does the network want a login in the browser first?'}"
        )
    causes = list(_causes(error))
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return (
            f"The address of {hub.host} can't be found (DNS). Is this computer connected to the internet?"
            f"{_mirror(hub)}"
        )
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return (
            f"The connection to {hub.host} can't be trusted: its certificate is refused. A proxy or a virus"
            " scanner that reads along? Set SSL_CERT_FILE to its certificate, and check this computer's date."
        )
    if isinstance(error, httpx2.ProxyError):
        return f"The proxy in front of {hub.host} refuses: {error}. Check HTTPS_PROXY and HTTP_PROXY."
    if isinstance(error, httpx2.ConnectTimeout | httpx2.ConnectError | httpx2.PoolTimeout):
        return (
            f"{hub.host} can't be reached ({_reason(error)}). Check the network, firewall and proxy"
            f" (HTTPS_PROXY).{_mirror(hub)}"
        )
    if isinstance(error, httpx2.TimeoutException):
        return f"{hub.host} stopped sending, and the waiting time is over. Try again, or at another hour."
    if isinstance(error, httpx2.NetworkError | httpx2.RemoteProtocolError | BrokeOff):
        return f"The connection to {hub.host} broke off again and again."
    if isinstance(error, httpx2.HTTPError | httpx2.InvalidURL):
        return f"The download from {hub.host} failed: {type(error).__name__}.{_mirror(hub)}"
    return None


def offline_sentence(file: HubFile) -> str:
    """What to say when a download is wanted and offline mode forbids it."""
    # The library asks the second one only where the first says nothing.
    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    name = next((name for name in names if os.environ.get(name)), names[0])
    return (
        f"{file} is not on this computer and {name} forbids the download. Unset it; or get the file"
        " on another computer, and convert it here."
    )


def disk_error(error: OSError, path: Path, missing: int) -> UserError:
    """The UserError for a failed write of `path`, of which `missing` bytes were still to come."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError(
            f"The disk of {path.parent} is full; {format_bytes(missing)} are missing. What is there stays:"
            " free some space and start the download again, or move the models folder to another disk"
            " (variable MVDREAM_MODELS)."
        )
    if error.errno == errno.EFBIG:
        return UserError(
            f"The disk of {path.parent} can't hold a file this large (FAT32 ends at 4 GB). Move the"
            " models folder to another disk (variable MVDREAM_MODELS)."
        )
    return UserError(
        f"{path} can't be written ({error.strerror or error}). Change its permissions, or have the models in"
        " another folder (variable MVDREAM_MODELS)."
    )


def _explain_status(status: int, error: Exception, file: HubFile, hub: Hub) -> str:
    if status == 401:
        if hub.has_token:
            return (
                f"{hub.host} refuses the stored token for {file.repository} (401). It may have expired: store"
                " a new one, as Hugging Face's own programs do, or in the variable HF_TOKEN."
            )
        return (
            f"{hub.host} wants a login for {file.repository} (401), or there is no such repository. Store a"
            " token, as Hugging Face's own programs do, or in the variable HF_TOKEN."
        )
    if status == 403:
        way = "with the account of the token" if hub.has_token else "and store a token (variable HF_TOKEN)"
        return (
            f"{hub.host} does not give {file.name} to you (403). Its terms may have to be accepted at"
            f" {hub.host}/{file.repository}: do that in a browser {way}."
        )
    if status == 404:
        return f"{hub.host} has no file {file.name} in {file.repository} (404).{_mirror(hub)}"
    if status == 429:
        pause = pause_wanted(error)
        when = f"in {round(pause)} s" if pause else "in a few minutes"
        return f"{hub.host} has had too many requests from here (429). Try again {when}."
    if status >= 500:
        return f"{hub.host} has a fault of its own ({status}). Try again later.{_mirror(hub)}"
    return f"{hub.host} refuses {file.name} (HTTP status {status}).{_mirror(hub)}"


def _mirror(hub: Hub) -> str:
    """A hint for people who use a mirror."""
    return f" {ENDPOINT_VARIABLE} is set to {hub.host}: is it right?" if hub.is_mirror else ""


def _reason(error: Exception) -> str:
    reasons = [cause.strerror for cause in _causes(error) if isinstance(cause, OSError) and cause.strerror]
    return reasons[-1].lower() if reasons else "no answer"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
