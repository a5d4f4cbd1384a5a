"""Testbench of qlight_swg."""
