// Max pooling, kernel and stride KERNEL; a rest at the right and lower edge is dropped.
//
// In: HEIGHT x WIDTH x CHANNELS codes (or two's complement accumulators, SIGNED = 1), channel fastest, LANES a beat. Out: the pooled map.
// Where a channel's direction bit is 1 the smallest is kept: pooling after thresholds with d = -1. Without DIRECTION_FILE there are
// no directions and no parameter words. A result leaves one cycle after the last beat of its window was taken.
module qlight_pool #(
    parameter int BITS = 8,
    parameter int LANES = 1,
    parameter int CHANNELS = 1,
    parameter int HEIGHT = 4,
    parameter int WIDTH = 4,
    parameter int KERNEL = 2,
    parameter int SIGNED = 0,
    parameter DIRECTION_FILE = ""
) (
    input  logic                  clk,
    input  logic                  rst_n,
    input  logic [LANES*BITS-1:0] s_axis_tdata,
    input  logic                  s_axis_tvalid,
    output logic                  s_axis_tready,
    output logic [LANES*BITS-1:0] m_axis_tdata,
    output logic                  m_axis_tvalid,
    input  logic                  m_axis_tready,
    input  logic                  cfg_start,
    input  logic                  cfg_valid,
    input  logic [          31:0] cfg_data,
    output logic                  cfg_start_o,
    output logic                  cfg_valid_o,
    output logic [          31:0] cfg_data_o
);
  if (BITS < 1 || LANES < 1 || CHANNELS < 1 || KERNEL < 1) begin : gen_error_1
    $error("qlight_pool: BITS, LANES, CHANNELS and KERNEL must be at least 1.");
  end
  if (CHANNELS % LANES != 0) begin : gen_error_2
    $error("qlight_pool: CHANNELS must be a multiple of LANES.");
  end
  if (HEIGHT < KERNEL || WIDTH < KERNEL) begin : gen_error_3
    $error("qlight_pool: the kernel must fit the input.");
  end
  if (SIGNED < 0 || SIGNED > 1) begin : gen_error_4
    $error("qlight_pool: SIGNED must be 0 or 1.");
  end

  localparam int FOLDS = CHANNELS / LANES;
  localparam int OUT_W = WIDTH / KERNEL;
  localparam int OUT_H = HEIGHT / KERNEL;
  localparam int WORDS = OUT_W * FOLDS;
  localparam int ADDRESS_BITS = WORDS > 1 ? $clog2(WORDS) : 1;
  localparam int FOLD_BITS = FOLDS > 1 ? $clog2(FOLDS) : 1;
  localparam int K_BITS = KERNEL > 1 ? $clog2(KERNEL) : 1;
  localparam int X_BITS = $clog2(OUT_W + 1);
  localparam int Y_BITS = $clog2(OUT_H + 1);

  // ---- Place in the frame: window x, y (OUT_W, OUT_H: the rest that is dropped), place kx, ky in the window, fold.
  logic [FOLD_BITS-1:0] fold;
  logic [K_BITS-1:0] kx, ky;
  logic [X_BITS-1:0] x;
  logic [Y_BITS-1:0] y;
  logic [ADDRESS_BITS-1:0] address, window_address;  // of the fold, of the window's fold 0
  logic take, in_map, last_fold, last_kx, last_ky, last_column, last_row, first, last;

  localparam int REST_W = WIDTH - OUT_W * KERNEL;  // columns dropped
  localparam int REST_H = HEIGHT - OUT_H * KERNEL;
  assign s_axis_tready = !m_axis_tvalid || m_axis_tready;
  assign take = s_axis_tvalid && s_axis_tready;
  assign last_fold = fold == FOLD_BITS'(FOLDS - 1);
  assign last_kx = kx == K_BITS'(KERNEL - 1);
  assign last_ky = ky == K_BITS'(KERNEL - 1);
  assign last_column = REST_W == 0 ? x == X_BITS'(OUT_W - 1) && last_kx : x == X_BITS'(OUT_W) && kx == K_BITS'(REST_W - 1);
  assign last_row = REST_H == 0 ? y == Y_BITS'(OUT_H - 1) && last_ky : y == Y_BITS'(OUT_H) && ky == K_BITS'(REST_H - 1);
  assign in_map = x != X_BITS'(OUT_W) && y != Y_BITS'(OUT_H);
  assign first = kx == '0 && ky == '0;
  assign last = in_map && last_kx && last_ky;

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      fold <= '0;
      kx <= '0;
      ky <= '0;
      x <= '0;
      y <= '0;
      address <= '0;
      window_address <= '0;
      m_axis_tvalid <= 1'b0;
    end else begin
      if (s_axis_tready) m_axis_tvalid <= take && last;
      if (take) begin
        fold <= last_fold ? '0 : fold + 1'b1;
        address <= address + 1'b1;
        if (last_fold) begin
          kx <= last_kx || last_column ? '0 : kx + 1'b1;
          address <= window_address;
          if (last_column) begin
            x <= '0;
            address <= '0;
            window_address <= '0;
            ky <= last_ky || last_row ? '0 : ky + 1'b1;
            if (last_row) y <= '0;
            else if (last_ky) y <= y + 1'b1;
          end else if (last_kx) begin
            x <= x + 1'b1;
            address <= address + 1'b1;
            window_address <= address + 1'b1;
          end
        end
      end
    end
  end

  // ---- The windows of one output row, each updated in the cycle in which a beat of it arrives.
  (* ram_style = "distributed" *) logic [LANES*BITS-1:0] memory[WORDS];
  localparam logic [BITS-1:0] FLIP = BITS'(SIGNED) << (BITS - 1);  // orders two's complement like unsigned numbers
  logic [LANES*BITS-1:0] so_far, updated;
  logic [LANES-1:0] smallest;
  assign so_far = memory[address];
  for (genvar i = 0; i < LANES; i++) begin : gen_lane
    logic [BITS-1:0] old_code, new_code;
    logic larger, replace;
    assign old_code = so_far[i*BITS+:BITS];
    assign new_code = s_axis_tdata[i*BITS+:BITS];
    assign larger = (new_code ^ FLIP) > (old_code ^ FLIP);
    assign replace = first || (larger != smallest[i]);
    assign updated[i*BITS+:BITS] = replace ? new_code : old_code;
  end
  always_ff @(posedge clk) begin
    if (take && in_map) memory[address] <= updated;
    if (take && last) m_axis_tdata <= updated;
  end

  // ---- Directions and the parameter chain.
  if (DIRECTION_FILE != "") begin : gen_directions
    localparam int CFG_WORDS = (CHANNELS + 31) / 32;
    localparam int WORD_BITS = CFG_WORDS > 1 ? $clog2(CFG_WORDS) : 1;
    logic [CHANNELS-1:0] directions[1];
    initial $readmemh(DIRECTION_FILE, directions);
    logic loading;
    logic [WORD_BITS-1:0] word;
    always_ff @(posedge clk) begin
      for (int c = 0; c < CHANNELS; c++)
        if (loading && cfg_valid && !cfg_start && word == WORD_BITS'(c / 32)) directions[0][c] <= cfg_data[c%32];
      cfg_data_o <= cfg_data;
      if (!rst_n) begin
        loading <= 1'b0;
        word <= '0;
        cfg_start_o <= 1'b0;
        cfg_valid_o <= 1'b0;
      end else begin
        cfg_start_o <= cfg_start;
        cfg_valid_o <= cfg_valid && !cfg_start && !loading;
        if (cfg_start) begin
          loading <= 1'b1;
          word <= '0;
        end else if (loading && cfg_valid) begin
          word <= word + 1'b1;
          if (word == WORD_BITS'(CFG_WORDS - 1)) loading <= 1'b0;
        end
      end
    end
    assign smallest = directions[0][32'(fold)*LANES+:LANES];
  end else begin : gen_no_directions
    assign smallest = '0;
    always_ff @(posedge clk) begin
      cfg_data_o <= cfg_data;
      cfg_start_o <= cfg_start && rst_n;
      cfg_valid_o <= cfg_valid && !cfg_start && rst_n;
    end
  end
endmodule
