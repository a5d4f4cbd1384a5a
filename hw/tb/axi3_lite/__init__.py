"""Testbench of qlight_axi3_lite."""
