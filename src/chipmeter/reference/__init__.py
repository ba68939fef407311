"""The slow, obvious twin of every kernel: scalar functions on Python integers and fractions, exact and unhurried.

`numbers` says what codes mean and how numbers become codes, `layouts` names the formats, `tables` holds the formats
that are no floating point, `quantize` turns one block into codes and scale, `matmul` computes one output element,
`systolic` one by each unpublished order of a column, and `orders` what a library makes of it. The kernels are tested
against these functions, and so can yours be.
"""
