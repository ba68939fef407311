"""Many independent tasks over a Dask client, each result kept as soon as it is there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from chipmeter.frontier.store import Store
from chipmeter.report.extras import needs

RETRIES = 10
"""Workers that a task may lose before it counts as the reason."""


def sweep(
    task: Callable[..., bytes],
    arguments: Mapping[str, tuple[Any, ...]],
    client: Any,
    *,
    store: Store | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> dict[str, bytes]:
    """Run a task for each key, on a client's workers, and collect the results.

    A key that the store has is not run; a result is written to the store when it arrives, so a client or worker that is
    killed loses only what was under way, and a key is never stored twice. A task whose worker died runs again elsewhere.

    Parameters
    ----------
    task : callable
        Importable by the workers; gives bytes.
    arguments : mapping of str to tuple
        The task's arguments by key.
    client : distributed.Client
    store : Store, optional
    progress : callable, optional
        Called with the key that is done and the share that is finished.

    Returns
    -------
    dict of str to bytes
        In the order of `arguments`.

    Raises
    ------
    ImportError
        If distributed is not installed.
    Exception
        What a task raised; what was finished stays in the store.
    """
    distributed = needs("distributed")
    found: dict[str, bytes] = {}
    for key in arguments:
        kept = None if store is None else store.get(key)
        if kept is not None:
            found[key] = kept
    missing = [key for key in arguments if key not in found]
    futures = {client.submit(task, *arguments[key], pure=False, retries=RETRIES): key for key in missing}
    finished = distributed.as_completed(futures, with_results=True)
    try:
        for done, (future, value) in enumerate(_results(finished), len(found) + 1):
            key = futures[future]
            found[key] = value
            if store is not None:
                store.put(key, value)
            if progress is not None:
                progress(key, done / len(arguments))
    finally:
        client.cancel(list(futures))
    return {key: found[key] for key in arguments}


def _results(finished: Any) -> Iterable[tuple[Any, bytes]]:
    yield from finished
