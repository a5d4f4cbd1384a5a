// Replay: every frame of FRAME beats leaves TIMES times in a row.
//
// Two frames fit, so the next one is written while a frame is replayed. A beat is read as soon as it was written, so the first time
// through is not late; the last time through gives back its room beat by beat.
module qlight_replay #(
    parameter int WIDTH = 8,
    parameter int FRAME = 4,
    parameter int TIMES = 2
) (
    input  logic             clk,
    input  logic             rst_n,
    input  logic [WIDTH-1:0] s_axis_tdata,
    input  logic             s_axis_tvalid,
    output logic             s_axis_tready,
    output logic [WIDTH-1:0] m_axis_tdata,
    output logic             m_axis_tvalid,
    input  logic             m_axis_tready
);
  if (WIDTH < 1 || FRAME < 1 || TIMES < 1) begin : gen_error_1
    $error("qlight_replay: WIDTH, FRAME and TIMES must be at least 1.");
  end

  localparam int WORDS = 2 * FRAME;
  localparam int ADDRESS_BITS = FRAME > 0 ? $clog2(WORDS) : 1;
  localparam int COUNT_BITS = $clog2(WORDS + 1);
  localparam int TIME_BITS = TIMES > 1 ? $clog2(TIMES) : 1;
  localparam logic [ADDRESS_BITS-1:0] LAST = ADDRESS_BITS'(WORDS - 1);
  localparam logic [ADDRESS_BITS-1:0] HALF = ADDRESS_BITS'(FRAME);  // where the second frame begins

  logic [WIDTH-1:0] memory[WORDS];
  logic [ADDRESS_BITS-1:0] write_address, read_address;
  logic [COUNT_BITS-1:0] room;  // places free
  logic [COUNT_BITS-1:0] ahead;  // beats written from the one to be read on
  logic [TIME_BITS-1:0] pass;
  logic write, enable, read, last_beat, last_pass;

  assign s_axis_tready = room != '0;
  assign write = s_axis_tvalid && s_axis_tready;
  assign enable = !m_axis_tvalid || m_axis_tready;
  assign read = enable && ahead != '0;
  assign last_beat = read_address == HALF - 1'b1 || read_address == LAST;
  assign last_pass = pass == TIME_BITS'(TIMES - 1);

  always_ff @(posedge clk) begin
    if (write) memory[write_address] <= s_axis_tdata;
    if (read) m_axis_tdata <= memory[read_address];
    if (!rst_n) begin
      write_address <= '0;
      read_address <= '0;
      room <= COUNT_BITS'(WORDS);
      ahead <= '0;
      pass <= '0;
      m_axis_tvalid <= 1'b0;
    end else begin
      if (enable) m_axis_tvalid <= ahead != '0;
      if (write) write_address <= write_address == LAST ? '0 : write_address + 1'b1;
      room <= room - COUNT_BITS'(write) + COUNT_BITS'(read && last_pass);
      ahead <= ahead + COUNT_BITS'(write) - COUNT_BITS'(read) + (read && last_beat && !last_pass ? COUNT_BITS'(FRAME) : '0);
      if (read) begin
        read_address <= read_address == LAST ? '0 : read_address + 1'b1;
        if (last_beat) begin
          pass <= last_pass ? '0 : pass + 1'b1;
          if (!last_pass) read_address <= read_address == LAST ? HALF : '0;
        end
      end
    end
  end
endmodule
