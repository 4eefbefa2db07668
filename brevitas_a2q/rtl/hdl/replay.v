// Sends every vector of SF words NF times. The buffer holds two vectors: the next one arrives while this one is sent.
// Ports: one stream in and one out (data, valid, ready), the first element in the low bits.
// Rate: one word out a cycle. Latency: two cycles.
// Resources: 2 * SF words in LUTs or block RAM, two counters.
`default_nettype none
module replay #(parameter SF = 4, parameter NF = 2, parameter B = 8, parameter BLOCK = 0) (
    input wire clk, input wire rst,
    input wire [B-1:0] in_data, input wire in_valid, output wire in_ready,
    output reg [B-1:0] out_data, output reg out_valid, input wire out_ready);
  localparam integer AB = $clog2(2 * SF), CB = $clog2(2 * SF + 1);
  wire [(SF > 1 ? $clog2(SF) : 1)-1:0] sf;
  wire [(NF > 1 ? $clog2(NF) : 1)-1:0] nf;
  wire last_sf, last_nf;
  reg [AB-1:0] wp, rp;
  reg [CB-1:0] here;  // words of this vector and the next that have arrived
  wire free = ~out_valid | out_ready;
  wire go = free & (nf != 0 | here > sf);
  wire put = in_valid & in_ready, leave = go & last_sf & last_nf;
  wire second = rp >= SF;  // which half this vector is in
  assign in_ready = here != 2 * SF;
  counter #(.N(SF)) words (.clk(clk), .rst(rst), .step(go), .n(sf), .last(last_sf));
  counter #(.N(NF)) passes (.clk(clk), .rst(rst), .step(go & last_sf), .n(nf), .last(last_nf));
  always @(posedge clk)
    if (rst) begin wp <= 0; rp <= 0; here <= 0; out_valid <= 0; end
    else begin
      if (put) wp <= wp == 2 * SF - 1 ? {AB{1'b0}} : wp + 1'b1;
      if (go) begin
        if (~last_sf) rp <= rp + 1'b1;
        else rp <= second ^ last_nf ? SF : 0;
      end
      here <= here + put - (leave ? SF : 0);
      if (free) out_valid <= go;
    end
  generate if (BLOCK) begin : block
    (* ram_style = "block" *) reg [B-1:0] mem [0:2*SF-1];
    always @(posedge clk) begin
      if (put) mem[wp] <= in_data;
      if (free) out_data <= mem[rp];
    end
  end else begin : distributed
    (* ram_style = "distributed" *) reg [B-1:0] mem [0:2*SF-1];
    always @(posedge clk) begin
      if (put) mem[wp] <= in_data;
      if (free) out_data <= mem[rp];
    end
  end endgenerate
endmodule
`default_nettype wire
