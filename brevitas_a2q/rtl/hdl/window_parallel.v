// Sliding window that writes all KH x KW taps at once, kernel rows outside, the first in the low bits: line buffers, and
// registers that hold the window. CF words of B bits a pixel; each word has its window (depthwise where CF > 1).
// Ports: one stream in and one out (data, valid, ready), the first element in the low bits.
// Rate: one word in a cycle. Latency: one cycle behind the last word that a window needs.
// Resources: KH - 1 rows in LUTs or block RAM, KH * KW words in registers, counters over rows and columns.
`default_nettype none
module window_parallel #(parameter H = 10, parameter W = 10, parameter CF = 1, parameter KH = 3, parameter KW = 3,
                         parameter OH = 8, parameter OW = 8, parameter SH = 1, parameter SW = 1, parameter DH = 1,
                         parameter DW = 1, parameter B = 8, parameter BLOCK = 0) (
    input wire clk, input wire rst,
    input wire [B-1:0] in_data, input wire in_valid, output wire in_ready,
    output wire [KH*KW*B-1:0] out_data, output reg out_valid, input wire out_ready);
  localparam integer REACH = (KW - 1) * DW * CF;      // words between the first and the last tap of a row
  localparam integer LINE = DH * W * CF - REACH - 1;  // words from a row's last tap to the first of the row above
  localparam integer YB = H > 1 ? $clog2(H) : 1, XB = W > 1 ? $clog2(W) : 1, LB = LINE > 1 ? $clog2(LINE) : 1;
  localparam integer TOP = (KH - 1) * DH, LEFT = (KW - 1) * DW;
  localparam integer NYB = $clog2(SH * OH + SH + 1), NXB = $clog2(SW * OW + SW + 1);
  wire last_word, last_column, last_row;
  wire [YB-1:0] y;
  wire [XB-1:0] x;
  wire go = in_valid & in_ready;
  wire pixel = go & last_word, row = pixel & last_column, image = row & last_row;
  assign in_ready = ~out_valid | out_ready;
  counter #(.N(CF)) words (.clk(clk), .rst(rst), .step(go), .n(), .last(last_word));
  counter #(.N(W)) columns (.clk(clk), .rst(rst), .step(pixel), .n(x), .last(last_column));
  counter #(.N(H)) rows (.clk(clk), .rst(rst), .step(row), .n(y), .last(last_row));
  // Windows end in every SH-th row from TOP on, OH times, and likewise columns.
  reg [(SH > 1 ? $clog2(SH) : 1)-1:0] dy;
  reg [(SW > 1 ? $clog2(SW) : 1)-1:0] dx;
  wire below, right;
  generate
    if (TOP > 0) assign below = y >= TOP; else assign below = 1'b1;
    if (LEFT > 0) assign right = x >= LEFT; else assign right = 1'b1;
  endgenerate
  wire ends = below & y < TOP + SH * (OH - 1) + 1 & right & x < LEFT + SW * (OW - 1) + 1 & dy == 0 & dx == 0;
  always @(posedge clk)
    if (rst) begin out_valid <= 0; dy <= 0; dx <= 0; end
    else begin
      if (in_ready) out_valid <= go & ends;
      if (row) dx <= 0; else if (pixel & right) dx <= dx == SW - 1 ? 0 : dx + 1'b1;
      if (image) dy <= 0; else if (row & below) dy <= dy == SH - 1 ? 0 : dy + 1'b1;
    end
  reg [LB-1:0] at;
  always @(posedge clk) if (rst) at <= 0; else if (go) at <= at == LINE - 1 ? {LB{1'b0}} : at + 1'b1;
  genvar r, c;
  generate for (r = 0; r < KH; r = r + 1) begin : tap_row  // 0: the newest
    reg [(REACH+1)*B-1:0] taps;  // the newest in the low bits
    wire [B-1:0] first;
    always @(posedge clk) if (go) taps[B-1:0] <= first;
    if (REACH > 0) begin : shift
      always @(posedge clk) if (go) taps[(REACH+1)*B-1:B] <= taps[REACH*B-1:0];
    end
    if (r == 0) begin : newest
      assign first = in_data;
    end else if (LINE <= 0) begin : direct
      assign first = tap_row[r-1].taps[REACH*B +: B];
    end else if (BLOCK) begin : block
      (* ram_style = "block" *) reg [B-1:0] line [0:LINE-1];
      assign first = line[at];
      always @(posedge clk) if (go) line[at] <= tap_row[r-1].taps[REACH*B +: B];
    end else begin : distributed
      (* ram_style = "distributed" *) reg [B-1:0] line [0:LINE-1];
      assign first = line[at];
      always @(posedge clk) if (go) line[at] <= tap_row[r-1].taps[REACH*B +: B];
    end
    for (c = 0; c < KW; c = c + 1) begin : tap
      assign out_data[((KH-1-r)*KW + c)*B +: B] = taps[(KW-1-c)*DW*CF*B +: B];
    end
  end endgenerate
endmodule
`default_nettype wire
