# AUP-ZU3: what vivado/build.tcl must know of the board beside its part. The board files are Real Digital's; one of the two memories.
set board_parts {realdigital.org:aup-zu3-8gb:part0:* realdigital.org:aup-zu3-4gb:part0:*}
set ps_settings {}
