// Requantization by an affine function: code = clip((M acc + 2^17 B) >>> SHIFT, 0, 2^OUTPUT_BITS - 1), M and B of the accumulator's channel.
//
// It stands in place of qlight_threshold behind an MVTU of raw accumulators, where the 2^OUTPUT_BITS - 1 thresholds of every channel are at
// even distances but for rounding (qlight.hardware.affine proves that the codes are the same for every accumulator). M has 34 bits, B 38, in
// two's complement, and SHIFT is ACC_BITS + 22 - OUTPUT_BITS: widths of the geometry, not of a network.
//
// In: LANES accumulators a beat. Row r of the memories has the channels r LANES + lane; GROUP rows come REPEAT times, then the next GROUP, up
// to ROWS. A lane has a memory of ROWS words {B, M} of 72 bits and two multipliers of ACC_BITS x 18 bits signed: by the upper 17 bits of M,
// and by the lower 17. (acc M) >>> 17 is the first product plus the second without its lower 17 bits, exactly; B is added to that.
//
// Six stages, each of which moves on when the one before it in the stream has: a bubble does not stop what is behind it. So the cell holds
// six beats, and takes one while it gives one. Memory file: AFFINE_FILE, lane, ".mem".
module qlight_affine #(
    parameter int LANES = 1,
    parameter int ROWS = 1,
    parameter int GROUP = ROWS,
    parameter int REPEAT = 1,
    parameter int ACC_BITS = 8,
    parameter int OUTPUT_BITS = 1,
    parameter AFFINE_FILE = ""  // what the names of its files begin with; "": no files
) (
    input  logic                         clk,
    input  logic                         rst_n,
    input  logic [   LANES*ACC_BITS-1:0] s_axis_tdata,
    input  logic                         s_axis_tvalid,
    output logic                         s_axis_tready,
    output logic [LANES*OUTPUT_BITS-1:0] m_axis_tdata,
    output logic                         m_axis_tvalid,
    input  logic                         m_axis_tready,
    input  logic                         cfg_start,
    input  logic                         cfg_valid,
    input  logic [                 31:0] cfg_data,
    output logic                         cfg_start_o,
    output logic                         cfg_valid_o,
    output logic [                 31:0] cfg_data_o
);
  if (LANES < 1 || ROWS < 1 || GROUP < 1 || REPEAT < 1) begin : gen_error_1
    $error("qlight_affine: LANES, ROWS, GROUP and REPEAT must be at least 1.");
  end
  if (ROWS % GROUP != 0) begin : gen_error_2
    $error("qlight_affine: ROWS must be a multiple of GROUP.");
  end
  if (OUTPUT_BITS < 1 || OUTPUT_BITS > 8) begin : gen_error_3
    $error("qlight_affine: OUTPUT_BITS must be from 1 to 8.");
  end
  if (ACC_BITS < 3 || ACC_BITS > 32) begin : gen_error_4
    $error("qlight_affine: ACC_BITS must be from 3 to 32.");
  end

  localparam int LOW_BITS = 17, HIGH_BITS = 17, OFFSET_BITS = 38;
  localparam int WORD_BITS = LOW_BITS + HIGH_BITS + OFFSET_BITS;  // three words of the parameter chain
  localparam int SHIFT = ACC_BITS + 22 - OUTPUT_BITS - LOW_BITS;  // of the sums, which lack M's lower bits
  localparam int PRODUCT_BITS = ACC_BITS + HIGH_BITS;
  localparam int SUM_BITS = (PRODUCT_BITS > OFFSET_BITS ? PRODUCT_BITS : OFFSET_BITS) + 2;
  localparam int ROW_BITS = ROWS > 1 ? $clog2(ROWS) : 1;
  localparam int LANE_BITS = LANES > 1 ? $clog2(LANES) : 1;
  localparam int STAGES = 6;

  // ---- Parameter chain: row by row, lane by lane, three words, the least significant first.
  logic loading, take_word, write_word;
  logic [1:0] number;
  logic [LANE_BITS-1:0] load_lane;
  logic [ROW_BITS-1:0] load_row;
  logic [63:0] kept;  // words shift in from the top
  logic [WORD_BITS-1:0] written;

  assign take_word = loading && cfg_valid && !cfg_start;
  assign write_word = take_word && number == 2'd2;
  assign written = WORD_BITS'({cfg_data, kept});

  always_ff @(posedge clk) begin
    cfg_data_o <= cfg_data;
    if (take_word) kept <= {cfg_data, kept[63:32]};
    if (!rst_n) begin
      loading <= 1'b0;
      cfg_start_o <= 1'b0;
      cfg_valid_o <= 1'b0;
      number <= '0;
      load_lane <= '0;
      load_row <= '0;
    end else begin
      cfg_start_o <= cfg_start;
      cfg_valid_o <= cfg_valid && !cfg_start && !loading;
      if (cfg_start) begin
        loading <= 1'b1;
        number <= '0;
        load_lane <= '0;
        load_row <= '0;
      end else if (take_word) begin
        number <= write_word ? '0 : number + 1'b1;
        if (write_word) load_lane <= load_lane == LANE_BITS'(LANES - 1) ? '0 : load_lane + 1'b1;
        if (write_word && load_lane == LANE_BITS'(LANES - 1)) begin
          load_row <= load_row + 1'b1;
          if (load_row == ROW_BITS'(ROWS - 1)) loading <= 1'b0;
        end
      end
    end
  end

  // ---- Handshakes: a stage moves on where it is empty or the next one moves on.
  logic [STAGES-1:0] valid, moves;
  assign s_axis_tready = moves[0];
  assign m_axis_tvalid = valid[STAGES-1];
  for (genvar i = 0; i < STAGES; i++) begin : gen_moves
    assign moves[i] = m_axis_tready || !(&valid[STAGES-1:i]);
  end
  always_ff @(posedge clk) begin
    for (int i = 0; i < STAGES; i++) begin
      if (!rst_n) valid[i] <= 1'b0;
      else if (moves[i]) valid[i] <= i == 0 ? s_axis_tvalid : valid[i>0?i-1 : 0];
    end
  end

  // ---- Whose accumulators come.
  logic take, last_place, last_time;
  logic [ROW_BITS-1:0] row;
  assign take = s_axis_tvalid && s_axis_tready;
  if (GROUP > 1) begin : gen_place
    localparam int PLACE_BITS = $clog2(GROUP);
    logic [PLACE_BITS-1:0] place;
    assign last_place = place == PLACE_BITS'(GROUP - 1);
    always_ff @(posedge clk) begin
      if (!rst_n) place <= '0;
      else if (take) place <= last_place ? '0 : place + 1'b1;
    end
  end else begin : gen_no_place
    assign last_place = 1'b1;
  end
  if (REPEAT > 1) begin : gen_time
    localparam int TIME_BITS = $clog2(REPEAT);
    logic [TIME_BITS-1:0] times;
    assign last_time = times == TIME_BITS'(REPEAT - 1);
    always_ff @(posedge clk) begin
      if (!rst_n) times <= '0;
      else if (take && last_place) times <= last_time ? '0 : times + 1'b1;
    end
  end else begin : gen_no_time
    assign last_time = 1'b1;
  end
  always_ff @(posedge clk) begin
    if (!rst_n) row <= '0;
    else if (take) begin
      if (last_place && !last_time) row <= row - ROW_BITS'(GROUP - 1);
      else row <= row == ROW_BITS'(ROWS - 1) ? '0 : row + 1'b1;
    end
  end

  // ---- Lanes.
  for (genvar i = 0; i < LANES; i++) begin : gen_lane
    logic [WORD_BITS-1:0] parameters[ROWS];
    if (AFFINE_FILE != "") begin : gen_file
      initial $readmemh($sformatf("%s%0d.mem", AFFINE_FILE, i), parameters);
    end
    logic [WORD_BITS-1:0] word, used;
    logic signed [ACC_BITS-1:0] acc, factor;
    logic signed [HIGH_BITS-1:0] high;
    logic signed [LOW_BITS:0] low;
    logic signed [PRODUCT_BITS-1:0] high_product, low_product;
    logic signed [PRODUCT_BITS:0] product;
    logic signed [OFFSET_BITS-1:0] offset_2, offset_3;
    logic signed [SUM_BITS-1:0] sum, scaled;
    logic [OUTPUT_BITS-1:0] code;
    assign high = used[LOW_BITS+:HIGH_BITS];
    assign low = {1'b0, used[LOW_BITS-1:0]};
    assign scaled = sum >>> SHIFT;
    assign m_axis_tdata[i*OUTPUT_BITS+:OUTPUT_BITS] = code;
    always_ff @(posedge clk) begin
      if (write_word && load_lane == LANE_BITS'(i)) parameters[load_row] <= written;
      if (take) begin
        word <= parameters[row];
        acc <= s_axis_tdata[i*ACC_BITS+:ACC_BITS];
      end
      if (moves[1]) begin
        used <= word;
        factor <= acc;
      end
      if (moves[2]) begin
        high_product <= factor * high;
        low_product <= factor * low;
        offset_2 <= used[WORD_BITS-1-:OFFSET_BITS];
      end
      if (moves[3]) begin
        product <= (PRODUCT_BITS + 1)'(high_product) + (PRODUCT_BITS + 1)'(low_product >>> LOW_BITS);
        offset_3 <= offset_2;
      end
      if (moves[4]) sum <= SUM_BITS'(product) + SUM_BITS'(offset_3);
      if (moves[5]) begin
        if (scaled < 0) code <= '0;
        else code <= |scaled[SUM_BITS-1:OUTPUT_BITS] ? '1 : scaled[OUTPUT_BITS-1:0];
      end
    end
  end
endmodule
