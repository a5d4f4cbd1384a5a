// Sliding-window generator, stride 1: a feature map in, the kernel window of every output pixel out.
//
// In: HEIGHT x WIDTH x CHANNELS codes, channel fastest, LANES codes a beat. Out: for every output pixel, row by row, the window
// in the order (kernel row, kernel column, channel fold). Places outside of the map hold PAD_CODE.
//
// The last rows lie in a circular buffer addressed by the running number of the beat, over frames, so the next rows and the
// next frame are written while windows are read. All state of the reader moves by one of five constants a beat.
// The padding at the start of a frame waits for the frame's first beat, so an idle generator has nothing under way.
module qlight_swg #(
    parameter int BITS = 8,
    parameter int LANES = 1,
    parameter int CHANNELS = 1,
    parameter int HEIGHT = 4,
    parameter int WIDTH = 4,
    parameter int KERNEL_H = 3,
    parameter int KERNEL_W = 3,
    parameter int PAD_TOP = 1,
    parameter int PAD_BOTTOM = 1,
    parameter int PAD_LEFT = 1,
    parameter int PAD_RIGHT = 1,
    parameter int PAD_CODE = 0
) (
    input  logic                  clk,
    input  logic                  rst_n,
    input  logic [LANES*BITS-1:0] s_axis_tdata,
    input  logic                  s_axis_tvalid,
    output logic                  s_axis_tready,
    output logic [LANES*BITS-1:0] m_axis_tdata,
    output logic                  m_axis_tvalid,
    input  logic                  m_axis_tready
);
  if (BITS < 1 || BITS > 31) begin : gen_error_1
    $error("qlight_swg: BITS must be from 1 to 31.");
  end
  if (LANES < 1 || CHANNELS < 1 || HEIGHT < 1 || WIDTH < 1 || KERNEL_H < 1 || KERNEL_W < 1) begin : gen_error_2
    $error("qlight_swg: LANES, CHANNELS, HEIGHT, WIDTH, KERNEL_H and KERNEL_W must be at least 1.");
  end
  if (CHANNELS % LANES != 0) begin : gen_error_3
    $error("qlight_swg: CHANNELS must be a multiple of LANES.");
  end
  if (PAD_TOP < 0 || PAD_BOTTOM < 0 || PAD_LEFT < 0 || PAD_RIGHT < 0) begin : gen_error_4
    $error("qlight_swg: a padding must not be negative.");
  end
  if (PAD_TOP >= KERNEL_H || PAD_BOTTOM >= KERNEL_H || PAD_LEFT >= KERNEL_W || PAD_RIGHT >= KERNEL_W) begin : gen_error_5
    $error("qlight_swg: each padding must be less than the kernel along its axis.");
  end
  if (HEIGHT + PAD_TOP + PAD_BOTTOM < KERNEL_H || WIDTH + PAD_LEFT + PAD_RIGHT < KERNEL_W) begin : gen_error_6
    $error("qlight_swg: the kernel must fit the padded input.");
  end
  if (PAD_CODE < 0 || (PAD_CODE >> BITS) != 0) begin : gen_error_7
    $error("qlight_swg: PAD_CODE must be a code of BITS bits.");
  end

  function automatic int largest(input int a, input int b);
    return a > b ? a : b;
  endfunction
  function automatic int modulo(input int a, input int b);
    return ((a % b) + b) % b;
  endfunction
  function automatic int bits_of(input int values);  // of a counter over so many values
    return values > 1 ? $clog2(values) : 1;
  endfunction

  localparam int FOLDS = CHANNELS / LANES;
  localparam int OUT_H = HEIGHT + PAD_TOP + PAD_BOTTOM - KERNEL_H + 1;
  localparam int OUT_W = WIDTH + PAD_LEFT + PAD_RIGHT - KERNEL_W + 1;
  localparam int CORNER = (PAD_TOP * WIDTH + PAD_LEFT) * FOLDS;  // from a first window's corner to its frame's first beat

  // Size: while a window is read, the pixels up to the end of the next one must fit, be it in the same row, in the
  // next row or in the next frame. Then the reader never waits for a writer that is always given data.
  localparam int SPAN_ROW = (KERNEL_H - 1) * WIDTH + largest(KERNEL_W + 1, 2 * KERNEL_W - PAD_LEFT - PAD_RIGHT);
  localparam int SPAN_FRAME = (2 * KERNEL_H - 2 - PAD_TOP - PAD_BOTTOM) * WIDTH + 2 * KERNEL_W - PAD_LEFT - PAD_RIGHT;
  localparam int WORDS = largest(SPAN_ROW, SPAN_FRAME) * FOLDS;

  // Steps of the reader, in beats of the input: to the next beat of a kernel row, kernel row, pixel, row, frame.
  localparam int STEP_KERNEL_ROW = (WIDTH - KERNEL_W) * FOLDS + 1;
  localparam int STEP_PIXEL = (1 - (KERNEL_H - 1) * WIDTH - KERNEL_W) * FOLDS + 1;
  localparam int STEP_ROW = STEP_PIXEL + (WIDTH - OUT_W) * FOLDS;
  localparam int STEP_FRAME = STEP_ROW + (HEIGHT - OUT_H) * WIDTH * FOLDS;

  // Room that is given back after a pixel: everything before the next window's first pixel inside the map.
  localparam int LAST_COLUMN = largest(OUT_W - 1 - PAD_LEFT, 0);
  localparam int FREE_PIXEL = FOLDS;
  localparam int FREE_ROW = (WIDTH - LAST_COLUMN) * FOLDS;
  localparam int FREE_FRAME = (HEIGHT * WIDTH - (OUT_H > PAD_TOP ? (OUT_H - 1 - PAD_TOP) * WIDTH + LAST_COLUMN : 0)) * FOLDS;

  localparam int ADDRESS_BITS = bits_of(WORDS);
  localparam int ROOM_BITS = $clog2(WORDS + 1);
  localparam int AHEAD_BITS = $clog2(WORDS + (2 * KERNEL_H + 1) * (WIDTH + KERNEL_W) * FOLDS) + 2;
  localparam int FOLD_BITS = bits_of(FOLDS);
  localparam int KX_BITS = bits_of(KERNEL_W);
  localparam int KY_BITS = bits_of(KERNEL_H);
  localparam int X_BITS = $clog2(OUT_W + KERNEL_W);
  localparam int Y_BITS = $clog2(OUT_H + KERNEL_H);

  logic [LANES*BITS-1:0] memory[WORDS];
  logic [LANES*BITS-1:0] read_data;
  logic read_padding;

  // Writer.
  logic [ADDRESS_BITS-1:0] write_address;
  logic [ROOM_BITS-1:0] room;
  logic write;
  assign s_axis_tready = room != '0;
  assign write = s_axis_tvalid && s_axis_tready;

  // Reader: place in the frame, address, and how many beats from this one on are written (negative: it is yet to come).
  logic [FOLD_BITS-1:0] fold;
  logic [KX_BITS-1:0] kx;
  logic [KY_BITS-1:0] ky;
  logic [X_BITS-1:0] x, column;  // column and row count from the padding's start
  logic [Y_BITS-1:0] y, row;
  logic [ADDRESS_BITS-1:0] read_address;
  logic signed [AHEAD_BITS-1:0] ahead;

  logic last_fold, last_kx, last_ky, last_x, last_y, first, padding, enable, present, read;
  assign last_fold = fold == FOLD_BITS'(FOLDS - 1);
  assign last_kx = kx == KX_BITS'(KERNEL_W - 1);
  assign last_ky = ky == KY_BITS'(KERNEL_H - 1);
  assign last_x = x == X_BITS'(OUT_W - 1);
  assign last_y = y == Y_BITS'(OUT_H - 1);
  assign first = fold == '0 && kx == '0 && ky == '0 && x == '0 && y == '0;
  assign column = x + X_BITS'(kx);
  assign row = y + Y_BITS'(ky);

  // Compared as integers: without padding a bound is 0, and never fails.
  logic signed [31:0] column_in, row_in, x_in, y_in;
  assign column_in = 32'(column) - PAD_LEFT;
  assign row_in = 32'(row) - PAD_TOP;
  assign x_in = 32'(x) - PAD_LEFT;
  assign y_in = 32'(y) - PAD_TOP;
  assign padding = column_in < 0 || column_in >= WIDTH || row_in < 0 || row_in >= HEIGHT;

  assign enable = !m_axis_tvalid || m_axis_tready;
  assign present = first ? ahead > AHEAD_BITS'(CORNER) : padding || ahead > 0;
  assign read = enable && present;

  logic [ADDRESS_BITS:0] step_address, moved_address;
  logic signed [AHEAD_BITS-1:0] step;
  logic [ROOM_BITS-1:0] freed;
  always_comb begin
    step = AHEAD_BITS'(1);
    step_address = (ADDRESS_BITS + 1)'(1 % WORDS);
    freed = '0;
    if (last_fold && last_kx) begin
      if (!last_ky) begin
        step = AHEAD_BITS'(STEP_KERNEL_ROW);
        step_address = (ADDRESS_BITS + 1)'(modulo(STEP_KERNEL_ROW, WORDS));
      end else if (!last_x) begin
        step = AHEAD_BITS'(STEP_PIXEL);
        step_address = (ADDRESS_BITS + 1)'(modulo(STEP_PIXEL, WORDS));
        if (y_in >= 0 && x_in >= 0) freed = ROOM_BITS'(FREE_PIXEL);
      end else if (!last_y) begin
        step = AHEAD_BITS'(STEP_ROW);
        step_address = (ADDRESS_BITS + 1)'(modulo(STEP_ROW, WORDS));
        if (y_in >= 0) freed = ROOM_BITS'(FREE_ROW);
      end else begin
        step = AHEAD_BITS'(STEP_FRAME);
        step_address = (ADDRESS_BITS + 1)'(modulo(STEP_FRAME, WORDS));
        freed = ROOM_BITS'(FREE_FRAME);
      end
    end
    moved_address = (ADDRESS_BITS + 1)'(read_address) + step_address;
    if (moved_address >= (ADDRESS_BITS + 1)'(WORDS)) moved_address = moved_address - (ADDRESS_BITS + 1)'(WORDS);
  end

  always_ff @(posedge clk) begin
    if (write) memory[write_address] <= s_axis_tdata;
    if (read) begin
      read_data <= memory[read_address];
      read_padding <= padding;
    end
    if (!rst_n) begin
      write_address <= '0;
      room <= ROOM_BITS'(WORDS);
      fold <= '0;
      kx <= '0;
      ky <= '0;
      x <= '0;
      y <= '0;
      read_address <= ADDRESS_BITS'(modulo(-CORNER, WORDS));
      ahead <= AHEAD_BITS'(CORNER);
      m_axis_tvalid <= 1'b0;
    end else begin
      if (enable) m_axis_tvalid <= present;
      if (write) write_address <= write_address == ADDRESS_BITS'(WORDS - 1) ? '0 : write_address + 1'b1;
      room <= room - ROOM_BITS'(write) + (read ? freed : '0);
      ahead <= ahead + AHEAD_BITS'(write) - (read ? step : '0);
      if (read) begin
        read_address <= moved_address[ADDRESS_BITS-1:0];
        fold <= last_fold ? '0 : fold + 1'b1;
        if (last_fold) begin
          kx <= last_kx ? '0 : kx + 1'b1;
          if (last_kx) begin
            ky <= last_ky ? '0 : ky + 1'b1;
            if (last_ky) begin
              x <= last_x ? '0 : x + 1'b1;
              if (last_x) y <= last_y ? '0 : y + 1'b1;
            end
          end
        end
      end
    end
  end

  assign m_axis_tdata = read_padding ? {LANES{BITS'(PAD_CODE)}} : read_data;
endmodule
