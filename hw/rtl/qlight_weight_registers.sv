// Registers of the weight readers, behind those of qlight_control, whose byte offsets from 80 on come here: which readers there are, where
// their weights lie, whether they run, and what they counted.
//
// 80 STREAMS, 84 SELECT (which reader 8C and up are of), 88 GO (bit 0; bit 1, read only: running), 8C/90 BASE lo/hi (writable), 94 bytes of
// a word, 98 words an image, 9C/A0 WORDS, A4/A8 BUSY, AC/B0 STARVED lo/hi (reading lo keeps the upper part for hi), B4 ERROR.
//
// Readers start once GO is written, and when `allowed` (no reset, no load) comes back; they stop while it is not, or when GO is cleared and
// no image is in flight. They start at their bases: what was fetched before is dropped, in the readers and behind them (`run` low).
module qlight_weight_registers #(
    parameter int STREAMS = 1,
    parameter int ADDRESS_BITS = 40,
    parameter logic [STREAMS-1:0][31:0] WORD_BYTES = '0,
    parameter logic [STREAMS-1:0][31:0] IMAGE_WORDS = '0
) (
    input  logic                                 clk,
    input  logic                                 rst_n,
    // From qlight_control: a register number is a byte offset over 4.
    input  logic                                 write,
    input  logic [ 5:0]                          write_word,
    input  logic [31:0]                          write_data,
    input  logic                                 read,
    input  logic [ 5:0]                          read_word,
    output logic [31:0]                          read_data,
    input  logic                                 allowed,
    input  logic                                 idle,
    // To and from the readers.
    output logic                                 run,
    output logic [STREAMS-1:0][ADDRESS_BITS-1:0] base,
    input  logic [STREAMS-1:0][            47:0] words,
    input  logic [STREAMS-1:0][            47:0] busy_cycles,
    input  logic [STREAMS-1:0][            47:0] starved_cycles,
    input  logic [STREAMS-1:0]                   error
);
  if (STREAMS < 1 || STREAMS > 64) begin : gen_error_1
    $error("qlight_weight_registers: STREAMS must be from 1 to 64.");
  end
  if (ADDRESS_BITS < 33 || ADDRESS_BITS > 64) begin : gen_error_2
    $error("qlight_weight_registers: ADDRESS_BITS must be from 33 to 64.");
  end

  localparam int SELECT_BITS = STREAMS > 1 ? $clog2(STREAMS) : 1;
  logic go, running;
  logic [SELECT_BITS-1:0] selected;
  assign run = allowed && running;

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      go <= 1'b0;
      running <= 1'b0;
      selected <= '0;
      base <= '0;
    end else begin
      running <= go || (running && !idle);
      if (write) begin
        case (write_word)
          6'h21: if (write_data < STREAMS) selected <= SELECT_BITS'(write_data);
          6'h22: go <= write_data[0];
          6'h23: base[selected][31:0] <= write_data;
          6'h24: base[selected][ADDRESS_BITS-1:32] <= write_data[ADDRESS_BITS-33:0];
          default: ;
        endcase
      end
    end
  end

  logic [15:0] kept;
  always_ff @(posedge clk) begin
    if (read) begin
      case (read_word)
        6'h27: kept <= words[selected][47:32];
        6'h29: kept <= busy_cycles[selected][47:32];
        6'h2B: kept <= starved_cycles[selected][47:32];
        default: ;
      endcase
    end
  end

  always_comb begin
    case (read_word)
      6'h20: read_data = STREAMS;
      6'h21: read_data = 32'(selected);
      6'h22: read_data = {30'd0, running, go};
      6'h23: read_data = base[selected][31:0];
      6'h24: read_data = 32'(base[selected][ADDRESS_BITS-1:32]);
      6'h25: read_data = WORD_BYTES[selected];
      6'h26: read_data = IMAGE_WORDS[selected];
      6'h27: read_data = words[selected][31:0];
      6'h29: read_data = busy_cycles[selected][31:0];
      6'h2B: read_data = starved_cycles[selected][31:0];
      6'h28, 6'h2A, 6'h2C: read_data = 32'(kept);
      6'h2D: read_data = 32'(error[selected]);
      default: read_data = '0;
    endcase
  end
endmodule
