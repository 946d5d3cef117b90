"""Multiplication over all 2^32 operand pairs and rounding around every tie, in Verilator against a C++ oracle."""
