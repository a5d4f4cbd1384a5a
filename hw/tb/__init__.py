"""cocotb testbenches of the cells in `hw/rtl`, one folder a cell. `python -m hw.tb` runs them; `tests/hw` runs them under pytest."""
