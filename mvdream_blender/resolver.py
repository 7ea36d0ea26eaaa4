# SPDX-License-Identifier: GPL-3.0-or-later
"""Host name -> addresses without blocking. Never imports bpy.

The system's resolver blocks for seconds on a bad network and knows no other way, so a name is looked up in a
child process. Numbers and "localhost", which the local backend uses, need none.
"""

import ipaddress
import json
import socket
import subprocess
import sys

from .processes import child_flags

Address = tuple[int, tuple]

_SCRIPT = (
    "import json, socket, sys\n"
    "found = socket.getaddrinfo(sys.argv[1], int(sys.argv[2]), type=socket.SOCK_STREAM)\n"
    "print(json.dumps([[int(family), list(address)] for family, _, _, _, address in found]))\n"
)


def is_loopback(host: str) -> bool:
    """True where `host` is this machine by its loopback interface."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Resolver:
    """Waits for the addresses of a host. `addresses` is empty where the name is unknown."""

    def __init__(self, host: str, port: int) -> None:
        self.addresses: list[Address] = []
        self._child: subprocess.Popen[bytes] | None = None
        if host == "localhost":
            self.addresses = [(socket.AF_INET, ("127.0.0.1", port)), (socket.AF_INET6, ("::1", port, 0, 0))]
            return
        try:
            version = ipaddress.ip_address(host).version
        except ValueError:
            self._child = subprocess.Popen(
                [sys.executable, "-I", "-c", _SCRIPT, host, str(port)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                **child_flags(),
            )
            return
        address = (host, port) if version == 4 else (host, port, 0, 0)
        self.addresses = [(socket.AF_INET if version == 4 else socket.AF_INET6, address)]

    def poll(self) -> bool:
        if self._child is None:
            return True
        if self._child.poll() is None:
            return False
        output, _ = self._child.communicate()
        if self._child.returncode == 0:
            self.addresses = [(family, tuple(address)) for family, address in json.loads(output)]
        self._child = None
        return True

    def close(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None
