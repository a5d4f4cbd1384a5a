"""Testbench of qlight_fifo."""
