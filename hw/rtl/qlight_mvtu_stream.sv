// Matrix-vector-threshold unit whose weights come from a stream: as qlight_mvtu, but each weight comes once for VECTORS vectors.
//
// In: VECTORS vectors of MW activation codes, SIMD a beat, all of them again for each of the NF = MH / PE folds of the rows (qlight_replay).
// Out: for every fold, for every vector, PE results: a beat. Weights: for every fold its SF = MW / SIMD rows, a row of PE x SIMD weights a
// beat, in the order of use, image after image.
//
// VECTORS > 1: the rows lie in a memory with room for two folds. A row can be used as soon as it has come; the last vector of a fold gives
// the rows' room back one by one, so the next fold comes while this one works. VECTORS = 1: rows are used as they come.
//
// `weights_rst_n` empties the rows' side; it may only be low while no image is under way. `starved`: activations wait for a row.
module qlight_mvtu_stream #(
    parameter int PE = 1,
    parameter int SIMD = 1,
    parameter int MW = 4,
    parameter int MH = 4,
    parameter int VECTORS = 1,
    parameter int WEIGHT_BITS = 1,
    parameter int WEIGHT_SIGNED = 0,  // as qlight_dot has them, to BIPOLAR
    parameter int ACTIVATION_BITS = 1,
    parameter int BIPOLAR = 1,
    parameter int OUTPUT_BITS = 1,  // 0: accumulators
    parameter int ACC_BITS = 8,
    parameter int IMPL = 0,
    // verilator lint_off UNUSEDPARAM
    parameter RAM_STYLE = "auto",  // for the synthesizer only
    // verilator lint_on UNUSEDPARAM
    parameter THRESHOLD_FILE = ""
) (
    input  logic                                                     clk,
    input  logic                                                     rst_n,
    input  logic [                         SIMD*ACTIVATION_BITS-1:0] s_axis_tdata,
    input  logic                                                     s_axis_tvalid,
    output logic                                                     s_axis_tready,
    input  logic                                                     weights_rst_n,
    input  logic [                          PE*SIMD*WEIGHT_BITS-1:0] w_axis_tdata,
    input  logic                                                     w_axis_tvalid,
    output logic                                                     w_axis_tready,
    output logic                                                     starved,
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
  if (PE < 1 || SIMD < 1 || MW < 1 || MH < 1 || VECTORS < 1) begin : gen_error_1
    $error("qlight_mvtu_stream: PE, SIMD, MW, MH and VECTORS must be at least 1.");
  end
  if (MW % SIMD != 0) begin : gen_error_2
    $error("qlight_mvtu_stream: MW must be a multiple of SIMD.");
  end
  if (MH % PE != 0) begin : gen_error_3
    $error("qlight_mvtu_stream: MH must be a multiple of PE.");
  end
  if (OUTPUT_BITS < 0 || OUTPUT_BITS > 8) begin : gen_error_4
    $error("qlight_mvtu_stream: OUTPUT_BITS must be from 0 (accumulators) to 8.");
  end

  localparam int SF = MW / SIMD;
  localparam int NF = MH / PE;
  localparam int ROW_BITS = PE * SIMD * WEIGHT_BITS;
  localparam int BEAT_BITS = SIMD * ACTIVATION_BITS;
  localparam int SF_BITS = SF > 1 ? $clog2(SF) : 1;

  // ---- Loop over the beats of a vector, and the vectors of a fold.
  logic enable, present, take, advance, last_sf;
  logic [SF_BITS-1:0] sf;
  assign enable = !m_axis_tvalid || m_axis_tready;
  assign take = s_axis_tvalid && present;
  assign advance = enable && take;
  assign s_axis_tready = enable && present;
  assign starved = enable && s_axis_tvalid && !present;
  assign last_sf = sf == SF_BITS'(SF - 1);
  always_ff @(posedge clk) begin
    if (!rst_n) sf <= '0;
    else if (advance) sf <= last_sf ? '0 : sf + 1'b1;
  end

  logic [ROW_BITS-1:0] weight_row;
  if (VECTORS > 1) begin : gen_rows
    localparam int WORDS = 2 * SF;
    localparam int ADDRESS_BITS = $clog2(WORDS);
    localparam int ROOM_BITS = $clog2(WORDS + 1);
    localparam int HELD_BITS = $clog2(WORDS + SF);  // rows may come in the place of rows that the last vector has left
    localparam int VECTOR_BITS = $clog2(VECTORS);
    (* ram_style = RAM_STYLE *) logic [ROW_BITS-1:0] rows[WORDS];
    logic [ADDRESS_BITS-1:0] write_address, read_address;
    logic [ROOM_BITS-1:0] room;  // places free
    logic [HELD_BITS-1:0] held;  // rows that have come of this fold and the next ones
    logic [VECTOR_BITS-1:0] vector;
    logic second;  // the fold lies in the upper half
    logic last_vector, write, done;

    assign last_vector = vector == VECTOR_BITS'(VECTORS - 1);
    assign present = held > HELD_BITS'(sf);
    assign w_axis_tready = room != '0;
    assign write = w_axis_tvalid && w_axis_tready;
    assign done = advance && last_vector && last_sf;
    assign read_address = second ? ADDRESS_BITS'(sf) + ADDRESS_BITS'(SF) : ADDRESS_BITS'(sf);
    always_ff @(posedge clk) begin
      if (write) rows[write_address] <= w_axis_tdata;
      if (advance) weight_row <= rows[read_address];
      if (!rst_n) vector <= '0;
      else if (advance && last_sf) vector <= last_vector ? '0 : vector + 1'b1;
      if (!rst_n || !weights_rst_n) begin
        write_address <= '0;
        room <= ROOM_BITS'(WORDS);
        held <= '0;
        second <= 1'b0;
      end else begin
        if (write) write_address <= write_address == ADDRESS_BITS'(WORDS - 1) ? '0 : write_address + 1'b1;
        room <= room - ROOM_BITS'(write) + ROOM_BITS'(advance && last_vector);
        held <= held + HELD_BITS'(write) - (done ? HELD_BITS'(SF) : '0);
        if (done) second <= !second;
      end
    end
  end else begin : gen_row
    logic unused;
    assign unused = weights_rst_n;  // no row is held
    assign present = w_axis_tvalid;
    assign w_axis_tready = enable && s_axis_tvalid;
    always_ff @(posedge clk) if (advance) weight_row <= w_axis_tdata;
  end

  logic [BEAT_BITS-1:0] activations;
  logic read_valid, read_first, read_last;
  always_ff @(posedge clk) begin
    if (advance) activations <= s_axis_tdata;
    if (!rst_n) read_valid <= 1'b0;
    else if (enable) read_valid <= take;
    if (enable) begin
      read_first <= sf == '0;
      read_last <= last_sf;
    end
  end

  // ---- Dot products and thresholds. Weights are not part of the parameter chain.
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
        .REPEAT(VECTORS),
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
        .cfg_start(cfg_start),
        .cfg_valid(cfg_valid),
        .cfg_data(cfg_data),
        .cfg_start_o(cfg_start_o),
        .cfg_valid_o(cfg_valid_o),
        .cfg_data_o(cfg_data_o)
    );
  end else begin : gen_raw
    assign m_axis_tvalid = dot_valid;
    assign m_axis_tdata = accumulators;
    always_ff @(posedge clk) begin
      cfg_start_o <= cfg_start && rst_n;
      cfg_valid_o <= cfg_valid && rst_n;
      cfg_data_o <= cfg_data;
    end
  end
endmodule
