"""Arithmetic of binary16: exact sums, one rounding, products. Rules: version 1."""
