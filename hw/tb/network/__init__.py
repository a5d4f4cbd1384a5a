"""Testbench of whole accelerators: the generated top level of a network, layer by layer and end to end.

`python -m hw.tb network` runs the five networks of the paper at an eighth of its width and a set of small ones; `python -m hw.tb coverage`
prints which shapes of the cells they and the cells' own testbenches cover. `networks` are their graphs and foldings, `cases` the build
folders that a simulation starts from, `bench` the Verilog around the accelerators, `layers` what every layer must give, `accelerator` the
host of one. With `QLIGHT_DUT=FOLDER` the Verilog of another tool in that folder takes the place of the accelerator (`run_network`).
"""
