// A read-only memory's LUT whose contents have been taken out: what abc9 need not look into, and what is counted.
(* blackbox *) module ROM_LUT1 (input I0, output O); endmodule
(* blackbox *) module ROM_LUT2 (input I0, input I1, output O); endmodule
(* blackbox *) module ROM_LUT3 (input I0, input I1, input I2, output O); endmodule
(* blackbox *) module ROM_LUT4 (input I0, input I1, input I2, input I3, output O); endmodule
(* blackbox *) module ROM_LUT5 (input I0, input I1, input I2, input I3, input I4, output O); endmodule
(* blackbox *) module ROM_LUT6 (input I0, input I1, input I2, input I3, input I4, input I5, output O); endmodule
