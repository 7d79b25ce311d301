#include "tests/sim/program.h"

int main(int argc, char** argv) { return hapair::sim::run_program(argc, argv); }
