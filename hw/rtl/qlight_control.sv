// AXI4-Lite registers, counters, and the router of the input stream: to the pipeline, or as parameter words to the chain.
//
// Byte offsets: 00 ID, 04 VERSION, 08 CONTROL (bit 0 soft reset, held until 0 is written; bit 1 load mode), 0C LOADED, 10-2C graph hash
// (writable), 30-4C geometry hash, 50 input bytes an image, 54 classes, 58 parameter words, 5C IMAGES, 60/64 CYCLES (reading 60 keeps
// the upper half for 64), 68 STALL_IN, 6C STALL_OUT, 70 CLEAR, 74 PACKET. Other reads give 0, other writes nothing;
// from 80 on they go out, and read data come in: registers of other cells (qlight_weight_registers).
//
// PACKET says how many images make one packet of the output: a DMA ends a transfer at the first TLAST.
//
// An image is in flight from its first input beat to its last logit. Load mode begins when none is: words are parameters only then, so
// it may be switched on while images are still under way. The graph hash describes the parameters, so like the memories it has its
// first value from configuration and keeps what was written over any reset.
module qlight_control #(
    parameter logic [31:0] VERSION = 32'h0000_0001,
    parameter logic [255:0] GRAPH_HASH = '0,
    parameter logic [255:0] GEOMETRY_HASH = '0,
    parameter int INPUT_BYTES = 4,
    parameter int CLASSES = 10,
    parameter int PARAMETER_WORDS = 0
) (
    input  logic        clk,
    input  logic        rst_n,
    // verilator lint_off UNUSEDSIGNAL
    input  logic [ 7:0] s_axi_awaddr,  // registers are words: the lowest two bits do not count
    // verilator lint_on UNUSEDSIGNAL
    input  logic        s_axi_awvalid,
    output logic        s_axi_awready,
    input  logic [31:0] s_axi_wdata,
    input  logic [ 3:0] s_axi_wstrb,
    input  logic        s_axi_wvalid,
    output logic        s_axi_wready,
    output logic [ 1:0] s_axi_bresp,
    output logic        s_axi_bvalid,
    input  logic        s_axi_bready,
    // verilator lint_off UNUSEDSIGNAL
    input  logic [ 7:0] s_axi_araddr,
    // verilator lint_on UNUSEDSIGNAL
    input  logic        s_axi_arvalid,
    output logic        s_axi_arready,
    output logic [31:0] s_axi_rdata,
    output logic [ 1:0] s_axi_rresp,
    output logic        s_axi_rvalid,
    input  logic        s_axi_rready,
    // The top's input.
    input  logic [31:0] s_axis_tdata,
    input  logic        s_axis_tvalid,
    output logic        s_axis_tready,
    // To the pipeline: its input, its reset, the head of the parameter chain.
    output logic [31:0] m_axis_tdata,
    output logic        m_axis_tvalid,
    input  logic        m_axis_tready,
    output logic        pipeline_rst_n,
    output logic        cfg_start_o,
    output logic        cfg_valid_o,
    output logic [31:0] cfg_data_o,
    // The top's output, watched.
    input  logic        out_tvalid,
    input  logic        out_tready,
    input  logic        out_tlast,       // of an image
    output logic        out_packet_last,  // the image at the output is the last of its packet
    // To other cells' registers; what they must know: `idle`, no image is in flight; `weights_allowed`, neither a reset nor a load.
    output logic        ext_write,
    output logic [ 5:0] ext_write_word,
    output logic [31:0] ext_write_data,
    output logic        ext_read,
    output logic [ 5:0] ext_read_word,
    input  logic [31:0] ext_read_data,
    output logic        clear,
    output logic        idle,
    output logic        weights_allowed
);
  if (INPUT_BYTES < 4 || INPUT_BYTES % 4 != 0) begin : gen_error_1
    $error("qlight_control: INPUT_BYTES must be a positive multiple of 4.");
  end
  if (CLASSES < 1) begin : gen_error_2
    $error("qlight_control: CLASSES must be at least 1.");
  end
  if (PARAMETER_WORDS < 0) begin : gen_error_3
    $error("qlight_control: PARAMETER_WORDS must not be negative.");
  end

  localparam int BEATS = INPUT_BYTES / 4;
  localparam int BEAT_BITS = BEATS > 1 ? $clog2(BEATS) : 1;

  // ---- Writes: address and data may come in either order.
  logic aw_held, w_held, write;
  logic [5:0] write_word;
  logic [31:0] write_data;
  logic [ 3:0] write_strobe;
  assign s_axi_awready = !aw_held;
  assign s_axi_wready = !w_held;
  assign s_axi_bresp = 2'b00;
  assign write = aw_held && w_held && !s_axi_bvalid;

  always_ff @(posedge clk) begin
    if (s_axi_awvalid && s_axi_awready) write_word <= s_axi_awaddr[7:2];
    if (s_axi_wvalid && s_axi_wready) begin
      write_data <= s_axi_wdata;
      write_strobe <= s_axi_wstrb;
    end
    if (!rst_n) begin
      aw_held <= 1'b0;
      w_held <= 1'b0;
      s_axi_bvalid <= 1'b0;
    end else begin
      if (write) aw_held <= 1'b0;
      else if (s_axi_awvalid) aw_held <= 1'b1;
      if (write) w_held <= 1'b0;
      else if (s_axi_wvalid) w_held <= 1'b1;
      if (write) s_axi_bvalid <= 1'b1;
      else if (s_axi_bready) s_axi_bvalid <= 1'b0;
    end
  end

  // ---- Control, hash.
  logic soft_reset, load_mode, write_control, enter_load;
  logic [7:0][31:0] graph_hash;  // word 0 holds the first eight digits
  localparam logic [7:0][31:0] GEOMETRY = reversed(GEOMETRY_HASH);

  function automatic logic [7:0][31:0] reversed(input logic [255:0] hash);
    for (int i = 0; i < 8; i++) reversed[i] = hash[(7-i)*32+:32];
  endfunction

  initial graph_hash = reversed(GRAPH_HASH);

  assign write_control = write && write_word == 6'h02 && write_strobe[0];
  assign enter_load = write_control && write_data[1] && !load_mode;
  assign clear = write && write_word == 6'h1C;
  assign pipeline_rst_n = rst_n && !soft_reset;
  assign ext_write = write && write_word[5] && write_strobe == 4'hF;
  assign ext_write_word = write_word;
  assign ext_write_data = write_data;

  always_ff @(posedge clk) begin
    if (write && write_word >= 6'h04 && write_word < 6'h0C)
      for (int i = 0; i < 4; i++) if (write_strobe[i]) graph_hash[3'(write_word-6'h04)][i*8+:8] <= write_data[i*8+:8];
    if (!rst_n) begin
      soft_reset <= 1'b0;
      load_mode <= 1'b0;
    end else if (write_control) begin
      soft_reset <= write_data[0];
      load_mode <= write_data[1];
    end
  end

  // ---- Router. The chain's outputs are registered; its words are always taken.
  logic [BEAT_BITS-1:0] beat;
  logic [15:0] in_flight;
  logic loading, begin_loading, take, take_first, take_word, image_done;
  logic [31:0] loaded;
  assign idle = in_flight == '0;
  assign weights_allowed = pipeline_rst_n && !loading;
  assign begin_loading = load_mode && idle && !loading && pipeline_rst_n;
  assign take_word = loading && load_mode && pipeline_rst_n && s_axis_tvalid;
  assign m_axis_tdata = s_axis_tdata;
  // A new image starts neither in load mode nor where the count of images in flight would overflow; one that has begun goes on.
  logic open;
  assign open = pipeline_rst_n && (beat != '0 || (!load_mode && in_flight != '1));
  assign m_axis_tvalid = s_axis_tvalid && open;
  assign s_axis_tready = (loading && load_mode && pipeline_rst_n) || (open && m_axis_tready);
  assign take = m_axis_tvalid && m_axis_tready;
  assign take_first = take && beat == '0;
  assign image_done = out_tvalid && out_tready && out_tlast;

  always_ff @(posedge clk) begin
    cfg_data_o <= s_axis_tdata;
    if (!rst_n || enter_load || begin_loading) loaded <= '0;
    else if (take_word) loaded <= loaded + 1'b1;
    if (!pipeline_rst_n) begin  // a soft reset while loading begins the load anew
      loading <= 1'b0;
      cfg_start_o <= 1'b0;
      cfg_valid_o <= 1'b0;
    end else begin
      if (begin_loading) loading <= 1'b1;
      if (!load_mode) loading <= 1'b0;
      cfg_start_o <= begin_loading;
      cfg_valid_o <= take_word;
    end
    if (!pipeline_rst_n) begin
      beat <= '0;
      in_flight <= '0;
    end else begin
      if (take) beat <= beat == BEAT_BITS'(BEATS - 1) ? '0 : beat + 1'b1;
      if (take_first && !image_done) in_flight <= in_flight + 1'b1;
      if (image_done && !take_first) in_flight <= in_flight - 1'b1;
    end
  end

  // ---- Packets: images that the one at the output still needs, itself included.
  logic [31:0] packet, packet_left;
  logic write_packet;
  assign write_packet = write && write_word == 6'h1D && write_strobe == 4'hF;
  assign out_packet_last = packet_left == 32'd1;
  always_ff @(posedge clk) begin
    if (!rst_n) packet <= 32'd1;
    else if (write_packet) packet <= write_data;
    if (!rst_n) packet_left <= 32'd1;
    else if (write_packet) packet_left <= write_data;
    else if (!pipeline_rst_n || (image_done && out_packet_last)) packet_left <= packet;
    else if (image_done) packet_left <= packet_left - 1'b1;
  end

  // ---- Counters.
  logic [31:0] images, stall_in, stall_out, cycles_kept;
  logic [63:0] cycles;
  always_ff @(posedge clk) begin
    if (!rst_n || clear) begin
      images <= '0;
      cycles <= '0;
      stall_in <= '0;
      stall_out <= '0;
    end else begin
      if (image_done) images <= images + 1'b1;
      if (take_first || !idle) cycles <= cycles + 1'b1;
      if (s_axis_tvalid && !s_axis_tready) stall_in <= stall_in + 1'b1;
      if (out_tvalid && !out_tready) stall_out <= stall_out + 1'b1;
    end
  end

  // ---- Reads.
  logic read;
  logic [5:0] read_word;
  assign read_word = s_axi_araddr[7:2];
  assign s_axi_arready = !s_axi_rvalid;
  assign s_axi_rresp = 2'b00;
  assign read = s_axi_arvalid && s_axi_arready;
  assign ext_read = read && read_word[5];
  assign ext_read_word = read_word;
  always_ff @(posedge clk) begin
    if (!rst_n) s_axi_rvalid <= 1'b0;
    else if (read) s_axi_rvalid <= 1'b1;
    else if (s_axi_rready) s_axi_rvalid <= 1'b0;
    if (read) begin
      if (read_word == 6'h18) cycles_kept <= cycles[63:32];
      case (read_word)
        6'h00: s_axi_rdata <= 32'h514C_4754;
        6'h01: s_axi_rdata <= VERSION;
        6'h02: s_axi_rdata <= {30'd0, load_mode, soft_reset};
        6'h03: s_axi_rdata <= loaded;
        6'h04, 6'h05, 6'h06, 6'h07, 6'h08, 6'h09, 6'h0A, 6'h0B: s_axi_rdata <= graph_hash[3'(read_word-6'h04)];
        6'h0C, 6'h0D, 6'h0E, 6'h0F, 6'h10, 6'h11, 6'h12, 6'h13: s_axi_rdata <= GEOMETRY[3'(read_word-6'h0C)];
        6'h14: s_axi_rdata <= INPUT_BYTES;
        6'h15: s_axi_rdata <= CLASSES;
        6'h16: s_axi_rdata <= PARAMETER_WORDS;
        6'h17: s_axi_rdata <= images;
        6'h18: s_axi_rdata <= cycles[31:0];
        6'h19: s_axi_rdata <= cycles_kept;
        6'h1A: s_axi_rdata <= stall_in;
        6'h1B: s_axi_rdata <= stall_out;
        6'h1D: s_axi_rdata <= packet;
        default: s_axi_rdata <= read_word[5] ? ext_read_data : '0;
      endcase
    end
  end
endmodule
