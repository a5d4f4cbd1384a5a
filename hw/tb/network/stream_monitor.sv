// Watches a stream inside the accelerator: counts its beats since reset, and notes for good where an offered beat was changed or withdrawn.
module stream_monitor #(
    parameter int WIDTH = 8
) (
    input  logic             clk,
    input  logic             rst_n,
    input  logic [WIDTH-1:0] tdata,
    input  logic             tvalid,
    input  logic             tready,
    output logic [     31:0] beats,
    output logic             broken
);
  logic waiting;
  logic [WIDTH-1:0] held;

  initial broken = 1'b0;

  always_ff @(posedge clk) begin
    held <= tdata;
    waiting <= rst_n && tvalid && !tready;
    if (rst_n && waiting && !(tvalid && tdata == held)) broken <= 1'b1;
    if (!rst_n) beats <= '0;
    else if (tvalid && tready) beats <= beats + 1'b1;
  end
endmodule
