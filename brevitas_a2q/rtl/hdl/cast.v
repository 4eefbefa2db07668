// N elements of A bits as elements of OUT bits: KIND 0 unsigned, 1 signed, 2 bipolar (a bit b becomes 2b - 1).
// Ports: data in and out; valid and ready pass beside it.
// Rate: one word a cycle. Latency: none. Resources: none, wires only.
`default_nettype none
module cast #(parameter N = 1, parameter A = 4, parameter KIND = 0, parameter OUT = 5) (
    input wire [N*A-1:0] in_data, output wire [N*OUT-1:0] out_data);
  genvar i;
  generate for (i = 0; i < N; i = i + 1) begin : element
    if (KIND == 2) begin : bipolar assign out_data[i*OUT +: OUT] = {{(OUT-1){~in_data[i]}}, 1'b1}; end
    else if (KIND == 1) begin : s assign out_data[i*OUT +: OUT] = $signed(in_data[i*A +: A]); end
    else begin : u assign out_data[i*OUT +: OUT] = in_data[i*A +: A]; end
  end endgenerate
endmodule
`default_nettype wire
