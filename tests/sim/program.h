// sim: the simulator, for developers and CI. Both nodes' shipped engines and judges run in a deterministic world
// (tests/scenario/world.h) through random schedules (tests/scenario/schedule.h) under all checkers.
//
// What is simulated: two CCMs that beat and look every 10 ms, as shipped; storage that is monitored every 1, 10 or 60
// s; faults, repairs and commands from milliseconds to seconds apart; and between them, in half of the runs, minutes to
// hours in which all is well. Of those hours each stretch in which nothing but beats happens is leapt over, which
// changes nothing that an engine or a judge sees (tests/scenario/world_leap.cc); --every-beat simulates those too.
#pragma once

namespace hapair::sim {

// Reads the arguments, does what they say, gives the exit status.
int run_program(int argc, char** argv);

}  // namespace hapair::sim
