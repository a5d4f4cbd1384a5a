# The processing system of Zynq-7000, for vivado/build.tcl. Sources: AMD UG585, PG082.
set ps processing_system7_0

# Registers of the design, as the processor sees them through M_AXI_GP0 (from 0x40000000 on).
set dma_base 0x40000000
set accelerator_base 0x40010000
set control_port $ps/M_AXI_GP0
set control_clock $ps/M_AXI_GP0_ACLK
set fabric_clock $ps/FCLK_CLK0
set fabric_reset $ps/FCLK_RESET0_N
set address_bits 32

# The interface, its clock and its segments of memory: of memory port `index`, S_AXI_HP0 to S_AXI_HP3.
proc memory_port {index} {
    global ps
    return [list $ps/S_AXI_HP$index $ps/S_AXI_HP${index}_ACLK $ps/S_AXI_HP$index/HP${index}_DDR_LOWOCM]
}

# Make it, with these memory ports of `bits` bits; `preset`: whether Vivado knows the board.
proc create_system {preset settings ports bits} {
    global ps fabric_mhz
    set cell [create_ip_cell processing_system7 $ps]
    apply_bd_automation -rule xilinx.com:bd_rule:processing_system7 \
        -config [list make_external "FIXED_IO, DDR" apply_board_preset $preset Master Disable Slave Disable] $cell
    if {!$preset} { configure $cell $settings }
    configure $cell [list PCW_USE_M_AXI_GP0 1 PCW_USE_M_AXI_GP1 0 PCW_EN_CLK0_PORT 1 PCW_EN_RST0_PORT 1 PCW_FPGA0_PERIPHERAL_FREQMHZ $fabric_mhz]
    for {set index 0} {$index < 4} {incr index} {
        configure $cell [list PCW_USE_S_AXI_HP$index [expr {$index in $ports}]]
        if {$index in $ports} { configure $cell [list PCW_S_AXI_HP${index}_DATA_WIDTH $bits] }
    }
}
