"""Testbench of qlight_dwc."""
