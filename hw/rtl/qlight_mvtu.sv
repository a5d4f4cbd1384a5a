// Matrix-vector-threshold unit with weights on chip: y = threshold(W a), PE rows x SIMD columns of W a cycle.
//
// In: vectors of MW activation codes, SIMD a beat. Out: MH results, PE a beat, row nf * PE + pe in lane pe of beat nf: codes of
// OUTPUT_BITS bits, or the accumulators themselves (OUTPUT_BITS = 0, ACC_BITS each, two's complement).
// Loop: for nf (MH / PE), for sf (MW / SIMD). The first nf reads the stream and fills a buffer that the others replay, so a vector
// takes (MH / PE) * (MW / SIMD) cycles and the next one follows at once.
//
// Pipeline, all of it stopped while an output waits: the memories here, three stages in qlight_dot, 2 OUTPUT_BITS in qlight_threshold.
module qlight_mvtu #(
    parameter int PE = 1,
    parameter int SIMD = 1,
    parameter int MW = 4,
    parameter int MH = 4,
    parameter int WEIGHT_BITS = 1,
    parameter int WEIGHT_SIGNED = 0,  // 1: two's complement k; 0: "odd" code k, which stands for 2k - (2^WEIGHT_BITS - 1)
    parameter int ACTIVATION_BITS = 1,
    parameter int BIPOLAR = 1,  // 1: code a stands for 2a - 1
    parameter int OUTPUT_BITS = 1,
    parameter int ACC_BITS = 8,
    parameter int IMPL = 0,  // of qlight_dot
    // verilator lint_off UNUSEDPARAM
    parameter RAM_STYLE = "auto",  // for the synthesizer only
    // verilator lint_on UNUSEDPARAM
    parameter WEIGHT_FILE = "",
    parameter THRESHOLD_FILE = ""  // what the names of the thresholds' files begin with
) (
    input  logic                                                     clk,
    input  logic                                                     rst_n,
    input  logic [                         SIMD*ACTIVATION_BITS-1:0] s_axis_tdata,
    input  logic                                                     s_axis_tvalid,
    output logic                                                     s_axis_tready,
    output logic [PE*(OUTPUT_BITS > 0 ? OUTPUT_BITS : ACC_BITS)-1:0] m_axis_tdata,
    output logic                                                     m_axis_tvalid,
    input  logic                                                     m_axis_tready,
    input  logic                                                     cfg_start,
    input  logic                                                     cfg_valid,
    input  logic [                                             31:0] cfg_data,
    output logic                                                     cfg_start_o,
    output logic                                                     cfg_valid_o,
    output logic [                                             31:0] cfg_data_o
);
  if (PE < 1 || SIMD < 1 || MW < 1 || MH < 1) begin : gen_error_1
    $error("qlight_mvtu: PE, SIMD, MW and MH must be at least 1.");
  end
  if (MW % SIMD != 0) begin : gen_error_2
    $error("qlight_mvtu: MW must be a multiple of SIMD.");
  end
  if (MH % PE != 0) begin : gen_error_3
    $error("qlight_mvtu: MH must be a multiple of PE.");
  end
  if (OUTPUT_BITS < 0 || OUTPUT_BITS > 8) begin : gen_error_4
    $error("qlight_mvtu: OUTPUT_BITS must be from 0 (accumulators) to 8.");
  end

  localparam int SF = MW / SIMD;
  localparam int NF = MH / PE;
  localparam int ROWS = NF * SF;
  localparam int ROW_BITS = PE * SIMD * WEIGHT_BITS;
  localparam int SF_BITS = SF > 1 ? $clog2(SF) : 1;
  localparam int NF_BITS = NF > 1 ? $clog2(NF) : 1;
  localparam int ADDRESS_BITS = ROWS > 1 ? $clog2(ROWS) : 1;
  localparam int BEAT_BITS = SIMD * ACTIVATION_BITS;

  // ---- Parameter chain: the weights' rows; then words of the thresholds and of the units behind.
  localparam int ROW_WORDS = (ROW_BITS + 31) / 32;
  localparam int WORD_BITS = ROW_WORDS > 1 ? $clog2(ROW_WORDS) : 1;
  logic loading, write_row, weights_start, weights_valid;
  logic [31:0] weights_data;
  logic [WORD_BITS-1:0] word;
  logic [ADDRESS_BITS-1:0] row;
  logic [ROW_BITS-1:0] row_data;  // words shift in from the top

  assign write_row = loading && cfg_valid && !cfg_start && word == WORD_BITS'(ROW_WORDS - 1);
  if (ROW_WORDS > 1) begin : gen_row_words
    localparam int KEPT_BITS = (ROW_WORDS - 1) * 32;
    logic [KEPT_BITS-1:0] kept;
    assign row_data = ROW_BITS'({cfg_data, kept});
    always_ff @(posedge clk) if (loading && cfg_valid) kept <= KEPT_BITS'({cfg_data, kept} >> 32);
  end else begin : gen_row_word
    assign row_data = cfg_data[ROW_BITS-1:0];
  end

  always_ff @(posedge clk) begin
    weights_data <= cfg_data;
    if (!rst_n) begin
      loading <= 1'b0;
      weights_start <= 1'b0;
      weights_valid <= 1'b0;
      word <= '0;
      row <= '0;
    end else begin
      weights_start <= cfg_start;
      weights_valid <= cfg_valid && !cfg_start && !loading;
      if (cfg_start) begin
        loading <= 1'b1;
        word <= '0;
        row <= '0;
      end else begin
        if (loading && cfg_valid) word <= write_row ? '0 : word + 1'b1;
        if (write_row) row <= row + 1'b1;
        if (write_row && row == ADDRESS_BITS'(ROWS - 1)) loading <= 1'b0;
      end
    end
  end

  // ---- Loop over folds; weights and activations.
  logic enable, take, advance, first_fold, last_sf, last_nf;
  logic [SF_BITS-1:0] sf;
  logic [NF_BITS-1:0] nf;
  logic [ADDRESS_BITS-1:0] address;

  assign enable = !m_axis_tvalid || m_axis_tready;
  assign first_fold = nf == '0;
  assign last_sf = sf == SF_BITS'(SF - 1);
  assign last_nf = nf == NF_BITS'(NF - 1);
  assign take = !first_fold || s_axis_tvalid;
  assign advance = enable && take;
  assign s_axis_tready = enable && first_fold;

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      sf <= '0;
      nf <= '0;
      address <= '0;
    end else if (advance) begin
      sf <= last_sf ? '0 : sf + 1'b1;
      if (last_sf) nf <= last_nf ? '0 : nf + 1'b1;
      address <= last_sf && last_nf ? '0 : address + 1'b1;
    end
  end

  (* ram_style = RAM_STYLE *) logic [ROW_BITS-1:0] weights[ROWS];
  if (WEIGHT_FILE != "") begin : gen_weight_file
    initial $readmemh(WEIGHT_FILE, weights);
  end
  logic [ROW_BITS-1:0] weight_row;
  always_ff @(posedge clk) begin
    if (write_row) weights[row] <= row_data;
    if (advance) weight_row <= weights[address];
  end

  logic [BEAT_BITS-1:0] activations;
  if (NF > 1) begin : gen_buffer
    logic [BEAT_BITS-1:0] vector[SF];
    logic [BEAT_BITS-1:0] from_stream, from_buffer;
    logic replay;
    always_ff @(posedge clk) begin
      if (advance) begin
        if (first_fold) vector[sf] <= s_axis_tdata;
        from_buffer <= vector[sf];
        from_stream <= s_axis_tdata;
        replay <= !first_fold;
      end
    end
    assign activations = replay ? from_buffer : from_stream;
  end else begin : gen_no_buffer
    always_ff @(posedge clk) if (advance) activations <= s_axis_tdata;
  end

  logic read_valid, read_first, read_last;
  always_ff @(posedge clk) begin
    if (!rst_n) read_valid <= 1'b0;
    else if (enable) read_valid <= take;
    if (enable) begin
      read_first <= sf == '0;
      read_last <= last_sf;
    end
  end

  logic dot_valid;
  logic [PE*ACC_BITS-1:0] accumulators;
  qlight_dot #(
      .PE(PE),
      .SIMD(SIMD),
      .MW(MW),
      .WEIGHT_BITS(WEIGHT_BITS),
      .WEIGHT_SIGNED(WEIGHT_SIGNED),
      .ACTIVATION_BITS(ACTIVATION_BITS),
      .BIPOLAR(BIPOLAR),
      .ACC_BITS(ACC_BITS),
      .IMPL(IMPL)
  ) u_dot (
      .clk(clk),
      .rst_n(rst_n),
      .enable(enable),
      .in_valid(read_valid),
      .in_first(read_first),
      .in_last(read_last),
      .in_weights(weight_row),
      .in_activations(activations),
      .out_valid(dot_valid),
      .out_data(accumulators)
  );

  if (OUTPUT_BITS > 0) begin : gen_threshold
    qlight_threshold #(
        .PE(PE),
        .NF(NF),
        .ACC_BITS(ACC_BITS),
        .OUTPUT_BITS(OUTPUT_BITS),
        .THRESHOLD_FILE(THRESHOLD_FILE)
    ) u_threshold (
        .clk(clk),
        .rst_n(rst_n),
        .enable(enable),
        .in_valid(dot_valid),
        .in_data(accumulators),
        .out_valid(m_axis_tvalid),
        .out_data(m_axis_tdata),
        .cfg_start(weights_start),
        .cfg_valid(weights_valid),
        .cfg_data(weights_data),
        .cfg_start_o(cfg_start_o),
        .cfg_valid_o(cfg_valid_o),
        .cfg_data_o(cfg_data_o)
    );
  end else begin : gen_raw
    assign m_axis_tvalid = dot_valid;
    assign m_axis_tdata = accumulators;
    assign cfg_start_o = weights_start;
    assign cfg_valid_o = weights_valid;
    assign cfg_data_o = weights_data;
  end
endmodule
