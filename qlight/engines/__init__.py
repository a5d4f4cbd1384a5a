"""What computes an integer graph, integer for integer: `packed` on the CPU, `csim` and `rtlsim` as the accelerator does. Needs no torch."""
