// FIFO of DEPTH words in all: DEPTH - 1 in a memory (LUT or block RAM, the tool chooses) and one at the output.
//
// A word is visible at the output one cycle after it was taken. Both handshakes come from registers only, so a FIFO of
// 2 cuts the ready path between two units and still moves a word every cycle.
module qlight_fifo #(
    parameter int WIDTH = 8,
    parameter int DEPTH = 2
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
  if (WIDTH < 1) begin : gen_error_1
    $error("qlight_fifo: WIDTH must be at least 1.");
  end
  if (DEPTH < 2) begin : gen_error_2
    $error("qlight_fifo: DEPTH must be at least 2.");
  end

  localparam int WORDS = DEPTH - 1;  // in the memory
  localparam int ADDRESS_BITS = WORDS > 1 ? $clog2(WORDS) : 1;
  localparam int COUNT_BITS = $clog2(WORDS + 1);
  localparam logic [ADDRESS_BITS-1:0] LAST = ADDRESS_BITS'(WORDS - 1);

  logic [WIDTH-1:0] memory[WORDS];
  logic [ADDRESS_BITS-1:0] write_address, read_address;
  logic [COUNT_BITS-1:0] count;  // words in the memory; more than 0 only while the output is valid
  logic [WIDTH-1:0] from_memory, from_input;
  logic direct;  // the output word went past the memory

  logic push, output_free, push_memory, pop_memory;
  assign s_axis_tready = count != COUNT_BITS'(WORDS);
  assign push = s_axis_tvalid && s_axis_tready;
  assign output_free = !m_axis_tvalid || m_axis_tready;
  assign pop_memory = output_free && count != '0;
  assign push_memory = push && !(output_free && count == '0);
  assign m_axis_tdata = direct ? from_input : from_memory;

  always_ff @(posedge clk) begin
    if (push_memory) memory[write_address] <= s_axis_tdata;
    if (pop_memory) from_memory <= memory[read_address];
    if (output_free) begin
      from_input <= s_axis_tdata;
      direct <= count == '0;
    end
    if (!rst_n) begin
      write_address <= '0;
      read_address <= '0;
      count <= '0;
      m_axis_tvalid <= 1'b0;
    end else begin
      if (push_memory) write_address <= write_address == LAST ? '0 : write_address + 1'b1;
      if (pop_memory) read_address <= read_address == LAST ? '0 : read_address + 1'b1;
      if (push_memory && !pop_memory) count <= count + 1'b1;
      if (pop_memory && !push_memory) count <= count - 1'b1;
      if (output_free) m_axis_tvalid <= push || count != '0;
    end
  end
endmodule
