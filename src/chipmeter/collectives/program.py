"""Trees compiled to the stack programs of the engine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from chipmeter.collectives.schedule import Tree

LOAD, ADD, ADD_FIRST, MERGE, MERGE_FIRST, KEEP = 0, 1, 2, 3, 4, 8
MAX_DEPTH = 40


def compile_tree(tree: Tree) -> tuple[NDArray[np.int32], int]:
    """Return the steps (code, rank) of a tree and the depth of stack that they need.

    The deeper part of a sum is computed first, so that the depth grows with the logarithm of the ranks.

    >>> compile_tree(((3, 0), 1))[0].tolist()
    [[0, 3], [1, 0], [1, 1]]
    """
    depths = _depths(tree)
    steps: list[tuple[int, int]] = []
    work: list[Tree | tuple[str, int, int]] = [tree]
    while work:
        node = work.pop()
        if isinstance(node, int):
            steps.append((LOAD, node))
            continue
        if isinstance(node[0], str):
            steps.append((int(node[1]), int(node[2])))
            continue
        parts: tuple[Tree, ...] = node
        if len(parts) == 2:
            _pair(parts[0], parts[1], depths, work)
        else:
            todo: list[Tree | tuple[str, int, int]] = [parts[0]]
            for i, part in enumerate(parts[1:], 2):
                keep = KEEP if i < len(parts) else 0
                if isinstance(part, int):
                    todo.append(("emit", ADD | keep, part))
                else:
                    todo += [part, ("emit", MERGE | keep, 0)]
            work += reversed(todo)
    depth = depths[id(tree)] if not isinstance(tree, int) else 1
    if depth > MAX_DEPTH:
        raise ValueError(f"an association that needs {depth} partial sums at once is too deep; at most {MAX_DEPTH}")
    return np.array(steps, np.int32), depth


def _pair(a: Tree, b: Tree, depths: dict[int, int], work: list[Tree | tuple[str, int, int]]) -> None:
    if isinstance(b, int):
        work += [("emit", ADD, b), a]
    elif isinstance(a, int):
        work += [("emit", ADD_FIRST, a), b]
    elif depths[id(a)] >= depths[id(b)]:
        work += [("emit", MERGE, 0), b, a]
    else:
        work += [("emit", MERGE_FIRST, 0), a, b]


def _depths(tree: Tree) -> dict[int, int]:
    depths: dict[int, int] = {}
    work = [tree]
    while work:
        node = work[-1]
        if isinstance(node, int) or id(node) in depths:
            work.pop()
            continue
        waiting = [part for part in node if not isinstance(part, int) and id(part) not in depths]
        if waiting:
            work += waiting
            continue
        sizes = [1 if isinstance(part, int) else depths[id(part)] for part in node]
        if len(node) == 2 and not any(isinstance(part, int) for part in node):
            small, large = sorted(sizes)
            depths[id(node)] = max(large, small + 1)
        elif len(node) == 2:
            depths[id(node)] = max(sizes)
        else:
            inner = [1 if isinstance(part, int) else depths[id(part)] + 1 for part in node[1:]]
            depths[id(node)] = max(sizes[0], *inner)
        work.pop()
    return depths
