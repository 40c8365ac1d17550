"""How kernels become machine code: the JIT policy, the vector assembler, routines, and the compile cache."""
