// Control of the units that reorder pixels. Memories are counted on their own, so that only their addresses appear here.

module counter #(parameter int N = 4) (
    input clk, input rst, input step, output logic [((N>1)?$clog2(N):1)-1:0] n, output last);
  assign last = n == N - 1;
  if (N > 1) begin : many
    always_ff @(posedge clk) if (rst) n <= '0; else if (step) n <= last ? '0 : n + 1'b1;
  end else begin : one
    assign n = '0;
  end
endmodule

// Circular buffer of D words; windows of KH x KW x CF words are read, SW and SH pixels apart.
module sliding_window #(parameter int H = 10, parameter int W = 10, parameter int CF = 2, parameter int KH = 3,
                        parameter int KW = 3, parameter int OH = 8, parameter int OW = 8, parameter int SH = 1,
                        parameter int SW = 1, parameter int D = 42) (
    input clk, input rst, input av, output ar, output logic [$clog2(D)-1:0] write, output logic [$clog2(D)-1:0] read,
    output logic qv, input qr);
  localparam int B = $clog2(D), T = $clog2(H*W*CF+1);
  wire lc, lkw, lkh, low, loh, lw;
  wire [31:0] unused[5];
  logic [T-1:0] written, needed, freed;
  wire free = ~qv | qr, go = free & (written > needed);
  wire store = av & ar;
  assign ar = written < freed + D;
  counter #(.N(CF)) c0 (.clk, .rst, .step(go), .n(), .last(lc));
  counter #(.N(KW)) c1 (.clk, .rst, .step(go & lc), .n(), .last(lkw));
  counter #(.N(KH)) c2 (.clk, .rst, .step(go & lc & lkw), .n(), .last(lkh));
  wire window = go & lc & lkw & lkh;
  counter #(.N(OW)) c3 (.clk, .rst, .step(window), .n(), .last(low));
  counter #(.N(OH)) c4 (.clk, .rst, .step(window & low), .n(), .last(loh));
  counter #(.N(D)) c5 (.clk, .rst, .step(store), .n(write), .last(lw));
  // How far the read position moves depends on the innermost loop that ends.
  localparam int ROW = (W - KW) * CF + 1, BACK = ((KH-1)*W + KW - 1) * CF + CF - 1;
  wire signed [B+1:0] jump = ~(lc & lkw) ? 1 : ~lkh ? ROW : ~low ? SW*CF - BACK : (W*SH - (OW-1)*SW) * CF - BACK;
  wire signed [B+1:0] moved = $signed({2'b0, read}) + jump;
  wire signed [B+1:0] wrapped = moved + (moved < 0 ? D : moved >= D ? -D : 0);
  always_ff @(posedge clk)
    if (rst) begin read <= '0; qv <= 0; written <= '0; needed <= '0; freed <= '0; end
    else begin
      if (store) written <= written + 1'b1;
      if (go) begin read <= wrapped[B-1:0]; needed <= T'($signed({1'b0, needed}) + jump); end
      if (window) freed <= freed + (low ? (W*SH - (OW-1)*SW) * CF : SW * CF);
      if (free) qv <= go;
    end
endmodule

// Line buffers share one address; the window is a chain of registers, valid where it lies inner the image.
module parallel_window #(parameter int H = 10, parameter int W = 10, parameter int CF = 2, parameter int KH = 3,
                         parameter int KW = 3, parameter int B = 4, parameter int SH = 1, parameter int SW = 1) (
    input clk, input rst, input [B-1:0] a, input av, output ar, input [(KH-1)*B-1:0] lines,
    output [$clog2((W-KW)*CF+1)-1:0] address, output logic [KH*KW*B-1:0] q, output logic qv, input qr);
  wire lc, lw, lh, la;
  wire [31:0] c, h;
  wire [$clog2(W)-1:0] w;
  wire [$clog2(H)-1:0] hh;
  wire [((SW>1)?$clog2(SW):1)-1:0] sw;
  wire [((SH>1)?$clog2(SH):1)-1:0] sh;
  wire go = av & ar;
  assign ar = ~qv | qr;
  counter #(.N(CF)) c0 (.clk, .rst, .step(go), .n(), .last(lc));
  counter #(.N(W)) c1 (.clk, .rst, .step(go & lc), .n(w), .last(lw));
  counter #(.N(H)) c2 (.clk, .rst, .step(go & lc & lw), .n(hh), .last(lh));
  counter #(.N(SW)) c3 (.clk, .rst, .step(go & lc), .n(sw), .last());
  counter #(.N(SH)) c4 (.clk, .rst, .step(go & lc & lw), .n(sh), .last());
  counter #(.N((W-KW)*CF+1)) c5 (.clk, .rst, .step(go), .n(address), .last(la));
  always_ff @(posedge clk) if (rst) qv <= 0; else if (ar) qv <= av & w >= KW-1 & hh >= KH-1 & sw == 0 & sh == 0;
  for (genvar i = 0; i < KH; i++) begin : row
    logic [((KW-1)*CF+1)*B-1:0] chain;
    always_ff @(posedge clk) if (go) chain <= {chain, (i == KH-1) ? a : lines[(i%(KH-1))*B+:B]};
    for (genvar j = 0; j < KW; j++) assign q[(i*KW+j)*B+:B] = chain[j*CF*B+:B];
  end
endmodule

