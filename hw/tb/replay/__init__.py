"""Testbench of qlight_replay."""
