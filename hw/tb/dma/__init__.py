"""Testbench of qlight_dma with its engines and registers."""
