"""Testbench of qlight_mvtu_stream."""
