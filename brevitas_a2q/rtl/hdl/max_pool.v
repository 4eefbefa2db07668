// Max pool with stride equal to the kernel; a word holds all C channels of B bits. H and W are multiples of the kernel.
// Ports: one stream in and one out (data, valid, ready), the first element in the low bits.
// Rate: one word in a cycle. Latency: one cycle behind the last pixel of a window.
// Resources: a comparator and a choice of B bits a channel for columns and for rows, the row's maxima in LUTs.
`default_nettype none
module max_pool #(parameter H = 8, parameter W = 8, parameter KH = 2, parameter KW = 2, parameter C = 4,
                  parameter B = 4, parameter SIGNED = 0) (
    input wire clk, input wire rst,
    input wire [C*B-1:0] in_data, input wire in_valid, output wire in_ready,
    output reg [C*B-1:0] out_data, output reg out_valid, input wire out_ready);
  localparam OW = W / KW, OH = H / KH, X = OW > 1 ? $clog2(OW) : 1;
  reg [C*B-1:0] so_far;  // of this window's row
  wire last_kw, last_ow, last_kh;
  wire [X-1:0] x;
  wire [(KW > 1 ? $clog2(KW) : 1)-1:0] kw;
  wire [(KH > 1 ? $clog2(KH) : 1)-1:0] kh;
  wire free = ~out_valid | out_ready;
  wire done = last_kw & last_kh;
  wire go = in_valid & in_ready;
  assign in_ready = free | ~done;
  counter #(.N(KW)) kernel_columns (.clk(clk), .rst(rst), .step(go), .n(kw), .last(last_kw));
  counter #(.N(OW)) columns (.clk(clk), .rst(rst), .step(go & last_kw), .n(x), .last(last_ow));
  counter #(.N(KH)) kernel_rows (.clk(clk), .rst(rst), .step(go & last_kw & last_ow), .n(kh), .last(last_kh));
  wire [C*B-1:0] above, of_row, best;  // maxima of the window's rows above; of this row; of both
  generate if (KH > 1) begin : rows
    (* ram_style = "distributed" *) reg [C*B-1:0] line [0:OW-1];
    assign above = line[x];
    always @(posedge clk) if (go & last_kw) line[x] <= best;
  end else begin : row
    assign above = {C*B{1'b0}};
  end endgenerate
  genvar i;
  generate for (i = 0; i < C; i = i + 1) begin : channel
    wire [B-1:0] v = in_data[i*B +: B], s = so_far[i*B +: B], l = above[i*B +: B];
    wire larger, larger_row;
    wire [B-1:0] m = kw == 0 | larger ? v : s;
    if (SIGNED) begin : s_ assign larger = $signed(v) > $signed(s); assign larger_row = $signed(m) > $signed(l); end
    else begin : u_ assign larger = v > s; assign larger_row = m > l; end
    assign of_row[i*B +: B] = m;
    assign best[i*B +: B] = kh == 0 | larger_row ? m : l;
  end endgenerate
  always @(posedge clk) begin
    if (go) so_far <= of_row;
    if (go & done) out_data <= best;
    if (rst) out_valid <= 0; else if (free) out_valid <= go & done;
  end
endmodule
`default_nettype wire
