"""Testbench of qlight_mvtu."""
