"""Beyond one machine, on Dask: products of dask arrays with the bits of one machine, and sweeps that survive losses.

Needs ``pip install 'chipmeter[distributed]'``.
"""

from chipmeter.distributed.product import matmul
from chipmeter.distributed.sweep import sweep

__all__ = ["matmul", "sweep"]
