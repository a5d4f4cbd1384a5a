# ZCU104: what vivado/build.tcl must know of the board beside its part. The board files come with Vivado.
set board_parts {xilinx.com:zcu104:part0:*}
set ps_settings {}
