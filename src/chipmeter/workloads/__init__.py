"""Workloads: from a model's `config.json` to the list of operations that one step of it executes."""

from chipmeter.workloads.architecture import Architecture
from chipmeter.workloads.config import read_config
from chipmeter.workloads.find import find_model
from chipmeter.workloads.graph import operations, read_gemms
from chipmeter.workloads.ops import AllReduce, Attention, Embedding, Gemm, Op, Optimizer, Pointwise
from chipmeter.workloads.pictures import Denoiser, Generation
from chipmeter.workloads.presets import preset, presets
from chipmeter.workloads.weights import Weight
from chipmeter.workloads.widths import Formats, bytes_per_element
from chipmeter.workloads.workload import Phase, Workload, workload

__all__ = [
    "AllReduce",
    "Architecture",
    "Attention",
    "Denoiser",
    "Embedding",
    "Formats",
    "Gemm",
    "Generation",
    "Op",
    "Optimizer",
    "Phase",
    "Pointwise",
    "Weight",
    "Workload",
    "bytes_per_element",
    "find_model",
    "operations",
    "preset",
    "presets",
    "read_config",
    "read_gemms",
    "workload",
]
