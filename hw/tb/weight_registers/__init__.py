"""Testbench of qlight_weight_registers."""
