"""The whole design of the open flow, as its bitstream would have it, around a processing system of the testbench."""
