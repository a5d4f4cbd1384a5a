"""Testbench of qlight_control."""
