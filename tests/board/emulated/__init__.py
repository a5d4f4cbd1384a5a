"""The emulated board, and pynq before it."""
