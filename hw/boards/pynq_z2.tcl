# PYNQ-Z2: what vivado/build.tcl must know of the board beside its part. The board files are its maker's.
set board_parts {tul.com.tw:pynq-z2:part0:*}
# Where Vivado has no board files. Source: PYNQ repository, boards/Pynq-Z2. The rest only matters to a boot loader, and PYNQ's image has its own.
set ps_settings {PCW_CRYSTAL_PERIPHERAL_FREQMHZ 50 PCW_APU_PERIPHERAL_FREQMHZ 650 PCW_UIPARAM_DDR_FREQ_MHZ 525}
