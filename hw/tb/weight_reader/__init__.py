"""Testbench of qlight_weight_reader."""
