// PE rows of SIMD products a cycle, added to PE accumulators of exactly P bits; SF cycles make a sum, after which the
// next of NF groups of rows follows. All arithmetic is modulo 2^P.
//   Input words: SIMD activations of A bits; with DEPTHWISE, SIMD times PE of them, taps outside.
//   AKIND: 0 unsigned, 1 signed, 2 bipolar activations (a bit b is 2b - 1). WKIND: 1 signed, 0 unsigned, 2 bipolar.
//   Weights: SF*NF words of PE*SIMD weights, the first tap of the first row in the low bits, from the file WEIGHTS, in LUTs
//   (BLOCK = 0) or block RAM (1). DSP: products of a DSP block, which takes so many rows' weights for one activation
//   (dsp_products.v); 0: products in LUTs. SWAP: there, with a row for each bit of the weight instead of the
//   activation. CHECK: `overflow` is high while an accumulator differs from the exact sum (for simulation and proof;
//   costs a second accumulator).
// Ports: one stream in and one out (data, valid, ready), the first element in the low bits; `overflow` is read in simulation only.
// Rate: one word in a cycle. Latency from a sum's last word: 3 cycles and the registers of the adder tree.
// Resources: PE * SIMD multipliers (multiply.v, or DSP blocks), PE adder trees and accumulators of P bits, the weights.
`default_nettype none
module dot_product #(parameter SF = 9, parameter NF = 1, parameter PE = 1, parameter SIMD = 1, parameter W = 4,
                     parameter WKIND = 1, parameter A = 4, parameter AKIND = 0, parameter P = 12,
                     parameter DEPTHWISE = 0, parameter WEIGHTS = "", parameter BLOCK = 0, parameter DSP = 0,
                     parameter SWAP = 0, parameter LEVELS = 3, parameter CHECK = 0) (
    input wire clk, input wire rst,
    input wire [(DEPTHWISE ? PE : 1)*SIMD*A-1:0] in_data, input wire in_valid, output wire in_ready,
    output wire [PE*P-1:0] out_data, output wire out_valid, input wire out_ready, output wire overflow);
  localparam X = (DEPTHWISE ? PE : 1) * SIMD * A;
  localparam WV = WKIND == 1 ? W : W + 1, AV = AKIND == 2 ? 2 : A, ASIGNED = AKIND != 0;
  localparam FULL = WV + AV, N = P < FULL ? P : FULL;   // bits of a product
  localparam D = ($clog2(SIMD) + LEVELS - 1) / LEVELS;  // registers of the tree
  localparam S = 2 + D;                                 // stages in front of the accumulator
  wire en = ~out_valid | out_ready;
  wire go = en & in_valid;
  assign in_ready = en;

  // Stage 0: a word of activations and its weights.
  localparam DEPTH = SF * NF, DB = DEPTH > 1 ? $clog2(DEPTH) : 1;
  wire [DB-1:0] address;
  wire last_sf;
  wire [(SF > 1 ? $clog2(SF) : 1)-1:0] sf;
  counter #(.N(SF)) products (.clk(clk), .rst(rst), .step(go), .n(sf), .last(last_sf));
  generate
    if (NF == 1) begin : one_group assign address = sf; end
    else begin : groups counter #(.N(DEPTH)) addresses (.clk(clk), .rst(rst), .step(go), .n(address), .last()); end
  endgenerate
  reg [X-1:0] x0;
  reg [PE*SIMD*W-1:0] w0;
  always @(posedge clk) if (en) x0 <= in_data;
  generate if (BLOCK) begin : block
    (* ram_style = "block", rom_style = "block" *) reg [PE*SIMD*W-1:0] rom [0:DEPTH-1];
    initial $readmemh(WEIGHTS, rom);
    always @(posedge clk) if (en) w0 <= rom[address];
  end else begin : distributed
    (* ram_style = "logic", rom_style = "distributed" *) reg [PE*SIMD*W-1:0] rom [0:DEPTH-1];
    initial $readmemh(WEIGHTS, rom);
    always @(posedge clk) if (en) w0 <= rom[address];
  end endgenerate

  // Which stages hold a product, and which is a sum's first or last.
  reg [S-1:0] valid, first, last;
  reg sum_valid;
  assign out_valid = sum_valid;
  always @(posedge clk)
    if (rst) begin valid <= 0; sum_valid <= 0; end
    else if (en) begin valid <= {valid, go}; sum_valid <= valid[S-1] & last[S-1]; end
  always @(posedge clk) if (en) begin first <= {first, sf == 0}; last <= {last, last_sf}; end

  // Stage 1: products; then the tree; then the accumulators.
  wire [PE-1:0] over;
  wire [PE*SIMD*N-1:0] terms;
  genvar i, j, k;
  generate for (j = 0; j < (DEPTHWISE ? PE : 1) * SIMD; j = j + 1) begin : activation
    wire [A-1:0] code = x0[j*A +: A];
    wire [AV-1:0] x;
    if (AKIND == 2) begin : bipolar assign x = {~code[0], 1'b1}; end
    else begin : integers assign x = code; end
  end
  for (i = 0; i < PE * SIMD; i = i + 1) begin : weight
    wire [W-1:0] stored = w0[i*W +: W];
    wire signed [WV-1:0] w;
    if (WKIND == 2) begin : bipolar assign w = {~stored[0], 1'b1}; end
    else if (WKIND == 1) begin : signed_ assign w = stored; end
    else begin : unsigned_ assign w = {1'b0, stored}; end
  end
  if (DSP) begin : blocks
    for (i = 0; i < PE; i = i + DSP) begin : rows
      localparam R = PE - i < DSP ? PE - i : DSP;  // rows that share the blocks
      for (j = 0; j < SIMD; j = j + 1) begin : lane
        wire [R*WV-1:0] w;
        wire [R*N-1:0] products;
        for (k = 0; k < R; k = k + 1) begin : row
          assign w[k*WV +: WV] = weight[(i+k)*SIMD+j].w;
          assign terms[((i+k)*SIMD+j)*N +: N] = products[k*N +: N];
        end
        dsp_products #(.LANES(R), .W(WV), .A(AV), .SIGNED(ASIGNED), .N(N))
            by (.clk(clk), .en(en), .w(w), .x(activation[DEPTHWISE ? j*PE+i : j].x), .products(products));
      end
    end
  end else begin : luts
    for (i = 0; i < PE; i = i + 1) begin : rows
      for (j = 0; j < SIMD; j = j + 1) begin : lane
        wire signed [WV-1:0] w = weight[i*SIMD+j].w;
        wire [AV-1:0] x = activation[DEPTHWISE ? j*PE+i : j].x;
        wire [N-1:0] product;
        reg [N-1:0] held_product;
        if (SWAP) begin : by_weight
          wire signed [AV-ASIGNED:0] wide;
          if (ASIGNED) begin : s assign wide = x; end
          else begin : u assign wide = {1'b0, x}; end
          multiply #(.W(AV + 1 - ASIGNED), .A(WV), .SIGNED(1), .N(N)) by (.w(wide), .x(w), .q(product));
        end else begin : by_activation
          multiply #(.W(WV), .A(AV), .SIGNED(ASIGNED), .N(N)) by (.w(w), .x(x), .q(product));
        end
        always @(posedge clk) if (en) held_product <= product;
        assign terms[(i*SIMD+j)*N +: N] = held_product;
      end
    end
  end
  for (i = 0; i < PE; i = i + 1) begin : pe
    wire signed [P-1:0] partial;
    adder_tree #(.N(SIMD), .WI(N), .P(P), .LEVELS(LEVELS))
        tree (.clk(clk), .en(en), .in_data(terms[i*SIMD*N +: SIMD*N]), .out_data(partial));
    reg signed [P-1:0] accumulator;
    if (SF == 1) begin : once
      always @(posedge clk) if (en) accumulator <= partial;
    end else begin : many
      always @(posedge clk) if (en & valid[S-1]) accumulator <= (first[S-1] ? {P{1'b0}} : accumulator) + partial;
    end
    assign out_data[i*P +: P] = accumulator;
    if (CHECK) begin : check
      localparam E = FULL + $clog2(SIMD * SF) + 1;
      integer n;
      reg signed [E-1:0] now;
      reg signed [E-1:0] exact;
      reg [(S-1)*E-1:0] held;  // the exact partial sum on its way
      reg checked;
      always @* begin
        now = 0;
        for (n = 0; n < SIMD; n = n + 1)
          now = now + $signed({WKIND == 2 ? {{(E-1){~w0[(i*SIMD+n)*W]}}, 1'b1}
                               : {{(E-W){WKIND == 1 & w0[(i*SIMD+n)*W+W-1]}}, w0[(i*SIMD+n)*W +: W]}})
                    * $signed({AKIND == 2 ? {{(E-1){~x0[(DEPTHWISE ? n*PE+i : n)*A]}}, 1'b1}
                               : {{(E-A){AKIND == 1 & x0[(DEPTHWISE ? n*PE+i : n)*A+A-1]}},
                                  x0[(DEPTHWISE ? n*PE+i : n)*A +: A]}});
      end
      always @(posedge clk) begin
        if (en) begin
          held <= {held, now};
          if (valid[S-1]) exact <= (first[S-1] ? {E{1'b0}} : exact) + $signed(held[(S-2)*E +: E]);
        end
        if (rst) checked <= 0; else checked <= en & valid[S-1];
      end
      assign over[i] = checked & exact != accumulator;
`ifdef FORMAL
      dot_product_proof #(.SF(SF), .S(S), .P(P), .E(E)) proof (
          .clk(clk), .rst(rst), .en(en), .valid(valid), .sf(sf), .accumulator(accumulator), .exact(exact));
`endif
    end else begin : unchecked
      assign over[i] = 1'b0;
    end
  end endgenerate
  assign overflow = |over;
endmodule
`default_nettype wire
