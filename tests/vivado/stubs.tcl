# Stands in for Vivado: every command that build.tcl may use is recorded, a line a call, its words parted by a control character.
# What Vivado would find or make is answered from tables. A command that is not here is an error, as it is in Vivado.

proc record {args} { puts "@[join $args \x1f]" }

namespace eval ipx {}
foreach name {
    add_files apply_bd_automation assign_bd_address close_project connect_bd_intf_net connect_bd_net create_bd_design create_project
    exclude_bd_addr_seg launch_runs make_wrapper open_run reset_run save_bd_design update_compile_order update_ip_catalog
    validate_bd_design ipx::check_integrity ipx::create_xgui_files ipx::package_project ipx::save_core ipx::update_checksums
} { proc $name {args} "record $name {*}\$args" }

# objects are their names
foreach name {
    get_bd_addr_spaces get_bd_cells get_bd_intf_pins get_bd_pins get_files get_runs ipx::add_address_block ipx::add_address_space
    ipx::add_memory_map
} { proc $name {args} "record $name {*}\$args; return \[lindex \$args 0\]" }
foreach name {current_fileset current_project ipx::current_core} { proc $name {} "return $name" }
foreach name {ipx::get_memory_maps ipx::get_address_blocks ipx::get_address_spaces} { proc $name {args} {} }

set catalog {
    xilinx.com:ip:processing_system7:5.5 xilinx.com:ip:zynq_ultra_ps_e:3.3 xilinx.com:ip:zynq_ultra_ps_e:3.5 xilinx.com:ip:axi_dma:7.1
    xilinx.com:ip:smartconnect:1.0 xilinx.com:ip:proc_sys_reset:5.0 xilinx.com:ip:clk_wiz:6.0
}
proc matching {names pattern} { return [lsearch -all -inline -glob $names $pattern] }
proc get_ipdefs {pattern} { return [matching $::catalog $pattern] }
proc get_board_parts {args} { return [matching $::env(STUB_BOARDS) [lindex $args end]] }
proc ipx::get_bus_interfaces {name args} { expr {$name eq $::env(STUB_LOST) ? "" : $name} }

proc create_bd_cell {args} {
    record create_bd_cell {*}$args
    return [lindex $args end]
}

set segments {axi_dma_0/S_AXI_LITE/Reg qlight_top_0/s_axi/reg0}
for {set i 0} {$i < 4} {incr i} { lappend segments processing_system7_0/S_AXI_HP$i/HP${i}_DDR_LOWOCM }
foreach {name number} {HPC0 0 HPC1 1 HP0 2 HP1 3 HP2 4 HP3 5} {
    foreach part {DDR_LOW DDR_HIGH LPS_OCM QSPI} { lappend segments zynq_ultra_ps_e_0/SAXIGP$number/${name}_$part }
}
proc get_bd_addr_segs {args} { return [matching $::segments [lindex $args end]] }

proc set_property {args} {
    set object [lindex $args end]
    if {[lindex $args 0] ne "-dict"} {
        record set_property $object [lindex $args 0] [lindex $args 1]
        return
    }
    foreach {name value} [lindex $args 1] {
        record set_property $object $name $value
        if {$name eq "CONFIG.CLKOUT1_REQUESTED_OUT_FREQ"} { set ::mhz $value }
    }
}
proc get_property {name object} {
    switch $name {
        CONFIG.FREQ_HZ { return [expr {$::mhz * 1e6 * $::env(STUB_CLOCK)}] }
        STATS.WNS { return $::env(STUB_SLACK) }
        STATS.WHS { return 0.010 }
        PROGRESS { return $::env(STUB_PROGRESS) }
        STATUS { return "place_design ERROR" }
    }
    error "no property $name of $object"
}

# files that Vivado would write
proc open_project {file} {
    record open_project $file
    set ::project [file dirname $file]
}
proc write {path text} {
    file mkdir [file dirname $path]
    set file [open $path w]
    puts -nonewline $file $text
    close $file
}
proc wait_on_run {run} {
    record wait_on_run $run
    write [file join $::project qlight.gen sources_1 bd qlight hw_handoff qlight.hwh] handoff
    write [file join $::project qlight.runs impl_1 qlight_wrapper.bit] bitstream
}
proc report_utilization {option path} { write $path utilization }
proc report_timing_summary {option path} { write $path timing }

source vivado/build.tcl
