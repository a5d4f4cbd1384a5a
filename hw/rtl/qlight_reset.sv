// A reset from another clock, or none: it begins at once, and ends STAGES edges of `clk` after `arst_n` has.
module qlight_reset #(
    parameter int STAGES = 3
) (
    input  logic clk,
    input  logic arst_n,
    output logic rst_n
);
  if (STAGES < 2) begin : gen_error_1
    $error("qlight_reset: STAGES must be at least 2.");
  end
  (* ASYNC_REG = "TRUE" *) logic [STAGES-1:0] stages;
  initial stages = '0;
  assign rst_n = stages[STAGES-1];
  always_ff @(posedge clk or negedge arst_n) begin
    if (!arst_n) stages <= '0;
    else stages <= {stages[STAGES-2:0], 1'b1};
  end
endmodule
