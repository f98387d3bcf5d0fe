"""The settings of one mail server, and the TCP connection to it: nothing leaves this machine in the clear unasked."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from time import monotonic
from typing import Final, Literal

from domain.errors import InvalidInput
from domain.replies import Phase
from runner.smtp.errors import Cause, ServerUnavailable

COMMAND_TIMEOUT_S: Final = 60.0
DOT_TIMEOUT_S: Final = 600.0  # RFC 5321 section 4.5.3.2.6: a shorter wait makes doubts out of slow servers


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """Where and how to connect. `tls="none"` connects to this machine only, unless `allow_plaintext`.

    `loopback_only` refuses every other machine, whatever `tls` says: for a ledger with simulated time.
    """

    host: str
    port: int
    tls: Literal["starttls", "implicit", "none"]
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    timeout_s: float = COMMAND_TIMEOUT_S
    dot_timeout_s: float = DOT_TIMEOUT_S
    ca_file: Path | None = None
    allow_plaintext: bool = False
    loopback_only: bool = False

    def __post_init__(self) -> None:
        if (self.user is None) != (self.password is None):
            raise InvalidInput(
                "user and password belong together, only one is given.",
                mend="Give both, or none for a server that asks for no login.",
                field="password" if self.password is None else "user",
            )


def dial(server: SmtpServer) -> socket.socket:
    """Connect to the server, TCP only. Raises `ServerUnavailable` for a machine the settings forbid, else `OSError`.

    The addresses that were checked are the ones connected to: a second look-up could give others.
    """
    addresses = [str(info[4][0]) for info in socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)]
    if forbidden := _forbidden(server, addresses):
        raise ServerUnavailable(Phase.LOCAL, cause=forbidden)
    sock = _first_that_answers(addresses, server.port, server.timeout_s)
    # The dot is a packet of three octets: Nagle's algorithm would hold it until the body was acknowledged.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def encrypt(server: SmtpServer, sock: socket.socket) -> ssl.SSLSocket:
    """Begin TLS on a connection; the certificate must be valid and name the host."""
    context = ssl.create_default_context(cafile=server.ca_file)
    sock.settimeout(server.timeout_s)
    return context.wrap_socket(sock, server_hostname=server.host)


def _forbidden(server: SmtpServer, addresses: list[str]) -> Cause | None:
    if all(ip_address(address.partition("%")[0]).is_loopback for address in addresses):
        return None
    if server.loopback_only:
        return Cause.NOT_LOOPBACK
    return Cause.PLAINTEXT if server.tls == "none" and not server.allow_plaintext else None


def _first_that_answers(addresses: list[str], port: int, timeout_s: float) -> socket.socket:
    deadline = monotonic() + timeout_s
    failure: OSError = TimeoutError()
    for address in dict.fromkeys(addresses):
        if (remaining := deadline - monotonic()) <= 0:
            break
        try:
            return socket.create_connection((address, port), timeout=remaining)
        except OSError as error:
            failure = error
    raise failure
