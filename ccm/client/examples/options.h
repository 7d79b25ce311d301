// What the mirror is told on its command line.
#pragma once

#include <cstdint>
#include <string>

namespace hapair::mirror {

struct Options {
  std::string socket = "/run/hapair/ccm.sock";
  std::string name = "mirror";
  std::size_t record_bytes = std::size_t{64} * 1024;
  std::size_t slots = 64;
  std::uint64_t records = 0;  // to send; 0: until ended
  double pause_ms = 0;        // between two records
  bool checksum = true;
  std::string acknowledged;  // of the sender: a file that holds how far the mirror is, also after a crash
  std::string log;           // of the receiver: the file that gets every record
  bool json = false;
  double patience_s = 60;    // without a partner
  double stall_limit_s = 0;  // of the receiver: how long a write to its log may take before its storage stands still;
                             // 0: not told
};

int run_sender(const Options& options);
int run_receiver(const Options& options);
int verify_log(const Options& options);

}  // namespace hapair::mirror
