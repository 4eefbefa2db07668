// Low N bits of a product of a signed weight and an activation, in LUTs: a row of W + 1 bits for each bit of the
// activation, each on a carry chain of its own.
// Ports: both factors in, the product out.
// Latency: none (combinational). Resources: about the sum over rows j of min(W + 1, N - j) LUTs.
`default_nettype none
module multiply #(parameter W = 4, parameter A = 4, parameter SIGNED = 0, parameter N = W + A) (
    input wire signed [W-1:0] w, input wire [A-1:0] x, output wire [N-1:0] q);
  genvar r;
  generate
    for (r = 0; r < A; r = r + 1) begin : row
      localparam L = N - r < 1 ? 1 : N - r < W + 1 ? N - r : W + 1;  // bits that matter
      wire signed [W:0] gated = x[r] ? {w[W-1], w} : {(W+1){1'b0}};
      wire [L-1:0] sum;
      wire signed [W:0] value;
      if (r == 0) begin : first
        assign sum = (SIGNED && A == 1) ? -gated[L-1:0] : gated[L-1:0];
      end else begin : next
        wire signed [W:0] above = row[r-1].value >>> 1;
        if (SIGNED && r == A - 1) begin : sign assign sum = above[L-1:0] - gated[L-1:0]; end
        else begin : plain assign sum = above[L-1:0] + gated[L-1:0]; end
      end
      if (L == W + 1) begin : whole assign value = sum; end
      else begin : cut assign value = {{(W+1-L){1'b0}}, sum}; end
    end
    for (r = 0; r < N; r = r + 1) begin : product_bit
      if (r < A) begin : low assign q[r] = row[r].value[0]; end
      else begin : high
        // beyond W + A bits the sign repeats
        localparam T = r - A + 1 > W ? W : r - A + 1;
        assign q[r] = row[A-1].value[T];
      end
    end
  endgenerate
endmodule
`default_nettype wire