// Zeros outside the rectangle (or off the grid of STEP) of an H x W image. Input is ready by a register, so that a word
// that comes while the output waits is kept aside.
module padding #(parameter int H = 10, parameter int W = 10, parameter int CF = 2, parameter int B = 8,
                 parameter int PAD = 1, parameter int STEP = 1) (
    input clk, input rst, input [B-1:0] a, input av, output ar, output logic [B-1:0] q, output logic qv, input qr);
  wire lc, lw, lh;
  wire [$clog2(W)-1:0] w;
  wire [$clog2(H)-1:0] h;
  wire [((STEP>1)?$clog2(STEP):1)-1:0] sw, sh;
  logic [B-1:0] aside;
  logic kept;
  wire free = ~qv | qr;
  wire inner = w >= PAD & w < W - PAD & h >= PAD & h < H - PAD & sw == 0 & sh == 0;
  wire there = av | kept;
  wire go = free & (there | ~inner);
  assign ar = ~kept;
  counter #(.N(CF)) c0 (.clk, .rst, .step(go), .n(), .last(lc));
  counter #(.N(W)) c1 (.clk, .rst, .step(go & lc), .n(w), .last(lw));
  counter #(.N(H)) c2 (.clk, .rst, .step(go & lc & lw), .n(h), .last(lh));
  counter #(.N(STEP)) c3 (.clk, .rst(rst | (go & lc & lw)), .step(go & lc), .n(sw), .last());
  counter #(.N(STEP)) c4 (.clk, .rst(rst | (go & lc & lw & lh)), .step(go & lc & lw), .n(sh), .last());
  always_ff @(posedge clk)
    if (rst) begin qv <= 0; kept <= 0; end
    else begin
      if (free) qv <= go;
      kept <= there & ~(free & inner);
    end
  always_ff @(posedge clk) if (~kept) aside <= a;
  always_ff @(posedge clk) if (go) q <= inner ? (kept ? aside : a) : '0;
endmodule

module down_sampler #(parameter int H = 10, parameter int W = 10, parameter int CF = 2, parameter int STRIDE = 2) (
    input clk, input rst, input av, output ar, output qv, input qr);
  wire lc, lw, lh;
  wire [((STRIDE>1)?$clog2(STRIDE):1)-1:0] sw, sh;
  wire keep = sw == 0 & sh == 0;
  wire go = av & ar;
  assign ar = qr | ~keep;
  assign qv = av & keep;
  counter #(.N(CF)) c0 (.clk, .rst, .step(go), .n(), .last(lc));
  counter #(.N(W)) c1 (.clk, .rst, .step(go & lc), .n(), .last(lw));
  counter #(.N(H)) c2 (.clk, .rst, .step(go & lc & lw), .n(), .last(lh));
  counter #(.N(STRIDE)) c3 (.clk, .rst(rst | (go & lc & lw)), .step(go & lc), .n(sw), .last());
  counter #(.N(STRIDE)) c4 (.clk, .rst(rst | (go & lc & lw & lh)), .step(go & lc & lw), .n(sh), .last());
endmodule

// A line of W words, read SH times, every word SW times; two halves, so that the next line is written meanwhile.
module line_reader #(parameter int H = 4, parameter int W = 4, parameter int SH = 2, parameter int SW = 2) (
    input clk, input rst, input av, output ar, output [$clog2(2*W)-1:0] write, output [$clog2(2*W)-1:0] read,
    output logic qv, input qr);
  wire lsw, lw, lsh, ww;
  wire [$clog2(W)-1:0] x, y;
  logic half_in, half_out;
  logic [1:0] full;
  wire free = ~qv | qr, go = free & full[half_out], store = av & ar;
  assign ar = ~full[half_in];
  assign write = {half_in, y};
  assign read = {half_out, x};
  counter #(.N(SW)) c0 (.clk, .rst, .step(go), .n(), .last(lsw));
  counter #(.N(W)) c1 (.clk, .rst, .step(go & lsw), .n(x), .last(lw));
  counter #(.N(SH)) c2 (.clk, .rst, .step(go & lsw & lw), .n(), .last(lsh));
  counter #(.N(W)) c3 (.clk, .rst, .step(store), .n(y), .last(ww));
  wire done = go & lsw & lw & lsh;
  always_ff @(posedge clk)
    if (rst) begin half_in <= 0; half_out <= 0; full <= 0; qv <= 0; end
    else begin
      if (store & ww) begin half_in <= ~half_in; full[half_in] <= 1; end
      if (done) begin half_out <= ~half_out; full[half_out] <= 0; end
      if (free) qv <= go;
    end
endmodule

// Addresses of weights and buffered inputs of a folded matrix unit: SF words of inputs, NF groups of outputs.
module matrix_control #(parameter int SF = 9, parameter int NF = 4) (
    input clk, input rst, input av, output ar, output [((SF>1)?$clog2(SF):1)-1:0] sf,
    output logic [((SF*NF>1)?$clog2(SF*NF):1)-1:0] address, output logic first, output logic fresh,
    output logic qv, input qr);
  wire ls, ln, la;
  wire [((NF>1)?$clog2(NF):1)-1:0] nf;
  wire free = ~qv | qr, reading = nf == 0, go = free & (av | ~reading);
  assign ar = free & reading;
  assign fresh = reading;
  counter #(.N(SF)) c0 (.clk, .rst, .step(go), .n(sf), .last(ls));
  counter #(.N(NF)) c1 (.clk, .rst, .step(go & ls), .n(nf), .last(ln));
  counter #(.N(SF*NF)) c2 (.clk, .rst, .step(go), .n(address), .last(la));
  always_ff @(posedge clk)
    if (rst) begin qv <= 0; first <= 1; end
    else if (free) begin qv <= go & ls; if (go) first <= ls; end
endmodule
