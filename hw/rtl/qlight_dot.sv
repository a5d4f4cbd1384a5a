// Dot products: PE rows of weights with a vector of MW activation codes, SIMD of them a beat.
//
// Three stages, all of which move with `enable`: products; their sum over SIMD; accumulators. in_first and in_last mark the beats of a
// vector. out_valid comes three cycles after in_last, with PE accumulators of ACC_BITS bits, two's complement, exact modulo 2^ACC_BITS.
// IMPL: 0 a multiplier a product; 1 XNOR and popcount; 2 AND (or XNOR) and popcount a pair of bit planes; 3 two products a multiplier;
// 4 four products a multiplier of 27 bits (UltraScale+).
module qlight_dot #(
    parameter int PE = 1,
    parameter int SIMD = 1,
    parameter int MW = 4,
    parameter int WEIGHT_BITS = 1,
    parameter int WEIGHT_SIGNED = 0,  // 1: two's complement k; 0: "odd" code k, which stands for 2k - (2^WEIGHT_BITS - 1)
    parameter int ACTIVATION_BITS = 1,
    parameter int BIPOLAR = 1,  // 1: code a stands for 2a - 1
    parameter int ACC_BITS = 8,
    parameter int IMPL = 0
) (
    input  logic                           clk,
    input  logic                           rst_n,
    input  logic                           enable,
    input  logic                           in_valid,
    input  logic                           in_first,
    input  logic                           in_last,
    input  logic [PE*SIMD*WEIGHT_BITS-1:0] in_weights,  // of (pe, simd) at bit (pe * SIMD + simd) * WEIGHT_BITS
    input  logic [SIMD*ACTIVATION_BITS-1:0] in_activations,
    output logic                           out_valid,
    output logic [        PE*ACC_BITS-1:0] out_data
);
  if (WEIGHT_SIGNED < 0 || WEIGHT_SIGNED > 1) begin : gen_error_1
    $error("qlight_dot: WEIGHT_SIGNED must be 0 (odd codes) or 1 (two's complement).");
  end
  if (WEIGHT_BITS < 1 + WEIGHT_SIGNED || WEIGHT_BITS > 8) begin : gen_error_2
    $error("qlight_dot: WEIGHT_BITS must be from 1 (2 if signed) to 8.");
  end
  if (BIPOLAR < 0 || BIPOLAR > 1) begin : gen_error_3
    $error("qlight_dot: BIPOLAR must be 0 or 1.");
  end
  if (ACTIVATION_BITS < 1 || ACTIVATION_BITS > 8) begin : gen_error_4
    $error("qlight_dot: ACTIVATION_BITS must be from 1 to 8.");
  end
  if (BIPOLAR == 1 && ACTIVATION_BITS != 1) begin : gen_error_5
    $error("qlight_dot: BIPOLAR activations must have ACTIVATION_BITS = 1.");
  end
  if (ACC_BITS < 2 || ACC_BITS > 32) begin : gen_error_6
    $error("qlight_dot: ACC_BITS must be from 2 to 32.");
  end
  if (IMPL < 0 || IMPL > 4) begin : gen_error_7
    $error("qlight_dot: IMPL must be 0 (multiply), 1 (XNOR-popcount), 2 (bit planes), 3 or 4 (two or four products a multiplier).");
  end
  if (IMPL == 1 && (WEIGHT_BITS != 1 || WEIGHT_SIGNED != 0 || BIPOLAR != 1)) begin : gen_error_8
    $error("qlight_dot: IMPL = 1 (XNOR-popcount) takes odd weights of 1 bit and bipolar activations.");
  end
  if (IMPL == 2 && WEIGHT_SIGNED == 1 && BIPOLAR == 1) begin : gen_error_9
    $error("qlight_dot: IMPL = 2 (bit planes) does not take signed weights with bipolar activations; use IMPL = 0.");
  end
  if (IMPL >= 3 && BIPOLAR == 1) begin : gen_error_10
    $error("qlight_dot: IMPL = 3 and 4 (two or four products a multiplier) do not take bipolar activations.");
  end
  if (IMPL == 3 && 2 * WEIGHT_BITS + ACTIVATION_BITS + $clog2(SIMD) > 24) begin : gen_error_11
    $error("qlight_dot: IMPL = 3 (two products a multiplier) needs 2 WEIGHT_BITS + ACTIVATION_BITS + log2(SIMD) <= 24.");
  end
  if (IMPL == 4 && WEIGHT_BITS + ACTIVATION_BITS > 8) begin : gen_error_12
    $error("qlight_dot: IMPL = 4 (four products a multiplier) needs WEIGHT_BITS + ACTIVATION_BITS <= 8.");
  end

  // Sums are exact modulo 2^ACC_BITS; a beat's sum takes this many bits at most.
  localparam int FULL_BITS = WEIGHT_BITS + ACTIVATION_BITS + $clog2(SIMD) + 2;
  localparam int DOT_BITS = FULL_BITS < ACC_BITS ? FULL_BITS : ACC_BITS;
  localparam int COUNT_BITS = $clog2(SIMD + 1);
  // Weights are summed as unsigned codes k. A signed one is k - 2^(WEIGHT_BITS - 1) with its top bit inverted, an odd one is 2k - OFFSET:
  // the sum of the activations, which all rows share, repairs both. With bipolar activations an odd weight or its negative is 2k - OFFSET
  // or 2 (inverted k) - OFFSET, so there the accumulator starts at the rest.
  localparam int OFFSET = 2 ** WEIGHT_BITS - 1;
  localparam int START = BIPOLAR == 1 && WEIGHT_SIGNED == 0 ? -MW * OFFSET : 0;
  localparam logic [WEIGHT_BITS-1:0] FLIP = WEIGHT_SIGNED == 1 ? {1'b1, {(WEIGHT_BITS - 1) {1'b0}}} : '0;

  // valid: the stage's data are there; first and last: of a vector.
  logic product_valid, product_first, product_last, dot_valid, dot_first, dot_last;
  always_ff @(posedge clk) begin
    if (!rst_n) begin
      product_valid <= 1'b0;
      dot_valid <= 1'b0;
      out_valid <= 1'b0;
    end else if (enable) begin
      product_valid <= in_valid;
      dot_valid <= product_valid;
      out_valid <= dot_valid && dot_last;
    end
    if (enable) begin
      product_first <= in_first;
      product_last <= in_last;
      dot_first <= product_first;
      dot_last <= product_last;
    end
  end

  // ---- Sum of the activations; of bit planes popcounts, weighed with 2^plane.
  logic [DOT_BITS-1:0] repair;
  if (BIPOLAR == 1) begin : gen_no_repair
    assign repair = '0;
  end else begin : gen_repair
    logic [DOT_BITS-1:0] a_sum;
    if (IMPL == 2) begin : gen_sum
      for (genvar i = 0; i < ACTIVATION_BITS; i++) begin : gen_plane
        logic [COUNT_BITS-1:0] count;
        logic [DOT_BITS-1:0] sum;  // of the planes up to this one
        always_ff @(posedge clk) begin
          if (enable && in_valid) count <= COUNT_BITS'($countones(in_activations >> i & {SIMD{ACTIVATION_BITS'(1)}}));
        end
        if (i == 0) begin : gen_first
          assign sum = DOT_BITS'(count);
        end else begin : gen_next
          assign sum = gen_plane[i-1].sum + (DOT_BITS'(count) << i);
        end
      end
      assign a_sum = gen_plane[ACTIVATION_BITS-1].sum;
    end else begin : gen_sum
      localparam int SUM_BITS = ACTIVATION_BITS + $clog2(SIMD);
      logic [SUM_BITS-1:0] sum, sum_next;
      always_comb begin
        sum_next = '0;
        for (int s = 0; s < SIMD; s++) sum_next = sum_next + SUM_BITS'(in_activations[s*ACTIVATION_BITS+:ACTIVATION_BITS]);
      end
      always_ff @(posedge clk) if (enable && in_valid) sum <= sum_next;
      assign a_sum = DOT_BITS'(sum);
    end
    assign repair = WEIGHT_SIGNED == 1 ? a_sum << (WEIGHT_BITS - 1) : (a_sum << WEIGHT_BITS) - a_sum;
  end

  // ---- Products, and their sums over SIMD.
  logic [DOT_BITS-1:0] k_sum[PE];
  if (IMPL == 0 && BIPOLAR == 1) begin : gen_signs
    // A product is the weight or its negative; of an odd code the code itself or inverted.
    for (genvar p = 0; p < PE; p++) begin : gen_pe
      for (genvar s = 0; s < SIMD; s++) begin : gen_simd
        logic [WEIGHT_BITS-1:0] k;
        logic [WEIGHT_BITS:0] product;
        logic [DOT_BITS-1:0] sum;  // of the products up to this one
        assign k = in_weights[(p*SIMD+s)*WEIGHT_BITS+:WEIGHT_BITS] ^ {WEIGHT_BITS{!in_activations[s]}};
        always_ff @(posedge clk) begin
          if (enable && in_valid) begin
            product <= WEIGHT_SIGNED == 1 ? {k[WEIGHT_BITS-1], k} + (WEIGHT_BITS + 1)'(!in_activations[s]) : {1'b0, k};
          end
        end
        if (s == 0) begin : gen_first
          assign sum = DOT_BITS'($signed(product));
        end else begin : gen_next
          assign sum = gen_simd[s-1].sum + DOT_BITS'($signed(product));
        end
      end
      assign k_sum[p] = gen_simd[SIMD-1].sum;
    end
  end else if (IMPL == 0 || IMPL == 3) begin : gen_multiply
    // A multiplier makes one product, or two: (k_high * 2^FIELD_BITS + k_low) * a. No field's sum over SIMD overflows into the next.
    localparam int ROWS = IMPL == 3 ? 2 : 1;
    localparam int FIELD_BITS = WEIGHT_BITS + ACTIVATION_BITS + $clog2(SIMD);
    for (genvar m = 0; m < (PE + ROWS - 1) / ROWS; m++) begin : gen_multiplier
      localparam int LOW = ROWS * m;
      localparam int FIELDS = LOW + ROWS <= PE ? ROWS : 1;
      localparam int K_BITS = (FIELDS - 1) * FIELD_BITS + WEIGHT_BITS;
      for (genvar s = 0; s < SIMD; s++) begin : gen_simd
        logic [K_BITS-1:0] k;
        logic [ACTIVATION_BITS-1:0] a;
        logic [FIELDS*FIELD_BITS-1:0] sum;  // of the products up to this one
        assign a = in_activations[s*ACTIVATION_BITS+:ACTIVATION_BITS];
        for (genvar f = 0; f < FIELDS; f++) begin : gen_k
          assign k[f*FIELD_BITS+:WEIGHT_BITS] = in_weights[((LOW+f)*SIMD+s)*WEIGHT_BITS+:WEIGHT_BITS] ^ FLIP;
        end
        if (FIELDS == 2) begin : gen_between
          assign k[FIELD_BITS-1:WEIGHT_BITS] = '0;
        end
        if (IMPL == 3) begin : gen_product
          (* use_dsp = "yes" *) logic [K_BITS+ACTIVATION_BITS-1:0] product;
          always_ff @(posedge clk) if (enable && in_valid) product <= k * a;
        end else begin : gen_product
          logic [K_BITS+ACTIVATION_BITS-1:0] product;
          always_ff @(posedge clk) if (enable && in_valid) product <= k * a;
        end
        if (s == 0) begin : gen_first
          assign sum = (FIELDS * FIELD_BITS)'(gen_product.product);
        end else begin : gen_next
          assign sum = gen_simd[s-1].sum + (FIELDS * FIELD_BITS)'(gen_product.product);
        end
      end
      for (genvar f = 0; f < FIELDS; f++) begin : gen_field
        assign k_sum[LOW+f] = DOT_BITS'(gen_simd[SIMD-1].sum[f*FIELD_BITS+:FIELD_BITS]);
      end
    end
  end else if (IMPL == 4) begin : gen_four
    // A multiplier of 27 bits makes four products, of codes that lie PRODUCT_BITS apart. What of the last code does not fit is added behind
    // it: k = x + 2^LEFT rest, x the signed number that the lower LEFT bits of k are. No carry comes up from below: nothing there is negative.
    localparam int PRODUCT_BITS = WEIGHT_BITS + ACTIVATION_BITS;
    localparam int LEFT = 27 - 3 * PRODUCT_BITS;
    localparam int X_BITS = LEFT <= WEIGHT_BITS ? LEFT : WEIGHT_BITS + 1;
    localparam int CODES_BITS = 3 * PRODUCT_BITS + X_BITS;
    for (genvar m = 0; m < (PE + 3) / 4; m++) begin : gen_multiplier
      localparam int ROWS = PE - 4 * m < 4 ? PE - 4 * m : 4;
      for (genvar s = 0; s < SIMD; s++) begin : gen_simd
        logic [ACTIVATION_BITS-1:0] a;
        logic signed [CODES_BITS-1:0] codes;
        // verilator lint_off UNUSEDSIGNAL
        (* use_dsp = "yes" *) logic signed [CODES_BITS+ACTIVATION_BITS-1:0] products;  // those of rows that there are not, the sign
        // verilator lint_on UNUSEDSIGNAL
        assign a = in_activations[s*ACTIVATION_BITS+:ACTIVATION_BITS];
        always_ff @(posedge clk) if (enable && in_valid) products <= codes * $signed({1'b0, a});
        for (genvar f = 0; f < 4; f++) begin : gen_field
          localparam int FIELD_BITS = f == 3 ? X_BITS : PRODUCT_BITS;
          if (f < ROWS) begin : gen_row
            logic [WEIGHT_BITS-1:0] k;
            logic [PRODUCT_BITS-1:0] product;
            logic [DOT_BITS-1:0] sum;  // of the products up to this one
            assign k = in_weights[((4*m+f)*SIMD+s)*WEIGHT_BITS+:WEIGHT_BITS] ^ FLIP;
            assign codes[f*PRODUCT_BITS+:FIELD_BITS] = FIELD_BITS'(k);
            if (f == 3 && LEFT <= WEIGHT_BITS) begin : gen_rest
              localparam int REST_BITS = PRODUCT_BITS - LEFT;
              logic [REST_BITS-1:0] rest;
              always_ff @(posedge clk)
                if (enable && in_valid) rest <= (REST_BITS'(k >> LEFT) + REST_BITS'(k[LEFT-1])) * REST_BITS'(a);
              assign product = PRODUCT_BITS'(products >>> (3 * PRODUCT_BITS)) + {rest, LEFT'(0)};
            end else begin : gen_whole
              assign product = products[f*PRODUCT_BITS+:PRODUCT_BITS];
            end
            if (s == 0) begin : gen_first
              assign sum = DOT_BITS'(product);
            end else begin : gen_next
              assign sum = gen_simd[s-1].gen_field[f].gen_row.sum + DOT_BITS'(product);
            end
          end else begin : gen_no_row
            assign codes[f*PRODUCT_BITS+:FIELD_BITS] = '0;
          end
        end
      end
      for (genvar f = 0; f < ROWS; f++) begin : gen_sum
        assign k_sum[4*m+f] = gen_simd[SIMD-1].gen_field[f].gen_row.sum;
      end
    end
  end else begin : gen_planes
    // Popcounts of every weight plane j with every activation plane i, weighed with 2^(i + j): AND counts k * a, XNOR matches. Codes lie
    // STEP bits apart, so that planes are masks, and need not be gathered.
    localparam int STEP = WEIGHT_BITS > ACTIVATION_BITS ? WEIGHT_BITS : ACTIVATION_BITS;
    localparam logic [SIMD*STEP-1:0] LOWEST = {SIMD{STEP'(1)}};
    logic [SIMD*STEP-1:0] a;
    if (ACTIVATION_BITS == STEP) begin : gen_a
      assign a = in_activations;
    end else begin : gen_a
      for (genvar s = 0; s < SIMD; s++) begin : gen_simd
        assign a[s*STEP+:STEP] = STEP'(in_activations[s*ACTIVATION_BITS+:ACTIVATION_BITS]);
      end
    end
    for (genvar p = 0; p < PE; p++) begin : gen_pe
      logic [SIMD*WEIGHT_BITS-1:0] codes;
      logic [SIMD*STEP-1:0] k;
      assign codes = in_weights[p*SIMD*WEIGHT_BITS+:SIMD*WEIGHT_BITS] ^ {SIMD{FLIP}};
      if (WEIGHT_BITS == STEP) begin : gen_k
        assign k = codes;
      end else begin : gen_k
        for (genvar s = 0; s < SIMD; s++) begin : gen_simd
          assign k[s*STEP+:STEP] = STEP'(codes[s*WEIGHT_BITS+:WEIGHT_BITS]);
        end
      end
      for (genvar n = 0; n < WEIGHT_BITS * ACTIVATION_BITS; n++) begin : gen_pair
        localparam int J = n / ACTIVATION_BITS;
        localparam int I = n % ACTIVATION_BITS;
        logic [SIMD*STEP-1:0] both;
        logic [COUNT_BITS-1:0] count;
        logic [DOT_BITS-1:0] sum;  // of the pairs up to this one
        assign both = BIPOLAR == 1 ? (k >> J) ~^ (a >> I) : (k >> J) & (a >> I);
        always_ff @(posedge clk) if (enable && in_valid) count <= COUNT_BITS'($countones(both & LOWEST));
        if (n == 0) begin : gen_first
          assign sum = DOT_BITS'(count);
        end else begin : gen_next
          assign sum = gen_pair[n-1].sum + (DOT_BITS'(count) << (I + J));
        end
      end
      assign k_sum[p] = gen_pair[WEIGHT_BITS*ACTIVATION_BITS-1].sum;
    end
  end

  // ---- Sums of a beat, accumulators.
  for (genvar p = 0; p < PE; p++) begin : gen_accumulator
    logic [DOT_BITS-1:0] dot;
    logic [ACC_BITS-1:0] accumulator;
    assign out_data[p*ACC_BITS+:ACC_BITS] = accumulator;
    always_ff @(posedge clk) begin
      if (enable && product_valid) dot <= (WEIGHT_SIGNED == 1 ? k_sum[p] : k_sum[p] << 1) - repair;
      if (enable && dot_valid) accumulator <= (dot_first ? ACC_BITS'(START) : accumulator) + ACC_BITS'($signed(dot));
    end
  end
endmodule
