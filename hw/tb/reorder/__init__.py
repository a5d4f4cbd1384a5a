"""Testbench of qlight_reorder."""
