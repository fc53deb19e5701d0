"""How each process of a distributed training knows at once that another has ended.

A collective waits for a lost process until its timeout, or fails with whatever its library says. So the processes also
have a connection each to rank 0. The system closes it when a process ends, however that happens, and finds out by
itself when the other machine is gone; a process that only computes for long is never taken for a lost one.
"""

import json
import os
import platform
import secrets
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import IO, Any

from torch import distributed

from hermes_nnunet.core.processes import end_children
from hermes_nnunet.errors import TrainingEndedError
from hermes_nnunet.learning.distributed.averaging import number_of_processes

# Probes of the system after so many seconds of silence; a machine is gone after 10 + 6 * 5 seconds without an answer.
_KEEP_ALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 6}
_CONNECTING_SECONDS = 60.0
# What fails because another process is lost may fail before the news of that is here.
_NEWS_SECONDS = 5.0
# The main thread may wait in a collective for the lost process, where nothing can reach it.
_OWN_END_SECONDS = 15.0

_present: "Peers | None" = None


@dataclass(frozen=True)
class LostPeer:
    """A process that has ended before the others.

    Attributes:
        rank: its rank.
        machine: name of its machine.
        reason: what it said, or what is known.
    """

    rank: int
    machine: str
    reason: str

    def __str__(self) -> str:
        return (
            f"rank {self.rank} on {self.machine} has ended ({self.reason}), so the others end as well: look for its "
            f"error there, and continue with --c"
        )


@contextmanager
def watched_peers() -> Iterator["Peers | None"]:
    """Within this block, the end of one process ends all; None where there is one process only.

    All processes enter it together. A block in a block is the same block. If another process ends, this one prints a
    line and exits with 1: neither a main thread that waits in a collective nor the libraries' own clearing up, which
    may abort without the other process, can be left in good order.
    """
    global _present
    if number_of_processes() == 1 or _present is not None:
        yield _present
        return
    _present = peers = Peers()
    try:
        yield peers
    except BaseException as error:
        if peers.is_closed:
            raise
        # Not yet: what failed here may be a collective, because another process has ended.
        if isinstance(error, RuntimeError):
            peers.wait_for_news(_NEWS_SECONDS)
        if peers.lost is not None:
            peers.exit()
        peers.close(_in_one_line(error))
        raise
    else:
        peers.close()
    finally:
        _present = None


def end_together() -> None:
    """Say that all processes are about to raise the same: none of them is lost."""
    if _present is not None:
        _present.close()


class Peers:
    """This process's connection with rank 0, or rank 0's with all others.

    Attributes:
        lost: the process that has ended first, once that is known.
    """

    def __init__(self) -> None:
        self.lost: LostPeer | None = None
        self._news = threading.Event()
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._rank = distributed.get_rank()
        self._machines: list[Any] = [None] * number_of_processes()
        distributed.all_gather_object(self._machines, platform.node())
        self._connections: dict[int, socket.socket] = {}
        server = socket.create_server(("", 0)) if self._rank == 0 else None
        address = [(server.getsockname()[1], secrets.token_hex(16)) if server is not None else None]
        distributed.broadcast_object_list(address)
        port, word = address[0] or (0, "")
        if server is not None:
            self._accept(server, word)
        else:
            self._connect(port, word)

    @property
    def is_closed(self) -> bool:
        """Whether this process has left."""
        return self._closed.is_set()

    def wait_for_news(self, seconds: float) -> None:
        """Wait until a process is lost, or for so long."""
        self._news.wait(seconds)

    def exit(self) -> None:
        """After all have agreed that one of them ends, or it has ended: wait for what it says, and exit."""
        self.wait_for_news(_OWN_END_SECONDS)
        end_children()
        print(f"hermes_nnunet: error: {self.lost or 'another process has ended'}", file=sys.stderr, flush=True)
        sys.stdout.flush()
        os._exit(1)

    def close(self, reason: str | None = None) -> None:
        """Leave in good order, or say why not."""
        with self._lock:
            self._closed.set()
            if reason is None:
                message: dict[str, Any] = {"done": True}
            else:
                message = {"lost": asdict(LostPeer(self._rank, self._machines[self._rank], reason))}
            self._tell(message)
        for connection in self._connections.values():
            with suppress(OSError):
                connection.shutdown(socket.SHUT_WR)

    def _accept(self, server: socket.socket, word: str) -> None:
        """Wait for all others: they come at the same time, right after the broadcast."""
        server.settimeout(_CONNECTING_SECONDS)
        with server:
            while len(self._connections) < number_of_processes() - 1:
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    missing = set(range(1, number_of_processes())) - set(self._connections)
                    names = ", ".join(f"{rank} on {self._machines[rank]}" for rank in sorted(missing))
                    raise TrainingEndedError(
                        f"rank 0 on {self._machines[0]} is not reached by rank {names}: let the machines reach each "
                        f"other by all ports"
                    ) from None
                connection.settimeout(_CONNECTING_SECONDS)
                lines = connection.makefile("r")
                greeting = _message(lines)
                if greeting is None or greeting.get("word") != word:
                    connection.close()
                    continue
                self._connections[greeting["rank"]] = connection
                self._listen(connection, lines, greeting["rank"])

    def _connect(self, port: int, word: str) -> None:
        # torchrun and nnU-Net's command both set it, to the machine of rank 0.
        host = os.environ.get("MASTER_ADDR", "127.0.0.1")
        try:
            connection = socket.create_connection((host, port), _CONNECTING_SECONDS)
        except OSError as error:
            raise TrainingEndedError(
                f"rank {self._rank} on {self._machines[self._rank]} does not reach rank 0 on {host}, port {port} "
                f"({error}): let the machines reach each other by all ports"
            ) from None
        self._connections[0] = connection
        self._tell({"word": word, "rank": self._rank})
        self._listen(connection, connection.makefile("r"), 0)

    def _listen(self, connection: socket.socket, lines: IO[str], rank: int) -> None:
        connection.settimeout(None)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEP_ALIVE.items():
            if hasattr(socket, name):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        threading.Thread(target=self._hear, args=(lines, rank), daemon=True).start()

    def _hear(self, lines: IO[str], rank: int) -> None:
        message = _message(lines)
        if message is None:
            reason = "it was killed, or its machine is gone"
            self._lose(LostPeer(rank, self._machines[rank], reason))
        elif "lost" in message:
            self._lose(LostPeer(**message["lost"]))

    def _lose(self, peer: LostPeer) -> None:
        with self._lock:
            if self.lost is not None or self._closed.is_set():
                return
            self.lost = peer
            if self._rank == 0:
                self._tell({"lost": asdict(peer)})
        self._news.set()
        # Unless the main thread is faster, or has another error to tell.
        if not self._closed.wait(_OWN_END_SECONDS):
            self.exit()

    def _tell(self, message: dict[str, Any]) -> None:
        for connection in self._connections.values():
            with suppress(OSError):  # it may be the lost one
                connection.sendall(f"{json.dumps(message)}\n".encode())


def _message(lines: IO[str]) -> dict[str, Any] | None:
    """The next message; None if the connection has ended."""
    try:
        line = lines.readline()
        return json.loads(line) if line else None
    except (OSError, ValueError):
        return None


def _in_one_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error, SystemExit) and isinstance(error.code, int):
        return f"exit code {error.code}"
    return lines[0] if lines else type(error).__name__
