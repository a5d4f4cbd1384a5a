# The processing system of Zynq UltraScale+, for vivado/build.tcl. Sources: AMD UG1085, PG201.
set ps zynq_ultra_ps_e_0

# Registers of the design, as the processor sees them through M_AXI_HPM0_FPD (from 0xA0000000 on).
set dma_base 0xA0000000
set accelerator_base 0xA0010000
set control_port $ps/M_AXI_HPM0_FPD
set control_clock $ps/maxihpm0_fpd_aclk
set fabric_clock $ps/pl_clk0
set fabric_reset $ps/pl_resetn0
set address_bits 40

# Memory ports in the order in which they are used, with their numbers among S_AXI_GP0 to S_AXI_GP5 of the settings.
set memory_ports_known {HP0 2 HP1 3 HP2 4 HP3 5 HPC0 0 HPC1 1}

# The interface, its clock and its segments of memory, where there are 2 GiB or more in two parts: of memory port `index`.
proc memory_port {index} {
    global ps memory_ports_known
    lassign [lrange $memory_ports_known [expr {2 * $index}] [expr {2 * $index + 1}]] name number
    return [list $ps/S_AXI_${name}_FPD $ps/saxi[string tolower $name]_fpd_aclk $ps/SAXIGP$number/${name}_DDR_*]
}

# Make it, with these memory ports of `bits` bits; `preset`: whether Vivado knows the board. The widths are registers of the processing
# system: what loads the bitstream must set them (pynq does, from the handoff file).
proc create_system {preset settings ports bits} {
    global ps fabric_mhz memory_ports_known
    set cell [create_ip_cell zynq_ultra_ps_e $ps]
    if {$preset} {
        apply_bd_automation -rule xilinx.com:bd_rule:zynq_ultra_ps_e -config {apply_board_preset 1} $cell
    } else {
        configure $cell $settings
    }
    configure $cell [list PSU__USE__M_AXI_GP0 1 PSU__USE__M_AXI_GP1 0 PSU__USE__M_AXI_GP2 0 PSU__MAXIGP0__DATA_WIDTH 32 \
        PSU__FPGA_PL0_ENABLE 1 PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ $fabric_mhz]
    set index 0
    foreach {name number} $memory_ports_known {
        configure $cell [list PSU__USE__S_AXI_GP$number [expr {$index in $ports}]]
        if {$index in $ports} { configure $cell [list PSU__SAXIGP${number}__DATA_WIDTH $bits] }
        incr index
    }
}
