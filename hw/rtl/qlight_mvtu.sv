// Matrix-vector-threshold unit with weights on chip: y = threshold(W a), PE rows x SIMD columns of W a cycle.
//
// In: vectors of MW activation codes, SIMD a beat. Out: MH results, PE a beat, row nf * PE + pe in lane pe of beat nf: codes of
// OUTPUT_BITS bits, or the accumulators themselves (OUTPUT_BITS = 0, ACC_BITS each, two's complement).
// Loop: for nf (MH / PE), for sf (MW / SIMD). The first nf reads the stream and fills a buffer that the others replay, so a vector
// takes (MH / PE) * (MW / SIMD) cycles and the next one follows at once.
//
// Pipeline, all of it stopped while an output waits: 1 memories, 2 products, 3 sum over SIMD, 4 accumulator, 5 comparisons, 6 output.
// IMPL: 0 a multiplier a product; 1 XNOR and popcount; 2 AND (or XNOR) and popcount a pair of bit planes; 3 two products a multiplier.
module qlight_mvtu #(
    parameter int PE = 1,
    parameter int SIMD = 1,
    parameter int MW = 4,
    parameter int MH = 4,
    parameter int WEIGHT_BITS = 1,
    parameter int WEIGHT_SIGNED = 0,  // 1: two's complement k; 0: "odd" code k, which stands for 2k - (2^WEIGHT_BITS - 1)
    parameter int ACTIVATION_BITS = 1,
    parameter int BIPOLAR = 1,  // 1: code a stands for 2a - 1
    parameter int OUTPUT_BITS = 1,
    parameter int ACC_BITS = 8,
    parameter int IMPL = 0,
    // verilator lint_off UNUSEDPARAM
    parameter RAM_STYLE = "auto",  // for the synthesizer only
    // verilator lint_on UNUSEDPARAM
    parameter WEIGHT_FILE = "",
    parameter THRESHOLD_FILE = ""
) (
    input  logic                                                     clk,
    input  logic                                                     rst_n,
    input  logic [                         SIMD*ACTIVATION_BITS-1:0] s_axis_tdata,
    input  logic                                                     s_axis_tvalid,
    output logic                                                     s_axis_tready,
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
  if (PE < 1 || SIMD < 1 || MW < 1 || MH < 1) begin : gen_error_1
    $error("qlight_mvtu: PE, SIMD, MW and MH must be at least 1.");
  end
  if (MW % SIMD != 0) begin : gen_error_2
    $error("qlight_mvtu: MW must be a multiple of SIMD.");
  end
  if (MH % PE != 0) begin : gen_error_3
    $error("qlight_mvtu: MH must be a multiple of PE.");
  end
  if (WEIGHT_SIGNED < 0 || WEIGHT_SIGNED > 1) begin : gen_error_4
    $error("qlight_mvtu: WEIGHT_SIGNED must be 0 (odd codes) or 1 (two's complement).");
  end
  if (WEIGHT_BITS < 1 + WEIGHT_SIGNED || WEIGHT_BITS > 8) begin : gen_error_5
    $error("qlight_mvtu: WEIGHT_BITS must be from 1 (2 if signed) to 8.");
  end
  if (BIPOLAR < 0 || BIPOLAR > 1) begin : gen_error_6
    $error("qlight_mvtu: BIPOLAR must be 0 or 1.");
  end
  if (ACTIVATION_BITS < 1 || ACTIVATION_BITS > 8) begin : gen_error_7
    $error("qlight_mvtu: ACTIVATION_BITS must be from 1 to 8.");
  end
  if (BIPOLAR == 1 && ACTIVATION_BITS != 1) begin : gen_error_8
    $error("qlight_mvtu: BIPOLAR activations must have ACTIVATION_BITS = 1.");
  end
  if (OUTPUT_BITS < 0 || OUTPUT_BITS > 8) begin : gen_error_9
    $error("qlight_mvtu: OUTPUT_BITS must be from 0 (accumulators) to 8.");
  end
  if (ACC_BITS < 2 || ACC_BITS > 32) begin : gen_error_10
    $error("qlight_mvtu: ACC_BITS must be from 2 to 32.");
  end
  if (IMPL < 0 || IMPL > 3) begin : gen_error_11
    $error("qlight_mvtu: IMPL must be 0 (multiply), 1 (XNOR-popcount), 2 (bit planes) or 3 (two products a multiplier).");
  end
  if (IMPL == 1 && (WEIGHT_BITS != 1 || WEIGHT_SIGNED != 0 || BIPOLAR != 1)) begin : gen_error_12
    $error("qlight_mvtu: IMPL = 1 (XNOR-popcount) takes odd weights of 1 bit and bipolar activations.");
  end
  if (IMPL == 2 && WEIGHT_SIGNED == 1 && BIPOLAR == 1) begin : gen_error_13
    $error("qlight_mvtu: IMPL = 2 (bit planes) does not take signed weights with bipolar activations; use IMPL = 0.");
  end
  if (IMPL == 3 && BIPOLAR == 1) begin : gen_error_14
    $error("qlight_mvtu: IMPL = 3 (two products a multiplier) does not take bipolar activations.");
  end
  if (IMPL == 3 && 2 * WEIGHT_BITS + ACTIVATION_BITS + $clog2(SIMD) > 24) begin : gen_error_15
    $error("qlight_mvtu: IMPL = 3 (two products a multiplier) needs 2 WEIGHT_BITS + ACTIVATION_BITS + log2(SIMD) <= 24.");
  end

  localparam int SF = MW / SIMD;
  localparam int NF = MH / PE;
  localparam int ROWS = NF * SF;
  localparam int ROW_BITS = PE * SIMD * WEIGHT_BITS;
  localparam int SF_BITS = SF > 1 ? $clog2(SF) : 1;
  localparam int NF_BITS = NF > 1 ? $clog2(NF) : 1;
  localparam int ADDRESS_BITS = ROWS > 1 ? $clog2(ROWS) : 1;
  localparam int BEAT_BITS = SIMD * ACTIVATION_BITS;
  // Sums are exact modulo 2^ACC_BITS; a beat's sum takes this many bits at most.
  localparam int FULL_BITS = WEIGHT_BITS + ACTIVATION_BITS + $clog2(SIMD) + 2;
  localparam int DOT_BITS = FULL_BITS < ACC_BITS ? FULL_BITS : ACC_BITS;
  localparam int OFFSET = 2 ** WEIGHT_BITS - 1;  // odd weight = 2k - OFFSET
  // XNOR counts matches m of SIMD products of +-1 and passes on 2m instead of 2m - SIMD: the accumulator starts at the rest.
  localparam int START = (IMPL == 1 || IMPL == 2) && BIPOLAR == 1 ? -MW * OFFSET : 0;

  // ---- Parameter chain: the weights' rows, then the thresholds, then words of the units behind.
  localparam int ROW_WORDS = (ROW_BITS + 31) / 32;
  localparam int WORD_BITS = ROW_WORDS > 1 ? $clog2(ROW_WORDS) : 1;
  logic loading_weights, loading_thresholds, loaded_weights, loaded_thresholds, write_row;
  logic [WORD_BITS-1:0] word;
  logic [ADDRESS_BITS-1:0] row;
  logic [ROW_BITS-1:0] row_data;  // words shift in from the top

  assign write_row = loading_weights && cfg_valid && !cfg_start && word == WORD_BITS'(ROW_WORDS - 1);
  assign loaded_weights = write_row && row == ADDRESS_BITS'(ROWS - 1);
  if (ROW_WORDS > 1) begin : gen_row_words
    localparam int KEPT_BITS = (ROW_WORDS - 1) * 32;
    logic [KEPT_BITS-1:0] kept;
    assign row_data = ROW_BITS'({cfg_data, kept});
    always_ff @(posedge clk) if (loading_weights && cfg_valid) kept <= KEPT_BITS'({cfg_data, kept} >> 32);
  end else begin : gen_row_word
    assign row_data = cfg_data[ROW_BITS-1:0];
  end

  always_ff @(posedge clk) begin
    cfg_data_o <= cfg_data;
    if (!rst_n) begin
      loading_weights <= 1'b0;
      loading_thresholds <= 1'b0;
      cfg_start_o <= 1'b0;
      cfg_valid_o <= 1'b0;
      word <= '0;
      row <= '0;
    end else begin
      cfg_start_o <= cfg_start;
      cfg_valid_o <= cfg_valid && !cfg_start && !loading_weights && !loading_thresholds;
      if (cfg_start) begin
        loading_weights <= 1'b1;
        loading_thresholds <= 1'b0;
        word <= '0;
        row <= '0;
      end else begin
        if (loading_weights && cfg_valid) word <= write_row ? '0 : word + 1'b1;
        if (write_row) row <= row + 1'b1;
        if (loaded_weights) begin
          loading_weights <= 1'b0;
          loading_thresholds <= OUTPUT_BITS > 0;
        end
        if (loaded_thresholds) loading_thresholds <= 1'b0;
      end
    end
  end

  // ---- Stage 0: loop over folds; stage 1: weights, activations.
  logic enable, take, advance, first_fold, last_sf, last_nf;
  logic [SF_BITS-1:0] sf;
  logic [NF_BITS-1:0] nf;
  logic [ADDRESS_BITS-1:0] address;

  assign enable = !m_axis_tvalid || m_axis_tready;
  assign first_fold = nf == '0;
  assign last_sf = sf == SF_BITS'(SF - 1);
  assign last_nf = nf == NF_BITS'(NF - 1);
  assign take = !first_fold || s_axis_tvalid;
  assign advance = enable && take;
  assign s_axis_tready = enable && first_fold;

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      sf <= '0;
      nf <= '0;
      address <= '0;
    end else if (advance) begin
      sf <= last_sf ? '0 : sf + 1'b1;
      if (last_sf) nf <= last_nf ? '0 : nf + 1'b1;
      address <= last_sf && last_nf ? '0 : address + 1'b1;
    end
  end

  (* ram_style = RAM_STYLE *) logic [ROW_BITS-1:0] weights[ROWS];
  if (WEIGHT_FILE != "") begin : gen_weight_file
    initial $readmemh(WEIGHT_FILE, weights);
  end
  logic [ROW_BITS-1:0] weight_row;
  always_ff @(posedge clk) begin
    if (write_row) weights[row] <= row_data;
    if (advance) weight_row <= weights[address];
  end

  logic [BEAT_BITS-1:0] activations;
  if (NF > 1) begin : gen_buffer
    logic [BEAT_BITS-1:0] vector[SF];
    logic [BEAT_BITS-1:0] from_stream, from_buffer;
    logic replay;
    always_ff @(posedge clk) begin
      if (advance) begin
        if (first_fold) vector[sf] <= s_axis_tdata;
        from_buffer <= vector[sf];
        from_stream <= s_axis_tdata;
        replay <= !first_fold;
      end
    end
    assign activations = replay ? from_buffer : from_stream;
  end else begin : gen_no_buffer
    always_ff @(posedge clk) if (advance) activations <= s_axis_tdata;
  end

  // valid[i]: stage i holds data; first and last: of its row of weights.
  logic [4:1] valid;
  logic [3:1] first, last;
  logic valid5;
  always_ff @(posedge clk) begin
    if (!rst_n) begin
      valid <= '0;
      valid5 <= 1'b0;
    end else if (enable) begin
      valid <= {valid[3] && last[3], valid[2:1], take};
      valid5 <= valid[4];
    end
    if (enable) begin
      first <= {first[2:1], sf == '0};
      last <= {last[2:1], last_sf};
    end
  end

  // ---- Stages 2 and 3: products, and their sum over SIMD.
  logic signed [PE-1:0][DOT_BITS-1:0] dot;
  if (IMPL == 0) begin : gen_multiply
    localparam int W_BITS = WEIGHT_BITS + 1;
    localparam int A_BITS = ACTIVATION_BITS + 1;
    logic signed [W_BITS-1:0] w[PE][SIMD];
    logic signed [A_BITS-1:0] a[SIMD];
    logic signed [W_BITS+A_BITS-1:0] product[PE][SIMD];
    for (genvar s = 0; s < SIMD; s++) begin : gen_simd
      logic [ACTIVATION_BITS-1:0] code;
      assign code = activations[s*ACTIVATION_BITS+:ACTIVATION_BITS];
      assign a[s] = BIPOLAR == 1 ? {!code[0], {(A_BITS - 1) {1'b1}}} : {1'b0, code};
      for (genvar p = 0; p < PE; p++) begin : gen_pe
        logic [WEIGHT_BITS-1:0] k;
        assign k = weight_row[(p*SIMD+s)*WEIGHT_BITS+:WEIGHT_BITS];
        // 2k - (2^n - 1) is the two's complement number with a 1 appended to k and its top bit inverted.
        assign w[p][s] = WEIGHT_SIGNED == 1 ? {k[WEIGHT_BITS-1], k} : {k, 1'b1} ^ {1'b1, {WEIGHT_BITS{1'b0}}};
        always_ff @(posedge clk) if (enable && valid[1]) product[p][s] <= w[p][s] * a[s];
      end
    end
    for (genvar p = 0; p < PE; p++) begin : gen_sum
      logic signed [DOT_BITS-1:0] sum;
      always_comb begin
        sum = '0;
        for (int s = 0; s < SIMD; s++) sum = sum + DOT_BITS'(product[p][s]);
      end
      always_ff @(posedge clk) if (enable && valid[2]) dot[p] <= sum;
    end
  end else if (IMPL == 3) begin : gen_packed
    // (k_high * 2^SHIFT + k_low) * a on unsigned codes, summed over SIMD while packed: no field overflows into the next.
    // Signed weights are k - 2^(n-1) of the code with its top bit inverted, odd ones 2k - (2^n - 1): the sum of a repairs both.
    localparam int FIELD_BITS = WEIGHT_BITS + ACTIVATION_BITS + $clog2(SIMD);
    localparam int PAIRS = (PE + 1) / 2;
    localparam logic [WEIGHT_BITS-1:0] FLIP = WEIGHT_SIGNED == 1 ? {1'b1, {(WEIGHT_BITS - 1) {1'b0}}} : '0;
    logic [ACTIVATION_BITS+$clog2(SIMD)-1:0] a_sum_next, a_sum;
    always_comb begin
      a_sum_next = '0;
      for (int s = 0; s < SIMD; s++) a_sum_next = a_sum_next + ($bits(a_sum))'(activations[s*ACTIVATION_BITS+:ACTIVATION_BITS]);
    end
    always_ff @(posedge clk) if (enable && valid[1]) a_sum <= a_sum_next;
    for (genvar pair = 0; pair < PAIRS; pair++) begin : gen_pair
      localparam int LOW = 2 * pair;
      (* use_dsp = "yes" *) logic [WEIGHT_BITS+FIELD_BITS+ACTIVATION_BITS-1:0] product[SIMD];
      logic [2*FIELD_BITS-1:0] sum;
      for (genvar s = 0; s < SIMD; s++) begin : gen_simd
        logic [WEIGHT_BITS-1:0] low, high;
        logic [WEIGHT_BITS+FIELD_BITS-1:0] both;
        assign low = weight_row[(LOW*SIMD+s)*WEIGHT_BITS+:WEIGHT_BITS] ^ FLIP;
        if (LOW + 1 < PE) begin : gen_high
          assign high = weight_row[((LOW+1)*SIMD+s)*WEIGHT_BITS+:WEIGHT_BITS] ^ FLIP;
        end else begin : gen_no_high
          assign high = '0;
        end
        assign both = {high, FIELD_BITS'(low)};
        always_ff @(posedge clk)
          if (enable && valid[1]) product[s] <= both * activations[s*ACTIVATION_BITS+:ACTIVATION_BITS];
      end
      always_comb begin
        sum = '0;
        for (int s = 0; s < SIMD; s++) sum = sum + (2 * FIELD_BITS)'(product[s]);
      end
      for (genvar half = 0; half < 2; half++) begin : gen_half
        if (LOW + half < PE) begin : gen_row
          logic [DOT_BITS-1:0] k_sum, value;
          assign k_sum = DOT_BITS'(sum[half*FIELD_BITS+:FIELD_BITS]);
          assign value = WEIGHT_SIGNED == 1 ? k_sum - (DOT_BITS'(a_sum) << (WEIGHT_BITS - 1))
                                            : (k_sum << 1) - (DOT_BITS'(a_sum) << WEIGHT_BITS) + DOT_BITS'(a_sum);
          always_ff @(posedge clk) if (enable && valid[2]) dot[LOW+half] <= value;
        end
      end
    end
  end else begin : gen_planes
    // Popcounts of every weight plane j with every activation plane i, weighed with 2^(i + j).
    // AND counts k * a of unsigned codes; the sum of a, which all rows share, repairs it as in IMPL 3. XNOR counts matches.
    localparam int COUNT_BITS = $clog2(SIMD + 1);
    localparam logic [WEIGHT_BITS-1:0] FLIP = WEIGHT_SIGNED == 1 ? {1'b1, {(WEIGHT_BITS - 1) {1'b0}}} : '0;
    logic [SIMD-1:0] a_plane[ACTIVATION_BITS];
    for (genvar i = 0; i < ACTIVATION_BITS; i++) begin : gen_a_plane
      for (genvar s = 0; s < SIMD; s++) begin : gen_simd
        assign a_plane[i][s] = activations[s*ACTIVATION_BITS+i];
      end
    end

    logic [DOT_BITS-1:0] repair;
    if (BIPOLAR == 1) begin : gen_no_repair
      assign repair = '0;
    end else begin : gen_repair
      logic [COUNT_BITS-1:0] a_count[ACTIVATION_BITS];
      logic [DOT_BITS-1:0] a_sum;
      for (genvar i = 0; i < ACTIVATION_BITS; i++) begin : gen_count
        always_ff @(posedge clk) if (enable && valid[1]) a_count[i] <= COUNT_BITS'($countones(a_plane[i]));
      end
      always_comb begin
        a_sum = '0;
        for (int i = 0; i < ACTIVATION_BITS; i++) a_sum = a_sum + (DOT_BITS'(a_count[i]) << i);
      end
      assign repair = WEIGHT_SIGNED == 1 ? a_sum << (WEIGHT_BITS - 1) : (a_sum << WEIGHT_BITS) - a_sum;
    end

    for (genvar p = 0; p < PE; p++) begin : gen_pe
      logic [COUNT_BITS-1:0] count[WEIGHT_BITS][ACTIVATION_BITS];
      logic [DOT_BITS-1:0] k_sum, value;
      for (genvar j = 0; j < WEIGHT_BITS; j++) begin : gen_w_plane
        logic [SIMD-1:0] w_plane;
        for (genvar s = 0; s < SIMD; s++) begin : gen_simd
          assign w_plane[s] = weight_row[(p*SIMD+s)*WEIGHT_BITS+j] ^ FLIP[j];
        end
        for (genvar i = 0; i < ACTIVATION_BITS; i++) begin : gen_count
          logic [SIMD-1:0] both;
          assign both = BIPOLAR == 1 ? w_plane ~^ a_plane[i] : w_plane & a_plane[i];
          always_ff @(posedge clk) if (enable && valid[1]) count[j][i] <= COUNT_BITS'($countones(both));
        end
      end
      always_comb begin
        k_sum = '0;
        for (int j = 0; j < WEIGHT_BITS; j++)
          for (int i = 0; i < ACTIVATION_BITS; i++) k_sum = k_sum + (DOT_BITS'(count[j][i]) << (i + j));
        value = (WEIGHT_SIGNED == 1 ? k_sum : k_sum << 1) - repair;
      end
      always_ff @(posedge clk) if (enable && valid[2]) dot[p] <= value;
    end
  end

  // ---- Stage 4: accumulators.
  logic signed [PE-1:0][ACC_BITS-1:0] accumulator;
  for (genvar p = 0; p < PE; p++) begin : gen_accumulator
    always_ff @(posedge clk) begin
      if (enable && valid[3]) accumulator[p] <= (first[3] ? ACC_BITS'(START) : accumulator[p]) + ACC_BITS'($signed(dot[p]));
    end
  end

  // ---- Stages 5 and 6: thresholds, output.
  if (OUTPUT_BITS > 0) begin : gen_thresholds
    localparam int T = 2 ** OUTPUT_BITS - 1;
    localparam int T_BITS = ACC_BITS + 1;
    localparam int CHANNEL_BITS = T * T_BITS + 1;
    localparam int FOLD_BITS = PE * CHANNEL_BITS;
    localparam int T_COUNT_BITS = $clog2(T + 1);
    localparam int PE_BITS = PE > 1 ? $clog2(PE) : 1;

    logic [FOLD_BITS-1:0] thresholds[NF];
    if (THRESHOLD_FILE != "") begin : gen_threshold_file
      initial $readmemh(THRESHOLD_FILE, thresholds);
    end

    // Loading: the row's thresholds and directions shift in from the top, each kind by itself.
    logic [PE*T*T_BITS-1:0] levels;
    logic [PE-1:0] directions, directions_next;
    logic [FOLD_BITS-1:0] loaded_row, row_thresholds;
    logic [T_COUNT_BITS-1:0] index;
    logic [PE_BITS-1:0] pe;
    logic [NF_BITS-1:0] fold, finished;  // row being loaded; row of the accumulators that finish next
    logic finish, is_direction, take_word, last_word;
    assign finish = enable && valid[3] && last[3];
    assign take_word = loading_thresholds && cfg_valid && !cfg_start;
    assign is_direction = index == T_COUNT_BITS'(T);
    assign last_word = take_word && is_direction && pe == PE_BITS'(PE - 1);
    assign loaded_thresholds = last_word && fold == NF_BITS'(NF - 1);
    assign directions_next = PE'({cfg_data[0], directions} >> 1);
    for (genvar p = 0; p < PE; p++) begin : gen_loaded
      assign loaded_row[p*CHANNEL_BITS+:CHANNEL_BITS] = {directions_next[p], levels[p*T*T_BITS+:T*T_BITS]};
    end
    always_ff @(posedge clk) begin
      if (take_word && is_direction) directions <= directions_next;
      if (take_word && !is_direction) levels <= (PE * T * T_BITS)'({T_BITS'($signed(cfg_data)), levels} >> T_BITS);
      if (last_word) thresholds[fold] <= loaded_row;
      if (finish) row_thresholds <= thresholds[finished];
      if (!rst_n) finished <= '0;
      else if (finish) finished <= finished == NF_BITS'(NF - 1) ? '0 : finished + 1'b1;
      if (!rst_n || cfg_start) begin
        index <= '0;
        pe <= '0;
        fold <= '0;
      end else if (take_word) begin
        index <= is_direction ? '0 : index + 1'b1;
        if (is_direction) pe <= last_word ? '0 : pe + 1'b1;
        if (last_word) fold <= fold + 1'b1;
      end
    end

    for (genvar p = 0; p < PE; p++) begin : gen_pe
      // Inverting both sides turns acc <= T into ~acc >= ~T, so either direction is one comparison.
      logic [T-1:0] fires, fires_next;
      logic direction;
      logic signed [T_BITS-1:0] acc;
      assign direction = row_thresholds[p*CHANNEL_BITS+T*T_BITS];
      assign acc = T_BITS'($signed(accumulator[p])) ^ {T_BITS{direction}};
      for (genvar t = 0; t < T; t++) begin : gen_threshold
        logic signed [T_BITS-1:0] level;
        assign level = row_thresholds[p*CHANNEL_BITS+t*T_BITS+:T_BITS] ^ {T_BITS{direction}};
        assign fires_next[t] = acc >= level;
      end
      always_ff @(posedge clk) begin
        if (enable && valid[4]) fires <= fires_next;
        if (enable && valid5) m_axis_tdata[p*OUTPUT_BITS+:OUTPUT_BITS] <= OUTPUT_BITS'($countones(fires));
      end
    end
  end else begin : gen_raw
    logic [PE*ACC_BITS-1:0] result;
    assign loaded_thresholds = 1'b0;
    always_ff @(posedge clk) begin
      if (enable && valid[4]) result <= accumulator;
      if (enable && valid5) m_axis_tdata <= result;
    end
  end

  always_ff @(posedge clk) begin
    if (!rst_n) m_axis_tvalid <= 1'b0;
    else if (enable) m_axis_tvalid <= valid5;
  end
endmodule
