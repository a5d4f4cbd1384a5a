// Thresholds: an accumulator becomes the number of its channel's thresholds that fire, a code of OUTPUT_BITS bits.
//
// T = 2^OUTPUT_BITS - 1 thresholds a channel, in the order in which a growing code passes them: ascending where the direction is 0, which
// fires where acc >= threshold; descending where it is 1, which fires where acc <= threshold. So the code is at least k + 1 if and only if
// threshold k fires, and a binary search finds it: a bit a stage, the most significant first, with one comparator a stage and PE. A stage
// reads its threshold in one cycle and compares in the next, so the code comes 2 OUTPUT_BITS cycles after its accumulator.
//
// In: PE accumulators of ACC_BITS bits a beat, of the channels fold * PE + pe; a fold comes REPEAT times, then the next of NF. Everything
// moves with `enable`. Stage s of a PE has a memory of NF * 2^s words, one for each code whose upper s bits are found: word fold * 2^s +
// these bits. A word is a threshold of ACC_BITS + 1 bits (one that always or never fires lies one beyond the accumulator's range); in stage
// 0 the direction is on top of it. Memory file: THRESHOLD_FILE, pe, "_", stage, ".mem".
module qlight_threshold #(
    parameter int PE = 1,
    parameter int NF = 1,
    parameter int REPEAT = 1,
    parameter int ACC_BITS = 8,
    parameter int OUTPUT_BITS = 1,
    parameter THRESHOLD_FILE = ""  // what the names of its files begin with; "": no files
) (
    input  logic                      clk,
    input  logic                      rst_n,
    input  logic                      enable,
    input  logic                      in_valid,
    input  logic [   PE*ACC_BITS-1:0] in_data,
    output logic                      out_valid,
    output logic [PE*OUTPUT_BITS-1:0] out_data,
    input  logic                      cfg_start,
    input  logic                      cfg_valid,
    input  logic [              31:0] cfg_data,
    output logic                      cfg_start_o,
    output logic                      cfg_valid_o,
    output logic [              31:0] cfg_data_o
);
  if (PE < 1 || NF < 1 || REPEAT < 1) begin : gen_error_1
    $error("qlight_threshold: PE, NF and REPEAT must be at least 1.");
  end
  if (OUTPUT_BITS < 1 || OUTPUT_BITS > 8) begin : gen_error_2
    $error("qlight_threshold: OUTPUT_BITS must be from 1 to 8.");
  end
  if (ACC_BITS < 2 || ACC_BITS > 32) begin : gen_error_3
    $error("qlight_threshold: ACC_BITS must be from 2 to 32.");
  end

  localparam int T_BITS = ACC_BITS + 1;
  localparam int PE_BITS = PE > 1 ? $clog2(PE) : 1;
  localparam int NF_BITS = NF > 1 ? $clog2(NF) : 1;

  // ---- Parameter chain: for every channel its thresholds 1 .. T, then, as number 0, the direction.
  logic loading, take_word, last_word;
  logic [OUTPUT_BITS-1:0] number;
  logic [PE_BITS-1:0] load_pe;
  logic [NF_BITS-1:0] load_fold;
  logic signed [T_BITS-1:0] load_level, middle;  // the middle threshold waits for the direction, with which it is written

  assign take_word = loading && cfg_valid && !cfg_start;
  assign last_word = take_word && number == '0 && load_pe == PE_BITS'(PE - 1);
  assign load_level = T_BITS'($signed(cfg_data));

  always_ff @(posedge clk) begin
    cfg_data_o <= cfg_data;
    if (take_word && number == OUTPUT_BITS'(2 ** (OUTPUT_BITS - 1))) middle <= load_level;
    if (!rst_n) begin
      loading <= 1'b0;
      cfg_start_o <= 1'b0;
      cfg_valid_o <= 1'b0;
      number <= '0;
      load_pe <= '0;
      load_fold <= '0;
    end else begin
      cfg_start_o <= cfg_start;
      cfg_valid_o <= cfg_valid && !cfg_start && !loading;
      if (cfg_start) begin
        loading <= 1'b1;
        number <= OUTPUT_BITS'(1);
        load_pe <= '0;
        load_fold <= '0;
      end else if (take_word) begin
        number <= number + 1'b1;
        if (number == '0) load_pe <= last_word ? '0 : load_pe + 1'b1;
        if (last_word) load_fold <= load_fold + 1'b1;
        if (last_word && load_fold == NF_BITS'(NF - 1)) loading <= 1'b0;
      end
    end
  end

  // ---- Whose accumulators come.
  logic [NF_BITS-1:0] in_fold;
  logic next_fold;
  if (REPEAT > 1) begin : gen_repeat
    localparam int REPEAT_BITS = $clog2(REPEAT);
    logic [REPEAT_BITS-1:0] repeated;
    assign next_fold = enable && in_valid && repeated == REPEAT_BITS'(REPEAT - 1);
    always_ff @(posedge clk) begin
      if (!rst_n || next_fold) repeated <= '0;
      else if (enable && in_valid) repeated <= repeated + 1'b1;
    end
  end else begin : gen_no_repeat
    assign next_fold = enable && in_valid;
  end
  always_ff @(posedge clk) begin
    if (!rst_n) in_fold <= '0;
    else if (next_fold) in_fold <= in_fold == NF_BITS'(NF - 1) ? '0 : in_fold + 1'b1;
  end

  // ---- Stages.
  for (genvar s = 0; s < OUTPUT_BITS; s++) begin : gen_stage
    localparam int WORDS = NF << s;
    localparam int ADDRESS_BITS = WORDS > 1 ? $clog2(WORDS) : 1;
    logic go, read_valid, valid;  // what comes in, what was read, what was compared
    logic [NF_BITS-1:0] fold;
    if (s == 0) begin : gen_in
      assign go = in_valid;
      assign fold = in_fold;
    end else begin : gen_in
      logic [NF_BITS-1:0] read_fold;
      assign go = gen_stage[s-1].valid;
      always_ff @(posedge clk) begin
        if (enable && gen_stage[s-1].go) read_fold <= gen_stage[s-1].fold;
        if (enable && gen_stage[s-1].read_valid) fold <= read_fold;
      end
    end
    always_ff @(posedge clk) begin
      if (!rst_n) begin
        read_valid <= 1'b0;
        valid <= 1'b0;
      end else if (enable) begin
        read_valid <= go;
        valid <= read_valid;
      end
    end

    if (s == OUTPUT_BITS - 1) begin : gen_out
      assign out_valid = valid;
    end

    for (genvar p = 0; p < PE; p++) begin : gen_pe
      localparam int WORD_BITS = s == 0 ? T_BITS + 1 : T_BITS;
      logic [WORD_BITS-1:0] levels[WORDS];
      if (THRESHOLD_FILE != "") begin : gen_file
        initial $readmemh($sformatf("%s%0d_%0d.mem", THRESHOLD_FILE, p, s), levels);
      end

      // Threshold number k belongs to the stage of its lowest bit; the bits above it are the code's that the search has found there.
      logic write;
      logic [ADDRESS_BITS-1:0] write_address, address;
      logic [WORD_BITS-1:0] written, word;
      assign write = take_word && load_pe == PE_BITS'(p) && OUTPUT_BITS'(number << s) == (s == 0 ? '0 : OUTPUT_BITS'(2 ** (OUTPUT_BITS - 1)));
      assign write_address = ADDRESS_BITS'({load_fold, number} >> (OUTPUT_BITS - s));
      always_ff @(posedge clk) begin
        if (write) levels[write_address] <= written;
        if (enable && go) word <= levels[address];
      end

      // Inverting both sides turns acc <= threshold into ~acc >= ~threshold, so either direction is one comparison. Sums go on inverted.
      logic direction, fires;
      logic signed [T_BITS-1:0] sum, level;
      logic [s:0] code;  // the upper bits, with this stage's
      assign level = word[T_BITS-1:0] ^ {T_BITS{direction}};
      assign fires = sum >= level;
      if (s == 0) begin : gen_first
        logic signed [T_BITS-1:0] acc;
        assign address = ADDRESS_BITS'(fold);
        assign written = {cfg_data[0], middle};
        assign direction = word[T_BITS];
        assign sum = acc ^ {T_BITS{direction}};
        always_ff @(posedge clk) begin
          if (enable && go) acc <= T_BITS'($signed(in_data[p*ACC_BITS+:ACC_BITS]));
          if (enable && read_valid) code <= fires;
        end
      end else begin : gen_next
        logic [s-1:0] found;
        assign address = ADDRESS_BITS'({fold, gen_stage[s-1].gen_pe[p].code});
        assign written = load_level;
        always_ff @(posedge clk) begin
          if (enable && go) begin
            sum <= gen_stage[s-1].gen_pe[p].gen_pass.sum_o;
            direction <= gen_stage[s-1].gen_pe[p].gen_pass.direction_o;
            found <= gen_stage[s-1].gen_pe[p].code;
          end
          if (enable && read_valid) code <= {found, fires};
        end
      end
      if (s < OUTPUT_BITS - 1) begin : gen_pass
        logic signed [T_BITS-1:0] sum_o;
        logic direction_o;
        always_ff @(posedge clk) begin
          if (enable && read_valid) begin
            sum_o <= sum;
            direction_o <= direction;
          end
        end
      end else begin : gen_out
        assign out_data[p*OUTPUT_BITS+:OUTPUT_BITS] = code;
      end
    end
  end
endmodule
