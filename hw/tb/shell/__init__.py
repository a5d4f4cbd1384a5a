"""Testbench of qlight_shell with qlight_reset, and qlight_control as the accelerator."""
