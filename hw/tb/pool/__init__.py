"""Testbench of qlight_pool."""
