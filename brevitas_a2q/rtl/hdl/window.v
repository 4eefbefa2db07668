// Sliding window over an image of H x W pixels, each G groups of CI words of B bits, through a circular buffer of D
// words. A window is written group by group, in each by kernel row, kernel column and word: G = 1 for a convolution,
// CI = 1 for a depthwise one, G groups for a grouped one.
// Ports: one stream in and one out (data, valid, ready), the first element in the low bits.
// Rate: one word out a cycle while the pixels it needs are there. D must hold a window from its first to its last word.
// Latency: two cycles behind the last word that a window needs.
// Resources: D words in LUTs or block RAM, counters over the window and the image, adders of their addresses.
`default_nettype none
module window #(parameter H = 10, parameter W = 10, parameter G = 1, parameter CI = 2, parameter KH = 3,
                parameter KW = 3, parameter OH = 8, parameter OW = 8, parameter SH = 1, parameter SW = 1,
                parameter DH = 1, parameter DW = 1, parameter D = 64, parameter B = 8, parameter BLOCK = 0) (
    input wire clk, input wire rst,
    input wire [B-1:0] in_data, input wire in_valid, output wire in_ready,
    output reg [B-1:0] out_data, output reg out_valid, input wire out_ready);
  localparam integer CF = G * CI, TOTAL = H * W * CF, AB = D > 1 ? $clog2(D) : 1;
  localparam integer SPAN = ((KH - 1) * DH * W + (KW - 1) * DW) * CF;  // from a window's first pixel to its last
  // What is not needed any more when a window has been written: up to the next window in a row, row, or image.
  localparam integer COLUMN = SW * CF, ROW = (SH * W - (OW - 1) * SW) * CF;
  localparam integer IMAGE = TOTAL - ((OH - 1) * SH * W + (OW - 1) * SW) * CF;
  localparam integer BACK = SPAN + CF - 1;  // from a window's first word to its last
  // Steps of the read position.
  localparam integer NEXT_COLUMN = DW * CF - (CI - 1), NEXT_ROW = (DH * W - (KW - 1) * DW) * CF - (CI - 1);
  localparam integer NEXT_GROUP = 1 - SPAN;
  localparam integer NB = $clog2(TOTAL + SPAN + D + 2) + 1;

  wire last_c, last_kw, last_kh, last_g, last_ow, last_oh;
  wire free = ~out_valid | out_ready;
  reg signed [NB-1:0] ahead;  // words stored from the read position on; not positive: the word has yet to come
  reg signed [NB-1:0] room;   // words that may be stored
  wire store = in_valid & in_ready;
  wire go = free & ahead > 0;
  assign in_ready = room > 0;
  wire column = go & last_c, row = column & last_kw, group = row & last_kh, done = group & last_g;
  wire image_row = done & last_ow, image = image_row & last_oh;
  counter #(.N(CI)) c_c (.clk(clk), .rst(rst), .step(go), .n(), .last(last_c));
  counter #(.N(KW)) c_kw (.clk(clk), .rst(rst), .step(column), .n(), .last(last_kw));
  counter #(.N(KH)) c_kh (.clk(clk), .rst(rst), .step(row), .n(), .last(last_kh));
  counter #(.N(G)) c_g (.clk(clk), .rst(rst), .step(group), .n(), .last(last_g));
  counter #(.N(OW)) c_ow (.clk(clk), .rst(rst), .step(done), .n(), .last(last_ow));
  counter #(.N(OH)) c_oh (.clk(clk), .rst(rst), .step(image_row), .n(), .last(last_oh));

  function integer wrapped(input integer v); wrapped = ((v % D) + D) % D; endfunction
  localparam integer M_WORD = wrapped(1), M_COLUMN = wrapped(NEXT_COLUMN), M_ROW = wrapped(NEXT_ROW);
  localparam integer M_GROUP = wrapped(NEXT_GROUP), M_DONE = wrapped(COLUMN - BACK);
  localparam integer M_IMAGE_ROW = wrapped(ROW - BACK), M_IMAGE = wrapped(IMAGE - BACK);
  reg signed [NB-1:0] step;
  reg [AB-1:0] increment;
  reg [AB-1:0] wp, rp;
  always @* begin
    if (~last_c) begin step = 1; increment = M_WORD; end
    else if (~last_kw) begin step = NEXT_COLUMN; increment = M_COLUMN; end
    else if (~last_kh) begin step = NEXT_ROW; increment = M_ROW; end
    else if (~last_g) begin step = NEXT_GROUP; increment = M_GROUP; end
    else if (~last_ow) begin step = COLUMN - BACK; increment = M_DONE; end
    else if (~last_oh) begin step = ROW - BACK; increment = M_IMAGE_ROW; end
    else begin step = IMAGE - BACK; increment = M_IMAGE; end
  end
  wire [AB:0] sum = rp + increment;
  wire signed [NB-1:0] released = image ? IMAGE : image_row ? ROW : COLUMN;
  always @(posedge clk)
    if (rst) begin wp <= 0; rp <= 0; ahead <= 0; room <= D; out_valid <= 0; end
    else begin
      if (store) wp <= wp == D - 1 ? {AB{1'b0}} : wp + 1'b1;
      if (go) rp <= sum >= D ? sum - D : sum;
      ahead <= ahead + $signed({1'b0, store}) - (go ? step : {NB{1'b0}});
      room <= room - $signed({1'b0, store}) + (done ? released : {NB{1'b0}});
      if (free) out_valid <= go;
    end
  generate if (BLOCK) begin : block
    (* ram_style = "block" *) reg [B-1:0] mem [0:D-1];
    always @(posedge clk) begin
      if (store) mem[wp] <= in_data;
      if (free) out_data <= mem[rp];
    end
  end else begin : distributed
    (* ram_style = "distributed" *) reg [B-1:0] mem [0:D-1];
    always @(posedge clk) begin
      if (store) mem[wp] <= in_data;
      if (free) out_data <= mem[rp];
    end
  end endgenerate
endmodule
`default_nettype wire
