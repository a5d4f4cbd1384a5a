# The accelerator of a build folder on its board: from sources to a bitstream and the handoff file that pynq reads. In the build folder:
#
#     vivado -mode batch -source vivado/build.tcl
#
# Environment: QLIGHT_STEPS, a list of package, design, implement (default: all); QLIGHT_JOBS, processes of implementation (default 2).
# Beside it lie design.tcl (generated: part, clock, ports), board.tcl, system.tcl (the family's processing system) and qlight_ip.v.
#
# Written after the vendor's manuals (AMD UG835, UG994, UG1118, PG021, PG065, PG247), and run in tclsh with stubs of Vivado's commands.
# Not tried with Vivado.

set here [file dirname [file normalize [info script]]]
set build [file dirname $here]
set work [file join $here work]
set ip [file join $work ip]
# of the clock that the processing system gives; the accelerator's is made of it, for not every frequency can be had from there
set fabric_mhz 100
foreach name {design board system} { source [file join $here $name.tcl] }

proc setting {name default} {
    if {[info exists ::env($name)]} { return $::env($name) }
    return $default
}

# Copies of the sources, in which memory files are named by their whole path: Vivado synthesizes in folders of its own.
proc copied_sources {} {
    global build work sources
    set to [file join $work sources]
    file delete -force $to
    file mkdir $to
    set copies {}
    foreach name [lsort [glob -nocomplain -directory [file join $build $sources] *.sv *.v *.dat]] {
        set file [open $name]
        set text [string map [list "\"memory/" "\"$build/memory/"] [read $file]]
        close $file
        set copy [file join $to [file tail $name]]
        set file [open $copy w]
        puts -nonewline $file $text
        close $file
        lappend copies $copy
    }
    if {$copies eq ""} { error "There are no sources in $sources/ of the build folder; a build of --format hls gets them from run_hls.tcl." }
    return $copies
}

# The accelerator as a block for the block design. Its type is qlight:user:qlight_top:1.0, by which the driver finds it.
proc package_accelerator {} {
    global here work ip part memory_ports
    create_project -force qlight_ip [file join $work ip_project] -part $part
    add_files -norecurse [concat [copied_sources] [list [file join $here qlight_ip.v]]]
    set_property top qlight_ip [current_fileset]
    update_compile_order -fileset sources_1
    ipx::package_project -root_dir $ip -vendor qlight -library user -taxonomy /UserIP -import_files -force
    set core [ipx::current_core]
    set_property name qlight_top $core
    set_property version 1.0 $core
    set_property display_name "qlight accelerator" $core
    set memories {}
    foreach weight [lsort -integer [concat {*}[dict values $memory_ports]]] { lappend memories m_axi_w$weight }
    foreach name [concat {s_axis m_axis s_axi} $memories] {
        if {[ipx::get_bus_interfaces $name -of_objects $core] eq ""} { error "The packager did not find the interface $name." }
    }
    # 256 bytes of registers; a block of 64 KiB, as the address map has it
    set map [ipx::get_memory_maps -quiet s_axi -of_objects $core]
    if {$map eq ""} {
        set map [ipx::add_memory_map s_axi $core]
        set_property slave_memory_map_ref s_axi [ipx::get_bus_interfaces s_axi -of_objects $core]
    }
    set block [ipx::get_address_blocks -quiet reg0 -of_objects $map]
    if {$block eq ""} { set block [ipx::add_address_block reg0 $map] }
    foreach {name value} {base_address 0 range 65536 width 32 usage register} { set_property $name $value $block }
    foreach name $memories {
        set space [ipx::get_address_spaces -quiet $name -of_objects $core]
        if {$space eq ""} {
            set space [ipx::add_address_space $name $core]
            set_property master_address_space_ref $name [ipx::get_bus_interfaces $name -of_objects $core]
        }
        set_property range [expr {1 << 40}] $space
    }
    ipx::create_xgui_files $core
    ipx::update_checksums $core
    ipx::check_integrity $core
    ipx::save_core $core
    close_project
}

proc create_ip_cell {name cell} {
    set known [lsort -dictionary [get_ipdefs xilinx.com:ip:$name:*]]
    if {$known eq ""} { error "This Vivado has no xilinx.com:ip:$name." }
    return [create_bd_cell -type ip -vlnv [lindex $known end] $cell]
}

