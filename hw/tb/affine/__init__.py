"""Testbench of qlight_affine."""
