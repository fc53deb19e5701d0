"""A pool of processes without any."""

from collections.abc import Callable, Iterable
from typing import Any


class _Done:
    """A result of PoolOfNoProcess."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def ready(self) -> bool:
        return True

    def get(self) -> Any:
        return self._value


class PoolOfNoProcess:
    """In the place of nnU-Net's pools: a forked process whose parent has imported nnU-Net needs no other, for seconds.

    What a pool's processes would change is changed, and can be interrupted, in the one process that there is.
    """

    _pool = ()

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __enter__(self) -> "PoolOfNoProcess":
        return self

    def __exit__(self, *_: object) -> None: ...

    def close(self) -> None: ...

    def join(self) -> None: ...

    def starmap_async(self, function: Callable[..., Any], arguments: Iterable[tuple]) -> _Done:
        return _Done([function(*each) for each in arguments])

    def starmap(self, function: Callable[..., Any], arguments: Iterable[tuple]) -> list:
        return self.starmap_async(function, arguments).get()