proc configure {cell settings} {
    set all {}
    dict for {name value} $settings { lappend all CONFIG.$name $value }
    if {$all ne ""} { set_property -dict $all $cell }
}

proc connect_interfaces {from to} { connect_bd_intf_net [get_bd_intf_pins $from] [get_bd_intf_pins $to] }

proc connect_pins {from args} {
    foreach to $args { connect_bd_net [get_bd_pins $from] [get_bd_pins $to] }
}

# A SmartConnect from some interfaces to others, all on the accelerator's clock.
proc create_switch {cell from to} {
    configure [create_ip_cell smartconnect $cell] [list NUM_SI [llength $from] NUM_MI [llength $to] NUM_CLKS 1]
    set index -1
    foreach name $from { connect_interfaces $name $cell/[format S%02d_AXI [incr index]] }
    set index -1
    foreach name $to { connect_interfaces $cell/[format M%02d_AXI [incr index]] $name }
    connect_pins clk_wiz_0/clk_out1 $cell/aclk
    connect_pins proc_sys_reset_0/interconnect_aresetn $cell/aresetn
}

# Give the address spaces of masters the memory behind a port, and not what else it reaches.
proc assign_memory {spaces segments} {
    set memory [get_bd_addr_segs -quiet $segments]
    if {$memory eq ""} { error "The processing system has no memory at $segments." }
    foreach space $spaces {
        assign_bd_address -target_address_space [get_bd_addr_spaces $space] $memory
        foreach other [get_bd_addr_segs -quiet [file dirname $segments]/*] {
            if {$other ni $memory} { exclude_bd_addr_seg -target_address_space [get_bd_addr_spaces $space] $other }
        }
    }
}

proc create_design {} {
    global work ip part board_parts ps_settings port_bits memory_ports clock_mhz ps dma_base accelerator_base
    global control_port control_clock fabric_clock fabric_reset address_bits
    create_project -force qlight [file join $work project] -part $part
    set preset 0
    foreach pattern $board_parts {
        set found [get_board_parts -quiet -latest_file_version $pattern]
        if {$found ne ""} {
            set_property board_part [lindex $found 0] [current_project]
            set preset 1
            break
        }
    }
    if {!$preset && $ps_settings eq ""} { error "Vivado needs the board files of one of: $board_parts. Install them, and run this again." }
    set_property ip_repo_paths $ip [current_project]
    update_ip_catalog
    create_bd_design qlight

    create_system $preset $ps_settings [dict keys $memory_ports] $port_bits
    configure [create_ip_cell clk_wiz clk_wiz_0] [list PRIM_SOURCE No_buffer USE_RESET false USE_LOCKED true \
        CLKOUT1_REQUESTED_OUT_FREQ $clock_mhz]
    connect_pins $fabric_clock clk_wiz_0/clk_in1
    create_ip_cell proc_sys_reset proc_sys_reset_0
    connect_pins clk_wiz_0/clk_out1 proc_sys_reset_0/slowest_sync_clk $control_clock
    connect_pins clk_wiz_0/locked proc_sys_reset_0/dcm_locked
    connect_pins $fabric_reset proc_sys_reset_0/ext_reset_in

    create_bd_cell -type ip -vlnv qlight:user:qlight_top:1.0 qlight_top_0
    connect_pins clk_wiz_0/clk_out1 qlight_top_0/clk
    connect_pins proc_sys_reset_0/peripheral_aresetn qlight_top_0/rst_n

    # Simple mode; a transfer of up to 2^26 - 1 bytes; 32 bits, as many as the accelerator takes in a cycle, so that every answer, a
    # multiple of 4 bytes, begins at an address that needs no realignment.
    configure [create_ip_cell axi_dma axi_dma_0] [list c_include_sg 0 c_sg_include_stscntrl_strm 0 c_micro_dma 0 c_sg_length_width 26 \
        c_include_mm2s 1 c_include_s2mm 1 c_include_mm2s_dre 0 c_include_s2mm_dre 0 c_addr_width $address_bits \
        c_m_axi_mm2s_data_width 32 c_m_axis_mm2s_tdata_width 32 c_mm2s_burst_size 64 c_m_axi_s2mm_data_width 32 c_s2mm_burst_size 64]
    connect_pins clk_wiz_0/clk_out1 axi_dma_0/s_axi_lite_aclk axi_dma_0/m_axi_mm2s_aclk axi_dma_0/m_axi_s2mm_aclk
    connect_pins proc_sys_reset_0/peripheral_aresetn axi_dma_0/axi_resetn
    connect_interfaces axi_dma_0/M_AXIS_MM2S qlight_top_0/s_axis
    connect_interfaces qlight_top_0/m_axis axi_dma_0/S_AXIS_S2MM

    create_switch control_switch [list $control_port] {axi_dma_0/S_AXI_LITE qlight_top_0/s_axi}
    set registers [list $dma_base axi_dma_0/S_AXI_LITE/Reg $accelerator_base qlight_top_0/s_axi/reg0]
    foreach {base segment} $registers {
        assign_bd_address -offset $base -range 64K -target_address_space [get_bd_addr_spaces $ps/Data] [get_bd_addr_segs $segment]
    }

    # Memory ports: the DMA's is the first; streamed weights are spread over the others.
    dict for {index weights} $memory_ports {
        set masters {}
        set spaces {}
        if {$index == 0} {
            set masters {axi_dma_0/M_AXI_MM2S axi_dma_0/M_AXI_S2MM}
            set spaces {axi_dma_0/Data_MM2S axi_dma_0/Data_S2MM}
        }
        foreach weight $weights {
            lappend masters qlight_top_0/m_axi_w$weight
            lappend spaces qlight_top_0/m_axi_w$weight
        }
        lassign [memory_port $index] interface clock segments
        connect_pins clk_wiz_0/clk_out1 $clock
        create_switch memory_switch_$index $masters [list $interface]
        assign_memory $spaces $segments
    }

    validate_bd_design
    set found [expr {[get_property CONFIG.FREQ_HZ [get_bd_pins clk_wiz_0/clk_out1]] / 1e6}]
    if {abs($found - $clock_mhz) > 0.01 * $clock_mhz} { error "The clock is $found MHz where $clock_mhz were asked for." }
    save_bd_design
    make_wrapper -files [get_files qlight.bd] -top -import
    set_property top qlight_wrapper [current_fileset]
    update_compile_order -fileset sources_1
    close_project
}

# Implement; reports go to vivado/reports, bitstream and handoff file into the build folder if the timing is met.
proc implement {} {
    global here build work
    foreach suffix {bit hwh} { file delete [file join $build qlight.$suffix] }
    set reports [file join $here reports]
    file delete -force $reports
    file mkdir $reports
    set project [file join $work project]
    open_project [file join $project qlight.xpr]
    reset_run synth_1
    launch_runs impl_1 -to_step write_bitstream -jobs [setting QLIGHT_JOBS 2]
    wait_on_run impl_1
    set run [get_runs impl_1]
    if {[get_property PROGRESS $run] ne "100%"} { error "Implementation failed: [get_property STATUS $run]." }
    open_run impl_1
    report_utilization -file [file join $reports utilization.rpt]
    report_timing_summary -file [file join $reports timing.rpt]
    foreach {name what} {STATS.WNS setup STATS.WHS hold} {
        set slack [get_property $name $run]
        if {$slack < 0} { error "The timing is not met: the worst slack of $what is $slack ns. Lower the clock of the board file." }
    }
    # up to Vivado 2020.1 the handoff file is below .srcs, later below .gen
    set handoff [lindex [glob [file join $project qlight.{gen,srcs} sources_1 bd qlight hw_handoff qlight.hwh]] 0]
    file copy -force $handoff [file join $build qlight.hwh]
    file copy -force [file join $project qlight.runs impl_1 qlight_wrapper.bit] [file join $build qlight.bit]
    close_project
    puts "wrote qlight.bit and qlight.hwh; python -m qlight hardware report --build $build puts the reports into the manifest"
}

set steps [setting QLIGHT_STEPS {package design implement}]
foreach step $steps {
    if {$step ni {package design implement}} { error "Expected QLIGHT_STEPS to name package, design, implement, but got $step." }
}
if {"package" in $steps} { package_accelerator }
if {"design" in $steps} { create_design }
if {"implement" in $steps} { implement }
