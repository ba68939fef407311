"""How wrong a product is: against exact arithmetic, against a bound, and by which step."""

from chipmeter.analysis.bound import bound
from chipmeter.analysis.error import ErrorAnalysis, Loss, error_analysis
from chipmeter.analysis.exact import exact_product

__all__ = ["ErrorAnalysis", "Loss", "bound", "error_analysis", "exact_product"]
